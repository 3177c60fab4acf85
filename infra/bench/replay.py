"""Strict replays a second in one process: runs over a real database, each loaded from it and replayed."""

import json
import statistics
import tempfile
import time
from collections.abc import Collection
from typing import Any

import uvloop

from fiel.graphs.answer.options import Options
from fiel.infra.answering import Question, ask
from fiel.infra.bench.corpus import COLLECTION, questions
from fiel.infra.bench.graph import READER, instant_house
from fiel.infra.bench.load import Load, closed
from fiel.infra.replay.many import AT_ONCE
from fiel.infra.replay.replays import Replays
from fiel.infra.replay.stage import Stage
from fiel.infra.settings import Settings
from fiel.tools.principal import Principal, local_administrator

RUNS = 300
ROUNDS = 5
CHUNKS = 2_000


async def run(runs: int = RUNS, rounds: int = ROUNDS) -> dict[str, Any]:
    """Medians of `rounds` over the same runs, one replay after the other and several at once; and the stage's cost."""
    with tempfile.TemporaryDirectory(prefix="fiel-bench-") as home:
        async with instant_house(Settings(home=home), CHUNKS) as (graph, recorder, services):
            options = Options(collection=COLLECTION)
            ids = [(await ask(graph, Question(text, READER, options)))["run_id"] for text in questions(runs)]
            begun = time.perf_counter()
            stage = Stage(services)
            made = time.perf_counter() - begun
            replays = Replays(recorder.store, recorder.keys, stage, _everything)
            loads = [await _load(replays, ids, 1) for _ in range(rounds)]
            side_by_side = [await _load(replays, ids, AT_ONCE) for _ in range(rounds)]
    return {
        "runs": runs,
        "rounds": rounds,
        "replays_a_second": round(statistics.median(load.rate for load in loads), 1),
        f"replays_a_second_{AT_ONCE}_at_once": round(statistics.median(load.rate for load in side_by_side), 1),
        "slowest_round": round(min(load.rate for load in loads), 1),
        "p50_ms": round(statistics.median(load.p50 for load in loads), 2),
        "p95_ms": round(statistics.median(load.p95 for load in loads), 2),
        "cpu_ms": round(statistics.median(load.cpu for load in loads), 2),
        "stage_ms": round(made * 1e3, 1),
    }


async def _everything(principal: Principal, collection: str, documents: Collection[str]) -> frozenset[str]:
    return frozenset(documents)


async def _load(replays: Replays, ids: list[str], at_once: int) -> Load:
    waiting = iter(ids)

    async def one() -> None:
        value = await replays.one(local_administrator(), next(waiting))
        if not value["identical"] or value["live_calls"]:
            raise RuntimeError(f"a replay differs: {value['first_divergence']}")

    return await closed(one, calls=len(ids), at_once=at_once)


def main() -> None:
    """Print the figures: `python -m fiel.infra.bench.replay`."""
    print(json.dumps(uvloop.run(run()), indent=1))


if __name__ == "__main__":
    main()
