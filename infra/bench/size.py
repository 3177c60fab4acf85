"""What a run leaves behind for good: `python -m fiel.infra.bench.size [RUNS]`.

Runs of fiel's own graph that are answered from eight passages, over a real database: sealed, their spans with receipts,
the index of lineage made. Tables with their indexes are counted as they lie; what leaves by itself is not: spans that
are shipped, drafts, and leaves that waited for their seal.
"""

import json
import sys
import tempfile
from typing import Any

import uvloop

from fiel.graphs.answer.options import Options
from fiel.infra.answering import Question, ask
from fiel.infra.bench.corpus import COLLECTION, questions
from fiel.infra.bench.graph import READER, instant_house
from fiel.infra.ledger.postgres import PostgresStore
from fiel.infra.ledger.sealing import Sealing
from fiel.infra.lineage.index import Indexing
from fiel.infra.replay.record import Record, load
from fiel.infra.settings import Settings

RUNS = 500
CHUNKS = 500
TABLES = ("runs", "entries", "frames", "seals", "lineage")
_SIZE = "SELECT " + ", ".join(f"pg_total_relation_size('fiel.{table}')" for table in TABLES)
_ENTRIES = "SELECT count(*) FROM fiel.entries"


async def run(runs: int = RUNS, chunks: int = CHUNKS) -> dict[str, Any]:
    """Bytes a run, by table and together."""
    with tempfile.TemporaryDirectory(prefix="fiel-bench-") as home:
        async with instant_house(Settings(home=home), chunks) as (graph, recorder, _):
            store = recorder.store
            assert isinstance(store, PostgresStore)  # noqa: S101 - so the house is made
            system = store.system
            async with system() as connection:
                empty = await _row(connection, _SIZE)
            options = Options(collection=COLLECTION)
            for text in questions(runs):
                last = await ask(graph, Question(text, READER, options))
            await recorder.writer.drain()
            await Sealing(system).drain()
            await Indexing(system, recorder.keys).catch_up()
            async with system() as connection:
                full, entries = await _row(connection, _SIZE), await _row(connection, _ENTRIES)
            passages = _passages(await load(store, recorder.keys, last["run_id"], READER.tenant))
    tables = {table: round((after - before) / runs) for table, after, before in zip(TABLES, full, empty, strict=True)}
    return {
        "runs": runs,
        "hops": round(entries[0] / runs, 1),
        "bytes_of_passages": passages,
        "bytes_a_run": sum(tables.values()),
        "tables": tables,
    }


def _passages(record: Record) -> int:
    """Bytes of the texts from which a run was answered."""
    (found,) = [one.entry.writes["passages"] for one in record.entries if one.entry.hop == "retrieve"]
    return sum(len(one["text"].encode()) for one in record.value(found))


async def _row(connection: Any, query: str) -> tuple[Any, ...]:
    row = await (await connection.execute(query)).fetchone()
    return tuple(row or ())


if __name__ == "__main__":
    print(json.dumps(uvloop.run(run(int(sys.argv[1]) if len(sys.argv) > 1 else RUNS)), indent=1))
