"""Statements in one round trip: what comes back, what a failure undoes, and what is left of a connection."""

import asyncio
import datetime
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import AsyncConnection, AsyncRawCursor
from psycopg.rows import dict_row

from fiel.infra.database.connect import Database
from fiel.infra.database.piped import bound, piped
from fiel.tools.errors import DatabaseUnavailable
from fiel.tools.principal import Principal

ANA = Principal(tenant="acme", id="ana", groups=frozenset({"finance"}), roles=frozenset({"reader"}))
VALUES: tuple[Any, ...] = (
    7, 2**40, -1.5, "año \U0001f98a", b"\0\xff", True, None, UUID(int=5), ["a", 'b"', ""],
    datetime.datetime(2026, 1, 2, 3, 4, tzinfo=datetime.UTC), datetime.timedelta(seconds=5),
)  # fmt: skip
EVERY = (
    b"SELECT $1::int AS a, $2::bigint AS b, $3::float8 AS c, $4::text AS d, $5::bytea AS e, $6::bool AS f,"
    b" $7::text AS g, $8::uuid AS h, $9::text[] AS i, $10::timestamptz AS j, $11::interval AS k"
    b" FROM generate_series(1, 3)"
)


@asynccontextmanager
async def connection(database: Database) -> AsyncIterator[AsyncConnection[Any]]:
    async with database.single() as one:
        yield one


async def ask(one: AsyncConnection[Any], *statements: tuple[bytes, tuple[Any, ...]]) -> list[list[dict[str, Any]]]:
    return await piped(one, [bound(text, values) for text, values in statements])


async def test_rows_are_those_that_psycopg_gives(database: Database) -> None:
    async with connection(database) as one:
        cursor = await AsyncRawCursor(one, row_factory=dict_row).execute(EVERY, VALUES)
        expected = await cursor.fetchall()
        for _ in range(2):  # prepared, and known
            assert await ask(one, (EVERY, VALUES), (b"SELECT 1 AS x WHERE false", ()), (b"SELECT 2 AS x", ())) == [
                expected, [], [{"x": 2}],
            ]  # fmt: skip


async def test_all_of_it_is_one_transaction_and_a_failure_undoes_it(database: Database) -> None:
    async with connection(database) as one:
        await one.execute("CREATE TEMPORARY TABLE kept (a int PRIMARY KEY)")
        insert = b"INSERT INTO kept VALUES ($1)"
        with pytest.raises(psycopg.errors.UniqueViolation):
            await ask(one, (insert, (1,)), (insert, (1,)), (b"SELECT 1", ()))
        with pytest.raises(psycopg.errors.UndefinedTable):
            await ask(one, (insert, (2,)), (b"SELECT * FROM nowhere", ()))
        with pytest.raises(psycopg.errors.DivisionByZero):
            await ask(one, (insert, (3,)), (b"SELECT 1 / $1::int", (0,)))
        assert await ask(one, (b"SELECT count(*) AS n FROM kept", ())) == [[{"n": 0}]]
        assert await ask(one, (insert, (1,)), (b"SELECT 1 / $1::int AS x", (1,)))  # prepared before what failed
        times = await ask(one, (b"SELECT now() AS t", ()), (b"SELECT now() AS t", ()))
        assert times[0] == times[1]
        assert await ask(one, (b"SELECT a FROM kept", ())) == [[{"a": 1}]]


async def test_a_statement_with_parameters_of_other_types_is_another(database: Database) -> None:
    async with connection(database) as one:
        for value, kind in ((1, "smallint"), (2**40, "bigint"), (1.5, "double precision"), (1, "smallint")):
            assert await ask(one, (b"SELECT pg_typeof($1)::text AS kind", (value,))) == [[{"kind": kind}]]


async def test_much_in_both_directions_at_once(database: Database) -> None:
    text = "x" * 200_000
    async with connection(database) as one:
        found = await ask(one, *[(b"SELECT $1::text AS same FROM generate_series(1, 3)", (text,)) for _ in range(20)])
    assert found == [[{"same": text}] * 3] * 20


async def test_a_cancelled_statement_is_stopped_and_its_connection_serves_on(database: Database) -> None:
    mark = uuid4().hex
    asked = (f"SELECT pg_sleep(60) AS a, '{mark}' AS b".encode(), ())
    async with connection(database) as one:
        task = asyncio.create_task(ask(one, (b"SELECT 1 AS x", ()), asked))
        await _running(database, mark, 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await _running(database, mark, 0)
        assert not one.closed
        assert await ask(one, (b"SELECT 3 AS x", ()), (b"SELECT 1 AS x", ())) == [[{"x": 3}], [{"x": 1}]]


async def _running(database: Database, mark: str, count: int) -> None:
    """Wait until so many statements with the mark run."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE %s AND pid <> pg_backend_pid()"
    for _ in range(400):
        async with database.system() as other:
            row = await (await other.execute(query, (f"%{mark}%",))).fetchone()
        if row == (count,):
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"never {count} of them ran")


async def test_a_connection_that_breaks_is_replaced_for_what_reads_and_told_of_for_what_writes(
    database: Database,
) -> None:
    end = (b"SELECT pg_terminate_backend(pg_backend_pid()) AS x", ())
    with pytest.raises(DatabaseUnavailable):
        await database.write(ANA, [end])
    assert await database.read(ANA, [(b"SELECT fiel.caller() AS who", ())]) == [[{"who": "ana"}]]
    assert await database.write(ANA, [(b"SELECT fiel.caller() AS who", ())]) == [[{"who": "ana"}]]
    async with database.single() as one:
        assert await ask(one, (b"SELECT fiel.caller() AS who", ())) == [[{"who": None}]]


async def test_settings_hold_for_one_reading(database: Database) -> None:
    ask_for = [(b"SELECT current_setting('enable_seqscan') AS on", ())]
    assert await database.read(ANA, ask_for, (("enable_seqscan", "off"),)) == [[{"on": "off"}]]
    assert await database.read(ANA, ask_for) == [[{"on": "on"}]]


async def test_a_transaction_that_is_rolled_back_makes_the_server_forget_and_nothing_is_lost(database_urls) -> None:
    statements = [(b"SELECT fiel.caller() AS who", ()), (b"SELECT $1::int AS x", (1,))]
    async with Database(database_urls.runtime, size=1) as database:
        for number in range(12):
            assert await database.write(ANA, statements) == [[{"who": "ana"}], [{"x": 1}]]
            with pytest.raises(ZeroDivisionError):
                async with database.acting(ANA) as one:
                    await one.execute("SELECT 2 AS y", prepare=True)
                    await one.execute(f"SAVEPOINT s{number}")
                    raise ZeroDivisionError
            async with database.single() as one:
                (known,) = await (await one.execute("SELECT count(*) FROM pg_prepared_statements")).fetchone() or (0,)
            assert known < 20
            assert await database.read(ANA, statements) == [[{"who": "ana"}], [{"x": 1}]]
