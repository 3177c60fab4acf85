"""Threads: kept encrypted, each for itself, and gone with the database in fiel's own words."""

import uuid
from collections.abc import AsyncIterator
from math import isnan
from typing import Any

import psycopg
import pytest
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from fiel.infra import threads
from fiel.infra.ledger.keys import Cipher, KeyUnavailable, key_of
from fiel.infra.threads import ThreadSaver, open_saver
from fiel.tools.errors import DatabaseUnavailable

SECRET = "the salary of the director"
CIPHER = Cipher(key_of(b"k" * 32))


@pytest.fixture
async def saver(shared_urls: Any) -> AsyncIterator[ThreadSaver]:
    async with open_saver(shared_urls.runtime, shared_urls.owner, CIPHER) as opened:
        yield opened


def config(thread: str) -> Any:
    return {"configurable": {"thread_id": thread, "checkpoint_ns": ""}}


async def put(saver: ThreadSaver, thread: str) -> None:
    versions: Any = {"question": "1", "messages": "1", "attempt": "1"}
    values = {"question": SECRET, "messages": [SECRET], "attempt": 2}
    checkpoint: Any = {**empty_checkpoint(), "channel_values": values, "channel_versions": versions}
    saved = await saver.aput(config(thread), checkpoint, {"source": "loop", "step": 1}, versions)
    await saver.aput_writes(saved, [("answer", SECRET)], "task")


def run(url: str, query: str, *values: Any) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET ROLE fiel_runtime")
        cursor = connection.execute(query.encode(), values)
        return cursor.fetchall() if cursor.description else []


async def test_a_thread_comes_back_as_it_was(saver: ThreadSaver) -> None:
    thread = str(uuid.uuid4())
    await put(saver, thread)
    found = await saver.aget_tuple(config(thread))
    assert found is not None and found.pending_writes is not None
    assert found.checkpoint["channel_values"] == {"question": SECRET, "messages": [SECRET], "attempt": 2}
    assert [write[2] for write in found.pending_writes] == [SECRET]
    assert [one.checkpoint["id"] async for one in saver.alist(config(thread))] == [found.checkpoint["id"]]


async def test_numbers_that_json_does_not_have_come_back_too(saver: ThreadSaver) -> None:
    thread, values = (
        str(uuid.uuid4()),
        {"most": float("inf"), "least": float("-inf"), "share": 0.5, "none": float("nan")},
    )
    versions: Any = dict.fromkeys(values, "1")
    checkpoint: Any = {**empty_checkpoint(), "channel_values": values, "channel_versions": versions}
    await saver.aput(config(thread), checkpoint, {"source": "loop", "step": 1}, versions)
    found = await saver.aget_tuple(config(thread))
    assert found is not None
    back = found.checkpoint["channel_values"]
    assert isnan(back.pop("none"))
    assert back == {"most": float("inf"), "least": float("-inf"), "share": 0.5}


async def test_a_long_thread_is_read_as_fast_as_a_short_one(saver: ThreadSaver, shared_urls: Any) -> None:
    thread = str(uuid.uuid4())
    await put(saver, thread)
    older = """INSERT INTO fiel.checkpoint_blobs (thread_id, checkpoint_ns, channel, version, type, blob)
               SELECT %s, '', 'messages', 'older ' || number, 'x+y', '' FROM generate_series(1, 3000) number"""
    run(shared_urls.runtime, older, thread)
    query = f"SET search_path = fiel; EXPLAIN (ANALYZE, FORMAT JSON) {saver.SELECT_SQL} WHERE thread_id = '{thread}'"
    with psycopg.connect(shared_urls.runtime, autocommit=True) as connection:
        connection.execute("SET ROLE fiel_runtime")
        cursor = connection.execute(query.encode())
        assert cursor.nextset()
        plan = cursor.fetchall()[0][0][0]["Plan"]
    assert round(touched(plan, "checkpoint_blobs")) == 2, "those of the checkpoint: a number stands beside them"


def touched(plan: dict[str, Any], table: str) -> float:
    """Rows of a table that a plan looked at."""
    mine = plan.get("Relation Name") == table
    rows = (plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0)) * plan["Actual Loops"] if mine else 0
    return rows + sum(touched(below, table) for below in plan.get("Plans", ()))


async def test_no_text_of_a_thread_stands_in_clear(saver: ThreadSaver, shared_urls: Any) -> None:
    await put(saver, str(uuid.uuid4()))
    for table in ("checkpoints", "checkpoint_blobs", "checkpoint_writes"):
        rows = run(shared_urls.runtime, f"SELECT * FROM fiel.{table}")
        assert rows
        assert SECRET not in repr(rows), table


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE fiel.checkpoint_blobs SET type = %s, blob = %s WHERE channel = 'messages' AND thread_id = %s",
        "UPDATE fiel.checkpoint_writes SET type = %s, blob = %s WHERE thread_id = %s",
    ],
    ids=["blob", "write"],
)
async def test_a_value_that_is_not_encrypted_is_refused(saver: ThreadSaver, shared_urls: Any, statement: str) -> None:
    thread = str(uuid.uuid4())
    await put(saver, thread)
    run(shared_urls.runtime, statement, *JsonPlusSerializer().dumps_typed(["forged"]), thread)
    with pytest.raises(KeyUnavailable, match="not encrypted"):
        await saver.aget_tuple(config(thread))


async def test_a_text_beside_the_blobs_is_refused(saver: ThreadSaver, shared_urls: Any) -> None:
    thread = str(uuid.uuid4())
    await put(saver, thread)
    forged = """UPDATE fiel.checkpoints SET checkpoint = jsonb_set(checkpoint, '{channel_values,answer}', '"forged"')
                WHERE thread_id = %s"""
    run(shared_urls.runtime, forged, thread)
    with pytest.raises(KeyUnavailable, match="not encrypted"):
        await saver.aget_tuple(config(thread))


async def test_a_blob_opens_in_its_own_thread_only(saver: ThreadSaver, shared_urls: Any) -> None:
    mine, other = str(uuid.uuid4()), str(uuid.uuid4())
    await put(saver, mine)
    await put(saver, other)
    moved = """UPDATE fiel.checkpoint_blobs AS mine SET type = other.type, blob = other.blob
                 FROM fiel.checkpoint_blobs AS other
                WHERE mine.channel = other.channel AND mine.thread_id = %s AND other.thread_id = %s"""
    run(shared_urls.runtime, moved, mine, other)
    assert await saver.aget_tuple(config(other)) is not None
    with pytest.raises(KeyUnavailable, match="altered"):
        await saver.aget_tuple(config(mine))


async def test_the_serializer_that_langgraph_clones_is_as_strict(saver: ThreadSaver, shared_urls: Any) -> None:
    strict: Any = saver.serde
    strict.serde = JsonPlusSerializer(allowed_msgpack_modules=[])
    cloned = saver.with_allowlist([("some", "Type")])
    assert cloned is not saver
    thread = str(uuid.uuid4())
    await put(saver, thread)
    assert await cloned.aget_tuple(config(thread)) is not None
    forged = "UPDATE fiel.checkpoint_blobs SET type = %s, blob = %s WHERE channel = 'messages' AND thread_id = %s"
    run(shared_urls.runtime, forged, *JsonPlusSerializer().dumps_typed(["forged"]), thread)
    with pytest.raises(KeyUnavailable):
        await cloned.aget_tuple(config(thread))


async def test_a_database_that_is_gone_is_unavailable(saver: ThreadSaver) -> None:
    pool: Any = saver.conn
    await pool.close()
    with pytest.raises(DatabaseUnavailable):
        await saver.aget_tuple(config("t"))


async def test_no_free_connection_in_time_is_a_database_that_is_unavailable(
    shared_urls: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "WAIT", 0.2)
    async with open_saver(shared_urls.runtime, shared_urls.owner, CIPHER, size=1) as saver:
        pool: Any = saver.conn
        async with pool.connection():
            with pytest.raises(DatabaseUnavailable, match="PostgreSQL is not usable"):
                await saver.aget_tuple(config("t"))


async def test_a_server_that_does_not_answer_is_unavailable_from_the_start() -> None:
    with pytest.raises(DatabaseUnavailable):
        async with open_saver("postgresql://u@127.0.0.1:9/none", "", CIPHER):
            pass
