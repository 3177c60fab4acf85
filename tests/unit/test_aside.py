"""The connection in a thread: what it does alone, after a cut, and when the server does not answer."""

import asyncio
import threading
from functools import partial

import psycopg
import pytest

from fiel.infra.database.aside import Aside
from fiel.infra.database.connect import Database
from fiel.tools.errors import DatabaseUnavailable
from tests.conftest import Urls

RUNTIME = "SELECT 1 / (current_user = 'fiel_runtime')::int"
CUT = "SELECT pg_terminate_backend(pg_backend_pid())"


def _leaf(number: int) -> tuple[bytes]:
    return (bytes((number,)) * 85,)


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "fiel-aside"]


async def test_a_statement_runs_as_the_runtime_role_and_an_error_is_its_own(database_urls: Urls) -> None:
    aside = Aside(database_urls.runtime)
    await aside.execute(RUNTIME, tuple)
    with pytest.raises(psycopg.errors.DivisionByZero):
        await aside.execute("SELECT 1 / %s", lambda: (0,))
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        await aside.execute("CREATE TABLE fiel.other ()", tuple)
    with pytest.raises(ZeroDivisionError):
        await aside.execute(RUNTIME, lambda: [1 // 0])
    await aside.execute(RUNTIME, tuple)
    await aside.close()
    assert threads() == []


async def test_a_connection_that_was_cut_is_replaced(database_urls: Urls) -> None:
    aside = Aside(database_urls.runtime)
    for _ in range(2):
        with pytest.raises(DatabaseUnavailable):
            await aside.execute(CUT, tuple)
        await aside.execute(RUNTIME, tuple)
    await aside.close()


async def test_statements_commit_in_the_order_in_which_they_are_given(database: Database) -> None:
    write = "INSERT INTO fiel.unsealed (tenant, leaf) VALUES ('acme', %s)"
    await asyncio.gather(*(database.aside(write, partial(_leaf, number)) for number in range(30)))
    async with database.system() as connection:
        rows = await (await connection.execute("SELECT leaf FROM fiel.unsealed ORDER BY place")).fetchall()
    assert [row[0][0] for row in rows] == list(range(30))


async def test_who_no_longer_waits_stops_nobody(database_urls: Urls) -> None:
    aside = Aside(database_urls.runtime)
    left = asyncio.create_task(aside.execute("SELECT pg_sleep(0.2)", tuple))
    after = asyncio.create_task(aside.execute(RUNTIME, tuple))
    await asyncio.sleep(0)
    left.cancel()
    await after
    assert left.cancelled()
    await aside.close()


async def test_a_server_that_does_not_answer_holds_no_close_up(
    database_urls: Urls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fiel.infra.database.aside.PATIENCE", 0.1)
    aside = Aside(database_urls.runtime)
    await aside.execute(RUNTIME, tuple)
    hangs = asyncio.create_task(aside.execute("SELECT pg_sleep(600)", tuple))
    await asyncio.sleep(0)
    async with asyncio.timeout(60):
        await aside.close()
    with pytest.raises(DatabaseUnavailable):
        await hangs
    assert threads() == []


async def test_nothing_answers(tmp_path_factory: pytest.TempPathFactory) -> None:
    aside = Aside(f"host={tmp_path_factory.mktemp('none')} dbname=fiel")
    with pytest.raises(DatabaseUnavailable):
        await aside.execute(RUNTIME, tuple)
    await aside.close()
