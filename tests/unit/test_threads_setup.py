"""The checkpointer's tables are made once, however many processes start at once."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import psycopg

from fiel.infra.threads import prepare, set_up
from tests.conftest import Urls


def test_many_first_starts_at_once_make_the_tables(database_urls: Urls) -> None:
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(set_up, [database_urls.owner] * 6))
    with psycopg.connect(database_urls.runtime) as connection:
        row = connection.execute("SELECT max(v) FROM fiel.checkpoint_migrations").fetchone()
    assert row is not None and row[0] >= 9


async def test_who_makes_the_tables_lets_the_others_go_on(database_urls: Urls) -> None:
    """A snapshot of this process, for which the making waits, ends while it waits."""
    async with await psycopg.AsyncConnection.connect(database_urls.runtime) as other:
        await other.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)
        await other.execute("SELECT 1")
        making = asyncio.create_task(prepare(database_urls.runtime, database_urls.owner))
        while not await _waits(database_urls.owner):
            assert not making.done(), "it waits for nobody"
            await asyncio.sleep(0.02)
        await other.rollback()
        await making


async def _waits(url: str) -> bool:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        found = await connection.execute(
            "SELECT 1 FROM pg_stat_activity WHERE query LIKE '%CREATE INDEX CONCURRENTLY%'"
            " AND wait_event_type = 'Lock' AND datname = current_database()"
        )
        return await found.fetchone() is not None
