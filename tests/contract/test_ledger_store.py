"""The contract of ledger stores, on the one in memory and on PostgreSQL."""

from dataclasses import replace
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from fiel.infra.database.connect import Database
from fiel.infra.ledger.chain import Sealed, broken, seal
from fiel.infra.ledger.postgres import PostgresStore
from fiel.infra.ledger.store import Blob, Flush, MemoryStore, RecordConflict, RunRow, Store


@pytest.fixture(params=["memory", "postgres"])
def store(request: pytest.FixtureRequest) -> Store:
    if request.param == "memory":
        return MemoryStore()
    database: Database = request.getfixturevalue("database")
    return PostgresStore(database.system, database.aside)


def entries(count: int, start: int = 0, prev: str = "") -> tuple[Sealed, ...]:
    out: list[Sealed] = []
    for seq in range(start, start + count):
        out.append(seal(seq, {"seq": seq, "prev": prev, "text": "año"}))
        prev = out[-1].hash.hex()
    return tuple(out)


def flush(**more: Any) -> Flush:
    row = RunRow(str(uuid4()), "acme", "t", "ana", None, None, 1_700_000_000_000_000)
    facts = {"run": row, "entries": entries(2), "key": "k1", "frame": b"\0frame", "spans": b"spans"}
    return Flush.of(**{**facts, **more})


async def test_what_was_appended_is_read_back(store: Store) -> None:
    one, two = flush(), flush(frame=b"", spans=b"")
    await store.append([one, two])
    assert await store.entries(one.run.run) == list(one.entries)
    assert broken(await store.entries(one.run.run), "") is None
    assert await store.frames(one.run.run) == [Blob("k1", b"\0frame")]
    assert await store.frames(two.run.run) == []
    assert await store.run(one.run.run) == one.run
    assert await store.run(str(uuid4())) is None
    assert await store.entries(str(uuid4())) == []
    assert await store.keys() == ["k1"]


async def test_a_run_may_flush_often_even_within_one_group(store: Store) -> None:
    first = flush()
    later = entries(1, 2, first.entries[-1].hash.hex())
    second = flush(run=first.run, entries=later, frame=b"more")
    await store.append([first, second])
    assert broken(await store.entries(first.run.run), "") is None
    assert [blob.data for blob in await store.frames(first.run.run)] == [b"\0frame", b"more"]


async def test_appending_again_changes_nothing(store: Store) -> None:
    one = flush(drafts=(("ab" * 32, b"draft"),))
    await store.append([one])
    await store.append([one, flush()])
    assert await store.entries(one.run.run) == list(one.entries)
    assert len(await store.frames(one.run.run)) == 1


async def test_a_different_entry_at_the_same_place_is_refused_and_nothing_is_kept(store: Store) -> None:
    one = flush()
    await store.append([one])
    other = flush()
    forged = replace(one, entries=(one.entries[0], seal(1, {"seq": 1, "prev": "", "text": "forged"})))
    with pytest.raises(RecordConflict):
        await store.append([other, forged])
    assert await store.entries(one.run.run) == list(one.entries)
    assert await store.entries(other.run.run) == []


async def test_threads_are_told_apart(store: Store) -> None:
    row = flush().run
    rows = [
        replace(row, run=str(uuid4()), started=1),
        replace(row, run=str(uuid4()), started=3),
        replace(row, run=str(uuid4()), started=2, resumes=str(uuid4()), resumes_seq=4),
        replace(row, run=str(uuid4()), tenant="other"),
        replace(row, run=str(uuid4()), caller="eve"),
        replace(row, run=str(uuid4()), thread="u"),
    ]
    await store.append([flush(run=row) for row in rows])
    assert await store.thread("acme", "t", "ana", 10) == [rows[1], rows[2], rows[0]]
    assert await store.thread("acme", "t", "ana", 1) == [rows[1]]


async def test_drafts_are_kept_and_forgotten(store: Store) -> None:
    one = flush(drafts=(("ab" * 32, b"draft"),))
    await store.append([one])
    assert await store.draft(one.run.run, "ab" * 32) == Blob("k1", b"draft")
    assert await store.draft(one.run.run, "cd" * 32) is None
    assert await store.draft(str(uuid4()), "ab" * 32) is None
    assert await store.forget_drafts(3600) == 0
    assert await store.forget_drafts(0) == 1
    assert await store.draft(one.run.run, "ab" * 32) is None


async def test_a_flush_of_spans_alone_is_kept(store: Store) -> None:
    one = flush(entries=(), frame=b"")
    await store.append([one])
    assert await store.entries(one.run.run) == []
    assert await store.run(one.run.run) == one.run


@pytest.mark.parametrize("table", ["runs", "entries", "frames"])
async def test_entries_are_append_only_for_everybody(table: str, database: Database, database_urls: Any) -> None:
    one = flush()
    await PostgresStore(database.system).append([one])
    statements = (f"UPDATE fiel.{table} SET run = run", f"DELETE FROM fiel.{table}", f"TRUNCATE fiel.{table}")
    for statement in statements:
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="permission denied"):
            async with database.system() as connection:
                await connection.execute(statement)
        with psycopg.connect(database_urls.owner) as connection:  # noqa: SIM117
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
                connection.execute(statement)
    assert await PostgresStore(database.system).entries(one.run.run) == list(one.entries)


async def test_spans_of_a_repeated_flush_stand_once(database: Database) -> None:
    store = PostgresStore(database.system)
    one = flush()
    await store.append([one])
    await store.append([one])
    async with database.system() as connection:
        row = await (await connection.execute("SELECT count(*) FROM fiel.spans")).fetchone()
    assert row == (1,)
