"""What telemetry and ledger cost a hop: `python -m fiel.infra.bench.hop [RUNS]`.

Ten hops over eight passages of 500 characters, two recorded effects, against the same graph bare. Times are CPU of the
main thread, in microseconds a hop, so that other processes on the machine do not count; latencies are wall time.
"""

import asyncio
import gc
import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, TypedDict
from uuid import uuid4

import numpy as np
import uvloop
from langchain_core.runnables import RunnableConfig

from fiel.infra.ledger.effects import RecordedEmbedder
from fiel.infra.ledger.keys import Cipher, key_of
from fiel.infra.ledger.postgres import Aside, PostgresStore, System
from fiel.infra.ledger.recorder import LedgerRecorder
from fiel.infra.ledger.store import MemoryStore, Store
from fiel.infra.ledger.subjects import DataKey, data_key
from fiel.tools.embed import Vector
from fiel.tools.principal import Principal, local_administrator
from fiel.tools.record import Hop, Node

HOPS = 10
Facts = dict[str, Any]


class State(TypedDict, total=False):
    question: str
    queries: list[str]
    passages: list[Facts]
    verdicts: list[Facts]
    attempt: int
    versions: dict[str, str]
    outcome: str
    reason: str
    answer: str


class _Callers:
    def principal(self, config: Mapping[str, Any]) -> Principal:
        return local_administrator()


class _Embedder:
    version, dimensions = "bench", 384

    def __init__(self) -> None:
        self._vector: Vector = np.ones(384, np.float32)

    async def query(self, text: str) -> Vector:
        return self._vector

    async def passages(self, texts: Any) -> list[Vector]:
        return [self._vector for _ in texts]


class _Keys:
    """One subject's key: digests are keyed, as they are where there is a database of subjects."""

    def __init__(self) -> None:
        self._key = data_key(key_of(b"k" * 32))

    async def of(self, tenant: str, subject: str, collection: str = "") -> DataKey:
        return self._key

    async def named(self, id: str) -> DataKey:
        return self._key


class _Nothing(MemoryStore):
    """Keeps nothing: what the database costs is the difference."""

    async def append(self, flushes: Any) -> None:
        return None


def _passages() -> list[Facts]:
    words = "a passage of some length about nothing in particular ".split()
    return [
        {
            "document": str(uuid4()),
            "uri": f"docs/page-{number}.md",
            "title": "A page",
            "version": str(uuid4()),
            "chunk": str(uuid4()),
            "text": (" ".join([*words, str(number)]) * 12)[:500],
            "context": "Head > Line",
            "start": 0,
            "end": 500,
            "language": "en",
            "score": "0.016393",
            "dense_rank": number + 1,
            "text_rank": None,
        }
        for number in range(8)
    ]


def _nodes(embedder: Any) -> list[tuple[Hop, Node]]:
    passages = _passages()
    verdict = {"check": "length", "stage": "input", "version": "f" * 64, "action": "allow", "score": "0.000000"}

    async def first(state: Any, runtime: Any, config: RunnableConfig) -> Facts:
        return {"versions": {"policy": "f" * 64, "prompt": "p1"}, "verdicts": [verdict], "attempt": 0, "outcome": ""}

    async def retrieve(state: Any, runtime: Any, config: RunnableConfig) -> Facts:
        await embedder.query(state["question"])
        return {"passages": passages, "queries": [state["question"]]}

    async def middle(state: Any, runtime: Any, config: RunnableConfig) -> Facts:
        return {"attempt": state["attempt"] + 1, "verdicts": [*state["verdicts"], verdict]}

    async def last(state: Any, runtime: Any, config: RunnableConfig) -> Facts:
        return {"outcome": "answered", "reason": "ok", "answer": "An answer [1]."}

    hops: list[tuple[Hop, Node]] = [
        (Hop("guard_input", "GUARDRAIL", ("verdicts", "versions"), ("question",), first=True), first),
        (Hop("retrieve", "RETRIEVER", (), ("queries",), ("passages",)), retrieve),
    ]
    hops += [
        (Hop(f"hop_{number}", "CHAIN", ("attempt", "verdicts"), (), ("attempt",)), middle) for number in range(HOPS - 3)
    ]
    return [*hops, (Hop("release", "CHAIN", ("outcome", "reason"), (), ("answer",), terminal=True), last)]


def _graph(nodes: list[tuple[str, Node]]) -> Any:
    from langgraph.graph import END, START, StateGraph

    graph = StateGraph(State)
    at = START
    for name, node in nodes:
        graph.add_node(name, node)
        graph.add_edge(at, name)
        at = name
    graph.add_edge(at, END)
    return graph.compile()


async def _measure(compiled: Any, runs: int, width: int) -> tuple[float, list[float]]:
    """CPU of the main thread a hop, in microseconds, and each run's wall time in milliseconds."""
    took: list[float] = []

    async def some(count: int) -> None:
        for _ in range(count):
            start = time.perf_counter()
            await compiled.ainvoke({"question": f"What is it? {uuid4()}"}, {"run_id": uuid4()})
            took.append((time.perf_counter() - start) * 1000)

    await some(5)
    took.clear()
    gc.collect()
    gc.freeze()  # as a serving process does: else the collector walks every imported library again and again
    start = time.thread_time()
    await asyncio.gather(*(some(runs // width) for _ in range(width)))
    return (time.thread_time() - start) * 1e6 / (runs // width * width * HOPS), took


def _time(work: Callable[[], Any], count: int = 2000) -> float:
    start = time.thread_time()
    for _ in range(count):
        work()
    return (time.thread_time() - start) * 1e6 / count


def parts() -> dict[str, float]:
    """What single parts cost, in microseconds."""
    from hashlib import sha256

    from fiel.infra.ledger.encode import encode
    from fiel.infra.telemetry.show import Shown
    from fiel.infra.telemetry.span import HopSpan

    passages, cipher, shown = _passages(), Cipher(key_of(b"k" * 32)), Shown(lambda text: text)
    data = encode(passages)
    frame = data * 3

    def span() -> None:
        one = HopSpan("hop", 1, 2, lambda ended: None)
        one.values.update({"mlflow.spanType": "CHAIN", "fiel.run": "r", "user.id": "u", "mlflow.spanOutputs": "{}"})
        one.end()

    return {
        "encode passages": _time(lambda: encode(passages)),
        "sha256 of passages": _time(lambda: sha256(data).hexdigest()),
        "span": _time(span),
        "passages for a span": _time(lambda: shown.value(passages), 500),
        f"compress and encrypt {len(frame)} bytes": _time(lambda: cipher.seal("frame", "r", frame), 500),
    }


class _Variant:
    """One graph, bare or recorded, whose rounds take turns with those of the others."""

    def __init__(self, store: Store | None) -> None:
        embedder: Any = _Embedder()
        self._recorder: LedgerRecorder | None = None
        if store is None:
            self._compiled = _graph([(hop.name, node) for hop, node in _nodes(embedder)])
        else:
            recorder = LedgerRecorder(
                store, Cipher(key_of(b"k" * 32)), _Callers(), redact=lambda text: text, keys=_Keys()
            )
            hops = _nodes(RecordedEmbedder(embedder))
            self._compiled = _graph([(hop.name, recorder.wear(hop, node)) for hop, node in hops])
            self._recorder = recorder
        self.costs: list[float] = []
        self.took: list[float] = []

    async def round(self, runs: int, width: int) -> None:
        cost, walls = await _measure(self._compiled, runs, width)
        self.costs.append(cost)
        self.took += walls

    async def close(self) -> None:
        if self._recorder is not None:
            await self._recorder.close()


async def bench(system: System, aside: Aside, runs: int = 50, rounds: int = 21) -> Facts:
    """Bare graph, recorded without and with a database, alone and sixteen at once.

    The variants take turns, and what is above the bare graph is the median of the rounds' own differences: the clock of
    a shared machine drifts by more than a hop costs.
    """
    stores: list[tuple[str, Callable[[], Store | None]]] = [
        ("bare", lambda: None),
        ("recorded, nothing kept", _Nothing),
        ("recorded, PostgreSQL", lambda: PostgresStore(system, aside)),
    ]
    out: Facts = {"runs": runs * rounds, "hops": HOPS, "parts_us": {k: round(v, 1) for k, v in parts().items()}}
    for width in (1, 16):
        variants = {name: _Variant(make()) for name, make in stores}
        for _ in range(rounds):
            for variant in variants.values():
                await variant.round(runs, width)
        floor = variants["bare"].costs
        for name, variant in variants.items():
            above = [mine - theirs for mine, theirs in zip(variant.costs, floor, strict=True)]
            out[f"{name}, {width} at once"] = {
                "cpu_us_a_hop": round(statistics.median(variant.costs), 1),
                "above_bare_us_a_hop": round(statistics.median(above), 1),
                "p50_ms": round(statistics.median(variant.took), 2),
                "p95_ms": round(statistics.quantiles(variant.took, n=20)[18], 2),
            }
            await variant.close()
    return out


async def size(system: System) -> float:
    """Bytes a run in the ledger's tables, indexes included, spans left out (they leave when they are shipped)."""
    query = "SELECT sum(pg_total_relation_size(t)) FROM unnest(ARRAY['fiel.runs','fiel.entries','fiel.frames']) t"
    async with system() as connection:
        row = await (await connection.execute(f"SELECT ({query}), (SELECT count(*) FROM fiel.runs)")).fetchone()  # noqa: S608
    return float(row[0]) / row[1] if row and row[1] else 0.0


async def _main(runs: int) -> None:
    import tempfile
    from pathlib import Path

    from fiel.infra.database.open import open_database
    from fiel.infra.settings import Settings

    with tempfile.TemporaryDirectory(prefix="fiel-bench-") as home:
        async with open_database(Settings(home=str(Path(home)))) as database:
            found = await bench(database.system, database.aside, runs)
            found["bytes_a_run"] = round(await size(database.system))
    sys.stdout.write(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    uvloop.run(_main(int(sys.argv[1]) if len(sys.argv) > 1 else 50))
