"""The runtime role can do its work and nothing more, and `Database` runs as nobody else."""

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from fiel.infra.database.connect import Database
from fiel.infra.database.errors import DatabaseMisfit
from fiel.tools.principal import Principal

ANA = Principal(tenant="acme", id="ana", roles=frozenset({"curator"}))
BOB = Principal(tenant="other", id="bob", roles=frozenset({"administrator"}))


async def test_whoever_logs_in_works_as_the_runtime_role(database_urls) -> None:
    for url in (database_urls.runtime, database_urls.owner):
        async with Database(url) as database, database.system() as connection:
            row = await (
                await connection.execute(
                    "SELECT current_user::text, rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolreplication"
                    "  FROM pg_roles WHERE rolname = current_user"
                )
            ).fetchone()
        assert row == ("fiel_runtime", False, False, False, False, False)


async def test_the_runtime_role_owns_nothing(database: Database) -> None:
    owned = """
        SELECT relname::text FROM pg_class WHERE pg_has_role('fiel_runtime', relowner, 'MEMBER')
        UNION ALL SELECT proname::text FROM pg_proc WHERE pg_has_role('fiel_runtime', proowner, 'MEMBER')
        UNION ALL SELECT nspname::text FROM pg_namespace
                   WHERE pg_has_role('fiel_runtime', nspowner, 'MEMBER') AND nspname NOT LIKE 'pg\\_%'
                     AND nspowner <> 'pg_database_owner'::regrole
    """
    async with database.system() as connection:
        assert await (await connection.execute(owned)).fetchall() == []


@pytest.mark.parametrize(
    "statement",
    [
        "SET ROLE fiel_owner",
        "ALTER TABLE fiel.grant_names DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE fiel.grant_names NO FORCE ROW LEVEL SECURITY",
        "DROP POLICY tenant ON fiel.grant_names",
        "CREATE TABLE fiel.mine (id int)",
        "CREATE FUNCTION fiel.mine() RETURNS int LANGUAGE sql RETURN 1",
        "CREATE OR REPLACE FUNCTION fiel.caller_tenant() RETURNS text LANGUAGE sql RETURN 'other'",
        "DELETE FROM fiel.migrations",
        "INSERT INTO fiel.migrations (number, name, sha256) VALUES (99, 'x', 'x')",
        "UPDATE fiel.grant_names SET name = 'x'",
        "COPY (SELECT 1) TO PROGRAM 'true'",
        "CREATE EXTENSION file_fdw",
        "ALTER ROLE fiel_runtime BYPASSRLS",
    ],
)
def test_what_the_runtime_role_may_not(shared_urls, statement: str) -> None:
    with psycopg.connect(shared_urls.runtime, autocommit=True) as connection:
        if connection.info.user != "fiel_runtime":
            connection.execute("SET SESSION AUTHORIZATION fiel_runtime")
        with pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.FeatureNotSupported)):
            connection.execute(statement.encode())


async def test_tenants_do_not_see_each_others_names(database: Database) -> None:
    async with database.acting(ANA) as connection:
        await connection.execute("SELECT fiel.grant_ids(ARRAY['finance'])")
    async with database.acting(BOB) as connection:
        assert await (await connection.execute("SELECT name FROM fiel.grant_names")).fetchall() == []
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await connection.execute("INSERT INTO fiel.grant_names (tenant, name) VALUES ('acme', 'x')")
        await connection.rollback()
    async with database.system() as connection:
        assert await (await connection.execute("SELECT name FROM fiel.grant_names")).fetchall() == []


BEFORE_A_CALLER = {"token_of", "token_now", "has_administrator"}
"""What must be asked before it is known who calls: each answers about one hash, one id or one tenant, and no more."""
ERASES = {"erase_feedback", "lineage_erased"}
"""What removes rows that nobody may remove otherwise: those of a person whose key is destroyed."""


async def test_only_what_comes_before_a_caller_runs_with_its_owners_rights(database: Database) -> None:
    async with database.system() as connection:
        found = await connection.execute(
            "SELECT proname::text, proconfig FROM pg_proc WHERE prosecdef AND pronamespace = 'fiel'::regnamespace"
        )
        rows = dict(await found.fetchall())
    assert set(rows) == BEFORE_A_CALLER | ERASES
    assert all(any(one.startswith("search_path=") for one in settings or ()) for settings in rows.values())


async def test_tokens_are_read_by_their_hash_alone(database: Database) -> None:
    async with database.acting(ANA) as connection:
        await connection.execute(
            "INSERT INTO fiel.tokens (id, tenant, principal, hash, groups, roles)"
            " VALUES (gen_random_uuid(), fiel.caller_tenant(), 'ana', sha256('ana'), '{}', '{reader}')"
        )
    for view in (database.system(), database.acting(BOB)):
        async with view as connection:
            assert await (await connection.execute("SELECT id FROM fiel.tokens")).fetchall() == []


async def test_a_login_that_may_not_become_the_runtime_role_is_refused(postgres, database_urls) -> None:
    if postgres.superuser is None:
        pytest.skip("the server of the session lets no superuser in")
    with psycopg.connect(postgres.superuser, autocommit=True) as connection:
        role = "fiel_test_stranger"
        connection.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(role)))
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(role)))
        name = psycopg.conninfo.conninfo_to_dict(database_urls.owner)["dbname"]
        try:
            with pytest.raises(DatabaseMisfit, match="GRANT fiel_runtime TO"):
                await Database(make_conninfo(postgres.superuser, dbname=name, user=role)).open()
        finally:
            connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))


@pytest.mark.parametrize("right", ["SUPERUSER", "BYPASSRLS"])
async def test_a_runtime_role_that_escapes_row_security_is_refused(postgres, database_urls, right: str) -> None:
    if postgres.superuser is None:
        pytest.skip("the server of the session lets no superuser in")
    with psycopg.connect(postgres.superuser, autocommit=True) as connection:
        connection.execute(f"ALTER ROLE fiel_runtime {right}".encode())
        try:
            with pytest.raises(DatabaseMisfit, match="must not be a superuser, bypass row security or own tables"):
                await Database(database_urls.runtime).open()
        finally:
            connection.execute(f"ALTER ROLE fiel_runtime NO{right}".encode())


async def test_a_superusers_login_works_as_the_runtime_role(postgres, database_urls) -> None:
    if postgres.superuser is None:
        pytest.skip("the server of the session lets no superuser in")
    name = psycopg.conninfo.conninfo_to_dict(database_urls.owner)["dbname"]
    async with Database(make_conninfo(postgres.superuser, dbname=name)) as database, database.acting(ANA) as connection:
        row = await (await connection.execute("SELECT current_user::text, fiel.caller_tenant()")).fetchone()
    assert row == ("fiel_runtime", "acme")
