"""The whole graph with models that answer at once, ledger and spans on, beside a bare graph of as many empty nodes."""

import asyncio
import gc
import itertools
import statistics
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import uvloop

from fiel.graphs.answer.graph import Graph, build, withheld
from fiel.graphs.answer.options import Options
from fiel.graphs.services import Services
from fiel.infra.answering import Question, ask
from fiel.infra.bench import floor
from fiel.infra.bench.corpus import COLLECTION, fill, questions
from fiel.infra.bench.instant import (
    InstantChat,
    InstantE5,
    InstantEmbedder,
    InstantGuard,
    InstantJudge,
    InstantReranker,
)
from fiel.infra.bench.load import Load, arriving, closed
from fiel.infra.callers import ConfigCallers
from fiel.infra.compose import ledger_connections
from fiel.infra.database.open import open_database
from fiel.infra.ledger import effects, keys
from fiel.infra.ledger.postgres import PostgresStore
from fiel.infra.ledger.recorder import LedgerRecorder
from fiel.infra.ledger.recorders import recording
from fiel.infra.ledger.vault import LedgerVault
from fiel.infra.settings import Settings
from fiel.policies.bundle import load_bundles
from fiel.policies.evaluate import GuardrailsPolicies
from fiel.tools import e5
from fiel.tools.language import LanguageDetector
from fiel.tools.principal import Principal
from fiel.tools.search.postgres import PostgresSearch

CHUNKS = 10_000
ROUNDS = 5
READER = Principal("default", "bench", frozenset(), frozenset({"reader"}))


@asynccontextmanager
async def instant_house(settings: Settings, chunks: int) -> AsyncIterator[tuple[Graph, LedgerRecorder, Services]]:
    """The graph over a real database, with models that answer at once."""
    policies = GuardrailsPolicies(load_bundles())
    await asyncio.to_thread(policies.warm)
    harmless = e5.shared().encode(["How long is the notice period?"], True)[0]
    e5.use(e5.Engine(InstantE5(harmless)))
    language = LanguageDetector()
    async with open_database(settings) as database, ledger_connections(database) as ledger:
        await fill(database, settings.folder / "bench", chunks)
        recorder = recording(
            PostgresStore(ledger.system, ledger.aside),
            keys.Cipher(keys.load_or_create(settings.folder / "keys/ledger.key")),
            ConfigCallers(),
            policies,
            withheld=withheld(policies),
        )
        search = PostgresSearch(database.read, model=InstantEmbedder.version, dimensions=InstantEmbedder.dimensions)
        services = Services(
            callers=ConfigCallers(),
            chats={"instant": effects.RecordedChat(InstantChat())},
            embed=effects.RecordedEmbedder(InstantEmbedder()),
            guard=effects.RecordedGuard(InstantGuard()),
            judge=effects.RecordedJudge(InstantJudge()),
            language=language,
            policies=effects.RecordedPolicies(policies),
            recorder=recorder,
            rerank=effects.RecordedReranker(InstantReranker()),
            search=effects.RecordedSearch(search),
            vault=LedgerVault(recorder),
        )
        try:
            yield build(services), recorder, services
        finally:
            await recorder.close()


async def run(rounds: int = ROUNDS, chunks: int = CHUNKS) -> dict[str, Any]:
    """Every figure as the median of `rounds`, the floor measured in turn with it."""
    with tempfile.TemporaryDirectory(prefix="fiel-bench-") as home:
        async with instant_house(Settings(home=home), chunks) as (graph, _, _):
            return await _measure(graph, rounds)


async def _measure(graph: Graph, rounds: int) -> dict[str, Any]:
    texts = itertools.cycle(questions(500))
    bare, routed = floor.bare(), floor.routed()

    async def whole() -> None:
        answer = await ask(graph, Question(next(texts), READER, Options(collection=COLLECTION)))
        if answer["outcome"] != "answered":
            raise RuntimeError(f"a benchmark's run ended as {answer['outcome']}: {answer['reason']}")

    async def empty() -> None:
        await bare.ainvoke({"question": "x"})

    async def branching() -> None:
        await routed.ainvoke({"question": "x"})

    for call in (whole, empty, branching):
        await closed(call, calls=100, at_once=4)
    gc.freeze()  # as `open_house` does
    figures: dict[str, list[Load]] = {}
    for _ in range(rounds):
        for name, load in (
            ("bare, one at a time", partial(closed, empty, calls=300, at_once=1)),
            ("bare with the same branches, one at a time", partial(closed, branching, calls=300, at_once=1)),
            ("whole, one at a time", partial(closed, whole, calls=300, at_once=1)),
            ("bare, 60 a second", partial(arriving, empty, calls=300, per_second=60)),
            ("whole, 60 a second", partial(arriving, whole, calls=300, per_second=60)),
            ("bare, 16 at once", partial(closed, empty, calls=600, at_once=16)),
            ("whole, 16 at once", partial(closed, whole, calls=600, at_once=16)),
        ):
            figures.setdefault(name, []).append(await load())
    table = {name: _medians(loads) for name, loads in figures.items()}
    ratios = [
        mine.cpu / theirs.cpu
        for mine, theirs in zip(figures["whole, one at a time"], figures["bare, one at a time"], strict=True)
    ]
    return {"loads": table, "cpu_ratio": round(statistics.median(ratios), 2), "rounds": rounds}


def _medians(loads: list[Load]) -> dict[str, float]:
    return {
        name: round(statistics.median(getattr(load, name) for load in loads), 2)
        for name in ("p50", "p95", "cpu", "rate")
    }


def main() -> None:
    """Print the table alone: `python -m fiel.infra.bench.graph`."""
    import json

    print(json.dumps(uvloop.run(run()), indent=1))


if __name__ == "__main__":
    main()
