"""`Database`: the caller's transaction, the system's, and what the server's failures become."""

import asyncio
from contextlib import suppress

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from fiel.infra.database.connect import Database
from fiel.infra.database.errors import DatabaseMisfit, pass_on, place, unavailable
from fiel.infra.database.open import open_database
from fiel.infra.settings import Settings
from fiel.tools.errors import DatabaseUnavailable
from fiel.tools.principal import Principal

ANA = Principal(tenant="acme", id="ana", groups=frozenset({"finance"}), roles=frozenset({"reader"}))
CALLER = "SELECT fiel.caller_tenant(), fiel.caller(), fiel.caller_grants()"


async def _one(connection: psycopg.AsyncConnection, query: str, *values: object) -> tuple:
    row = await (await connection.execute(query, values)).fetchone()
    assert row is not None
    return row


async def test_the_caller_is_known_inside_and_forgotten_outside(database: Database) -> None:
    async with database.acting(ANA) as connection:
        (ids,) = await _one(connection, "SELECT fiel.grant_ids(%s)", ["finance", "everyone", "other"])
    assert len(ids) == 3
    async with database.acting(ANA) as connection:
        tenant, caller, grants = await _one(connection, CALLER)
        found = await connection.execute("SELECT name FROM fiel.grant_names WHERE id = ANY (%s)", (grants,))
        names = {name for (name,) in await found.fetchall()}
    assert (tenant, caller, names) == ("acme", "ana", {"finance", "everyone"})
    for _ in range(3):
        async with database.system() as connection:
            assert await _one(connection, CALLER) == (None, None, [])


async def test_a_caller_without_roles_holds_no_grant(database: Database) -> None:
    async with database.acting(ANA) as connection:
        await connection.execute("SELECT fiel.grant_ids(ARRAY['finance', 'everyone'])")
    nobody = Principal(tenant="acme", id="ana", groups=frozenset({"finance"}))
    async with database.acting(nobody) as connection:
        assert (await _one(connection, CALLER))[2] == []


async def test_callers_side_by_side_do_not_mix(database: Database) -> None:
    async def who(number: int) -> tuple:
        principal = Principal(tenant=f"t{number % 3}", id=f"user{number}", roles=frozenset({"reader"}))
        async with database.acting(principal) as connection:
            await asyncio.sleep(0.001 * (number % 4))
            return await _one(connection, CALLER)

    rows = await asyncio.gather(*(who(number) for number in range(60)))
    assert [row[:2] for row in rows] == [(f"t{number % 3}", f"user{number}") for number in range(60)]


@pytest.mark.parametrize(
    "name", ["o'hara", 'quo"te', "back\\slash'; DROP SCHEMA fiel; --", "{a,b}", "%s %(x)s", "ñandú 🦙", ""]
)
async def test_names_of_any_kind_arrive_as_they_are(database: Database, name: str) -> None:
    principal = Principal(tenant="acme", id=name, groups=frozenset({name} - {""}), roles=frozenset({"reader"}))
    async with database.acting(principal) as connection:
        (ids,) = await _one(connection, "SELECT fiel.grant_ids(%s)", [f"user:{name}"])
    async with database.acting(principal) as connection:
        assert await _one(connection, CALLER) == ("acme", name or None, ids)


async def test_a_name_with_a_nul_is_refused_before_anything_is_sent(database: Database) -> None:
    with pytest.raises(ValueError, match="NUL"):
        async with database.acting(Principal(tenant="a", id="x\0y")):
            pytest.fail("got in")


async def test_a_block_that_raises_is_rolled_back_and_its_connection_serves_on(database: Database) -> None:
    with pytest.raises(KeyError):
        async with database.acting(ANA) as connection:
            await connection.execute("SELECT fiel.grant_ids(ARRAY['lost'])")
            raise KeyError
    async with database.acting(ANA) as connection:
        assert await _one(connection, "SELECT count(*) FROM fiel.grant_names") == (0,)


async def test_a_swallowed_error_is_not_a_commit(database: Database) -> None:
    with pytest.raises(psycopg.errors.InFailedSqlTransaction):
        async with database.acting(ANA) as connection:
            await connection.execute("SELECT fiel.grant_ids(ARRAY['lost'])")
            with suppress(psycopg.errors.DivisionByZero):
                await connection.execute("SELECT 1 / 0")


async def test_a_wrong_statement_stays_what_it_is(database: Database) -> None:
    with pytest.raises(psycopg.errors.UndefinedTable):
        async with database.system() as connection:
            await connection.execute("SELECT * FROM fiel.no_such_table")


async def _asleep(url: str, number: int) -> bool:
    """Whether so many statements sleep, sooner or later: before that the server knows of nothing to cancel."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()"
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        for _ in range(1_000):
            if await _one(connection, query) == (number,):
                return True
            await asyncio.sleep(0.02)
    return False


async def test_cancelling_a_statement_frees_its_connection(database: Database, database_urls) -> None:
    async def sleep() -> None:
        async with database.acting(ANA) as connection:
            await connection.execute("SELECT pg_sleep(30)")

    tasks = [asyncio.create_task(sleep()) for _ in range(8)]
    assert await _asleep(database_urls.runtime, 8)
    for task in tasks:
        task.cancel()
    assert all(isinstance(end, asyncio.CancelledError) for end in await asyncio.gather(*tasks, return_exceptions=True))
    async with asyncio.timeout(5), database.acting(ANA) as connection:
        assert (await _one(connection, CALLER))[1] == "ana"


def _cut(urls, processes: set[int]) -> None:
    with psycopg.connect(urls.owner, autocommit=True) as connection:
        connection.execute("SELECT pg_terminate_backend(pid) FROM unnest(%s::int[]) AS pid", (list(processes),))


async def test_cut_connections_are_replaced_without_an_error(database: Database, database_urls) -> None:
    async def use() -> int:
        async with database.acting(ANA) as connection:
            await asyncio.sleep(0.05)
            return connection.info.backend_pid

    before = set(await asyncio.gather(*(use() for _ in range(4))))
    _cut(database_urls, before)
    after = set(await asyncio.gather(*(use() for _ in range(4))))
    assert not after & before


async def test_a_connection_cut_in_a_transaction_is_unavailable(database: Database, database_urls) -> None:
    with pytest.raises(DatabaseUnavailable, match="Check that the server runs"):
        async with database.acting(ANA) as connection:
            _cut(database_urls, {connection.info.backend_pid})
            await connection.execute("SELECT 1")


async def test_a_full_pool_is_unavailable_after_its_time(database_urls) -> None:
    async with Database(database_urls.runtime, size=1, timeout=0.2) as database, database.system():
        with pytest.raises(DatabaseUnavailable):
            async with database.system():
                pytest.fail("got in")


async def test_a_database_that_is_not_open_says_so(database_urls) -> None:
    database = Database(database_urls.runtime)
    with pytest.raises(DatabaseUnavailable, match="not open"):
        async with database.system():
            pytest.fail("got in")
    await database.close()


async def test_an_empty_database_wants_its_migrations(postgres) -> None:
    name = postgres.create()
    try:
        with pytest.raises(DatabaseMisfit, match="fiel db migrate"):
            await Database(postgres.urls(name).runtime).open()
    finally:
        postgres.drop(name)


@pytest.mark.parametrize(
    ("change", "advice"),
    [
        ({"dbname": "no_such_database"}, "Create that database first"),
        ({"host": "127.0.0.1", "port": "1"}, "Check that the server runs and that FIEL_DATABASE_URL is right"),
        ({"host": "no-such-host.invalid"}, "Check the host"),
        ({"user": "no_such_role"}, "Check the user"),
    ],
)
async def test_a_wrong_address_is_an_error_with_advice(database_urls, change: dict[str, str], advice: str) -> None:
    with pytest.raises(DatabaseUnavailable, match=advice):
        await Database(make_conninfo(database_urls.runtime, **change)).open()


def test_a_wrong_password_is_an_error_with_advice_that_does_not_repeat_it() -> None:
    text = 'connection failed: FATAL:  password authentication failed for user "ana"'
    error = unavailable(psycopg.OperationalError(text), "postgresql://ana:s3cret@db.example/fiel")
    assert "Check user and password" in str(error)
    assert "s3cret" not in str(error)
    assert place("postgresql://ana:s3cret@db.example:6432/fiel") == "ana@db.example:6432/fiel"


@pytest.mark.parametrize(
    ("error", "lost", "down"),
    [
        (psycopg.OperationalError("the socket was closed"), False, True),
        (psycopg.errors.AdminShutdown(), False, True),
        (psycopg.errors.DiskFull(), False, True),
        (psycopg.errors.UndefinedTable(), False, False),
        (psycopg.errors.UndefinedTable(), True, True),
        (psycopg.errors.DeadlockDetected(), False, False),
        (psycopg.InterfaceError("a misuse of the client"), False, False),
    ],
)
def test_only_what_the_server_failed_at_is_unavailable(error: psycopg.Error, lost: bool, down: bool) -> None:
    with pytest.raises((DatabaseUnavailable, psycopg.Error)) as raised:
        pass_on(error, "postgresql://ana@db.example/fiel", lost=lost)
    assert (raised.value.__cause__ if down else raised.value) is error


async def test_settings_lead_to_an_external_database(database_urls) -> None:
    settings = Settings(database_url=database_urls.runtime, database_owner_url=database_urls.owner)
    async with open_database(settings) as database, database.acting(ANA) as connection:
        assert await _one(connection, "SELECT current_user::text") == ("fiel_runtime",)
