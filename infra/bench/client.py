"""The command line: a call in a house of its own, the same through a service that runs, and the floor below both."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

CALLS = 7
COLD = 3
FIEL = [sys.executable, "-m", "fiel.infra.cli"]
QUESTION = "What does each outcome mean?"
CALLED: dict[str, list[str]] = {
    "ask": ["ask", QUESTION, "--collection", "docs"],
    "search": ["search", QUESTION, "--collection", "docs"],
    "policy check": ["policy", "check", "--stage", "input", QUESTION],
}


def run() -> dict[str, Any]:
    """Seconds a call, medians."""
    with tempfile.TemporaryDirectory(prefix="fiel-bench-") as home:
        environ = {name: value for name, value in os.environ.items() if not name.startswith("FIEL_")}
        environ["FIEL_HOME"] = home
        docs = Path(__file__).parents[2] / "docs" / "outcomes.md"
        with subprocess.Popen(
            [*FIEL, "serve", "--port", "0", "--json"], env=environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as service:
            try:
                assert service.stdout is not None  # noqa: S101 - asked for above
                service.stdout.readline()
                _call(environ, ["ingest", str(docs), "--collection", "docs"])
                through = {name: _median(environ, arguments, CALLS) for name, arguments in CALLED.items()}
                alone = {"FIEL_URL": "none"}
                house = {name: _median({**environ, **alone}, call, COLD) for name, call in CALLED.items()}
            finally:
                service.terminate()
        floor = statistics.median(_seconds([sys.executable, "-c", "pass"], environ) for _ in range(CALLS))
        help_text = statistics.median(_seconds([*FIEL, "--help"], environ) for _ in range(CALLS))
    return {
        "calls": CALLS,
        "cold_calls": COLD,
        "interpreter": round(floor, 3),
        "fiel --help": round(help_text, 3),
        "through the service": through,
        "in a house of its own": house,
    }


def _median(environ: dict[str, str], arguments: list[str], calls: int) -> float:
    _call(environ, arguments)  # the first one warms files and models
    return round(statistics.median(_call(environ, arguments) for _ in range(calls)), 3)


def _call(environ: dict[str, str], arguments: list[str]) -> float:
    return _seconds([*FIEL, *arguments, "--json"], environ)


def _seconds(command: list[str], environ: dict[str, str]) -> float:
    begun = time.perf_counter()
    subprocess.run(command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    return time.perf_counter() - begun


def main() -> None:
    """Print the table alone: `python -m fiel.infra.bench.client`."""
    print(json.dumps(run(), indent=1))


if __name__ == "__main__":
    main()
