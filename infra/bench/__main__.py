"""All benchmarks, each in a process of its own: `python -m fiel.infra.bench [PART…]`.

Parts: hop (telemetry and ledger, per hop), ledger (appending, sealing and verifying the chain), size (what an answered
run leaves behind for good), graph (the whole graph with instant models, beside a bare one), policies (the checks, by
stage and one by one), search (100,000 chunks by visibility, beside a bare query and the stores of LlamaIndex and
LangChain), grants (on a collection and on a document), models (the real models: latency, memory, ingest), replay
(recorded runs, replayed from the database), client (a call of the command line, cold and through a service), api (runs
over HTTP, beside the bare graph and `langgraph dev`), quality (on the development data).
What each prints is shown as it comes; figures that a part gives as JSON are kept under `build/bench`.
"""

import json
import subprocess
import sys
from pathlib import Path

OUTPUT = Path("build/bench")
DATA = Path("../shared/data/qa")
PARTS: dict[str, list[str]] = {
    "hop": ["fiel.infra.bench.hop"],
    "ledger": ["fiel.infra.bench.ledger"],
    "size": ["fiel.infra.bench.size"],
    "graph": ["fiel.infra.bench.graph"],
    "policies": ["fiel.infra.bench.policies"],
    "search": ["fiel.infra.bench.search", "100000"],
    "grants": ["fiel.infra.bench.grants"],
    "models": ["fiel.infra.bench.models"],
    "replay": ["fiel.infra.bench.replay"],
    "client": ["fiel.infra.bench.client"],
    "api": ["fiel.infra.bench.api", "--json", str(OUTPUT / "api.json")],
    "quality": ["fiel.infra.evaluation.qa", "--json", str(OUTPUT / "quality.json")],
}


def main(names: list[str]) -> int:
    """Run the parts named, or all; 0 where every one of them could run."""
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        print(f"there is no part {unknown[0]!r}; there are: {', '.join(PARTS)}", file=sys.stderr)
        return 2
    OUTPUT.mkdir(parents=True, exist_ok=True)
    return max(_part(name) for name in names or list(PARTS))


def _part(name: str) -> int:
    if name == "quality" and not DATA.is_dir():
        print(f"\n== {name}: skipped, there is no evaluation data at {DATA}")
        return 0
    print(f"\n== {name}", flush=True)
    done = subprocess.run([sys.executable, "-m", *PARTS[name]], stdout=subprocess.PIPE, text=True, check=False)
    print(done.stdout, flush=True)
    try:
        json.loads(done.stdout)
    except ValueError:
        (OUTPUT / f"{name}.txt").write_text(done.stdout, encoding="utf-8")
    else:
        (OUTPUT / f"{name}.json").write_text(done.stdout, encoding="utf-8")
    return done.returncode


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
