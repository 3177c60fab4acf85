"""The real models in one process: how fast a question is answered, how much memory it takes, how fast ingest embeds.

Its texts are fiel's own documentation, repeated with another name in each copy so that no text is embedded twice.
"""

import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import uvloop

from fiel.graphs.answer.options import Options
from fiel.infra.answering import Question
from fiel.infra.cli.serve import documentation
from fiel.infra.compose import House, open_house
from fiel.infra.settings import Settings
from fiel.tools.principal import local_administrator

QUESTIONS = (
    "What happens when the judge is not satisfied?",
    "Which outcomes does a run have?",
    "How do I write a policy?",
    "Where does fiel keep its spans while MLflow is down?",
    "Who may read what is ingested without --allow?",
    "What is a bundle?",
    "What does the vault hold?",
    "How is an answer proven?",
    "Which languages does fiel speak?",
    "What is a citation?",
)
ROUNDS = 5
COPIES = 3


async def run(rounds: int = ROUNDS) -> dict[str, Any]:
    """Figures of one process that has loaded everything; times in milliseconds, memory in MiB."""
    with tempfile.TemporaryDirectory(prefix="fiel-bench-") as home:
        async with open_house(Settings(home=home)) as house:
            folder = _copies(Path(home) / "docs")
            ingest = await _ingest(house, folder)
            options = Options(collection="docs")
            times = await _ask(house, options, rounds)
            return {"answer": times, "ingest": ingest, "memory_mib": _resident()}


def _copies(folder: Path) -> Path:
    folder.mkdir()
    for page in documentation():
        for copy in range(COPIES):
            text = page.read_text(encoding="utf-8").replace("fiel", f"fiel{copy or ''}")
            (folder / f"{copy}-{page.name}").write_text(text, encoding="utf-8")
    return folder


async def _ingest(house: House, folder: Path) -> dict[str, float]:
    """Speed of an ingest, and of the embedder alone on the very texts that it embedded."""
    principal = local_administrator()
    # The worker processes of the parsers and the model are started by the first file.
    await house.corpus.ingest([folder / "0-questions.md"], collection="warm", principal=principal)
    begun = time.perf_counter()
    report = await house.corpus.ingest([folder], collection="docs", principal=principal)
    took = time.perf_counter() - begun
    async with house.corpus.database.acting(principal) as connection:
        rows = await (await connection.execute("SELECT context, text FROM fiel.chunks ORDER BY number")).fetchall()
    texts = [f"{context}\n{text}" if context else text for context, text in rows][-report.embedded :]
    begun = time.perf_counter()
    await house.corpus.embed.passages(texts)
    alone = time.perf_counter() - begun
    return {
        "chunks": report.embedded,
        "chunks_per_second": round(report.embedded / took, 2),
        "embedder_per_second": round(len(texts) / alone, 2),
        "share": round((report.embedded / took) / (len(texts) / alone), 3),
    }


async def _ask(house: House, options: Options, rounds: int) -> dict[str, Any]:
    """Every round asks other words, so that nothing that a model remembers answers for it."""
    times: list[float] = []
    outcomes: dict[str, int] = {}
    for number in range(rounds + 1):
        for question in QUESTIONS:
            text = question if not number else f"{question[:-1]}, in part {number} of the documents?"
            begun = time.perf_counter()
            answer = await house.ask(Question(text, local_administrator(), options))
            if number:
                times.append((time.perf_counter() - begun) * 1e3)
                outcomes[answer["outcome"]] = outcomes.get(answer["outcome"], 0) + 1
    ordered = sorted(times)
    return {
        "questions": len(times),
        "p50": round(statistics.median(times), 1),
        "p95": round(ordered[int(len(ordered) * 0.95)], 1),
        "outcomes": outcomes,
    }


def _resident() -> float:
    """Resident memory of this process, MiB."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return round(int(line.split()[1]) / 1024, 1)
    return 0.0


if __name__ == "__main__":
    print(json.dumps(uvloop.run(run()), indent=1))
