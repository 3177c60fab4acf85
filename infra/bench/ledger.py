"""What the chain carries: `python -m fiel.infra.bench.ledger [RUNS]`.

Four processes append runs of ten hops over eight passages of 500 characters to one tenant, each commit waited for. A
fifth seals every 100 ms, as a service does; then the whole chain is verified. The server is an embedded one of its own
that waits for its disk. Verification is given by CPU time too: the truer figure where others share the cores.
"""

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson

from fiel.infra.bench.hop import _Callers, _Embedder, _graph, _nodes, size
from fiel.infra.database.connect import Database
from fiel.infra.database.embedded import Embedded
from fiel.infra.database.migrate import migrate
from fiel.infra.ledger.chain import seal
from fiel.infra.ledger.effects import RecordedEmbedder
from fiel.infra.ledger.export import verified
from fiel.infra.ledger.heads import signer_of
from fiel.infra.ledger.keys import Cipher, key_of
from fiel.infra.ledger.postgres import PostgresStore
from fiel.infra.ledger.recorder import LedgerRecorder
from fiel.infra.ledger.sealing import EVERY, Sealing
from fiel.infra.ledger.store import Flush, MemoryStore, RunRow
from fiel.infra.ledger.writer import Writer
from fiel.tools.principal import local_administrator

PROCESSES = 4
WIDTH = 64
"""Runs that wait for their commit in one process."""
Facts = dict[str, Any]


async def _recorded() -> MemoryStore:
    """One run as the recorder makes it."""
    store, embedder = MemoryStore(), RecordedEmbedder(_Embedder())
    recorder = LedgerRecorder(store, Cipher(key_of(b"k" * 32)), _Callers(), redact=lambda text: text)
    graph = _graph([(hop.name, recorder.wear(hop, node)) for hop, node in _nodes(embedder)])
    await graph.ainvoke({"question": "What is it?"}, {"run_id": uuid4()})
    await recorder.close()
    return store


def _copies(store: MemoryStore, count: int) -> Iterator[Flush]:
    """The run again and again, each under an id of its own and with hashes that follow from it."""
    ((name, row),) = store.runs.items()
    bodies, (frame,) = [orjson.loads(one.body) for one in store.sealed[name]], store.contents[name]
    for _ in range(count):
        run, prev, entries = str(uuid4()), "", []
        for seq, body in enumerate(bodies):
            entries.append(seal(seq, {**body, "run": run, "prev": prev}))
            prev = entries[-1].hash.hex()
        yield Flush.of(RunRow(run, row.tenant, row.thread, row.caller, None, None, row.started), tuple(entries),
                    frame.key, frame.data)  # fmt: skip


async def append(url: str, count: int) -> None:
    """One of the processes: says that it is ready, and appends when it is told to."""
    flushes = list(_copies(await _recorded(), count))
    async with Database(url, size=2) as database:
        writer = Writer(PostgresStore(database.system, database.aside), patience=60.0)
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)

        async def some(mine: list[Flush]) -> None:
            for one in mine:
                await writer.commit(one)

        await asyncio.gather(*(some(flushes[at::WIDTH]) for at in range(WIDTH)))
        await writer.close()


async def measure(home: Path, runs: int) -> Facts:
    """Runs a second, bytes a run, entries verified a second, and how long entries waited for their seal at most."""
    each = runs // PROCESSES
    async with Embedded(home / "server") as server:
        await asyncio.to_thread(migrate, server.owner_url)
        async with Database(server.url, size=4) as database:
            took, waited = await _appended(_processes(server.url, each), Sealing(database.system))
            by, signer = local_administrator(), signer_of(home)
            start, worked = time.perf_counter(), time.thread_time()
            value = await verified(database, by, signer, ())
            checked, worked = time.perf_counter() - start, time.thread_time() - worked
            row = await _seals(database)
            return {
                "runs": each * PROCESSES,
                "runs_a_second": round(each * PROCESSES / took),
                "longest_unsealed_s": round(waited, 2),
                "bytes_a_run": round(await size(database.system) + row),
                "entries": value["entries"],
                "broken": len(value["broken"]),
                "verified_a_second": round(value["entries"] / checked),
                "verified_a_second_of_cpu": round(value["entries"] / worked),
            }


def _processes(url: str, each: int) -> list["subprocess.Popen[str]"]:
    command = [sys.executable, "-m", "fiel.infra.bench.ledger", "--append", url, str(each)]
    return [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(PROCESSES)
    ]


async def _appended(made: list[Any], sealing: Sealing) -> tuple[float, float]:
    """Seconds from the word to the last commit; and the longest wait for a seal that was seen."""
    for process in made:
        await asyncio.to_thread(process.stdout.readline)
    start, longest = time.perf_counter(), 0.0
    for process in made:
        process.stdin.write("go\n")
        process.stdin.flush()
    ended = asyncio.gather(*(asyncio.to_thread(process.wait) for process in made))
    while not ended.done():
        await sealing.seal()
        longest = max(longest, sealing.age)
        await asyncio.sleep(EVERY)
    took = time.perf_counter() - start
    if any(await ended):
        raise RuntimeError("a process that appends has failed")
    for process in made:
        process.stdin.close()
        process.stdout.close()
    await sealing.drain()
    return took, longest


async def _seals(database: Database) -> float:
    """Bytes a run of the chain itself."""
    query = "SELECT pg_total_relation_size('fiel.seals'), (SELECT count(*) FROM fiel.runs)"
    async with database.system() as connection:
        row = await (await connection.execute(query)).fetchone()
    return float(row[0]) / row[1] if row and row[1] else 0.0


def main(arguments: list[str]) -> None:
    """Prints one JSON object."""
    if arguments[:1] == ["--append"]:
        asyncio.run(append(arguments[1], int(arguments[2])))
        return
    with tempfile.TemporaryDirectory(prefix="fiel-bench-") as folder:
        print(json.dumps(asyncio.run(measure(Path(folder), int(arguments[0]) if arguments else 20_000)), indent=2))


if __name__ == "__main__":
    main(sys.argv[1:])
