"""Acts: written with what they are about or not at all, seen by their tenant, changed by nobody."""

import uuid
from hashlib import sha256

import psycopg
import pytest

from fiel.infra.api.auth.tokens import Tokens
from fiel.infra.corpus.least import require_policy
from fiel.infra.database.connect import Database
from fiel.infra.desk.operations import read_trace
from fiel.infra.ledger.acts import KINDS, Act, acts, record
from fiel.infra.ledger.chain import seal
from fiel.infra.ledger.postgres import PostgresStore
from fiel.infra.ledger.store import Flush, RunRow
from fiel.tools.canonical import canonical
from fiel.tools.errors import CollectionNotFound
from fiel.tools.principal import Principal, local_administrator
from tests.conftest import Urls

ADMIN = local_administrator("acme")
OTHER = local_administrator("other")
ANN = Principal("acme", "ann", frozenset({"finance"}), frozenset({"reader"}))


async def kinds(database: Database, by: Principal = ADMIN) -> list[tuple[str, str]]:
    async with database.acting(by) as connection:
        return [(one.body["kind"], one.body["subject"]) for one in reversed(await acts(connection, by.tenant))]


async def test_an_act_is_canonical_json_under_its_own_hash_and_waits_to_be_sealed(database: Database) -> None:
    async with database.acting(ADMIN) as connection:
        act = await record(connection, Act(ADMIN, "grant", "doc", {"to": "group:a", "n": 1}))
    async with database.acting(ADMIN) as connection:
        (one,) = await acts(connection, "acme")
        leaves = await (await connection.execute("SELECT tenant, leaf FROM fiel.unsealed")).fetchall()
    assert sha256(canonical(one.body)).digest() == one.hash
    assert (one.act, one.body["principal"]["id"], one.body["detail"]) == (act, "local", {"to": "group:a", "n": 1})
    assert leaves == [("acme", b"a" + uuid.UUID(act).bytes + bytes(4) + one.hash + bytes(32))]


async def test_an_act_and_what_it_is_about_are_committed_together(database: Database) -> None:
    with pytest.raises(RuntimeError):
        async with database.acting(ADMIN) as connection:
            await record(connection, Act(ADMIN, "grant", "doc"))
            raise RuntimeError
    assert await kinds(database) == []


async def test_a_tenant_sees_and_writes_its_own_acts_only(database: Database) -> None:
    async with database.acting(ADMIN) as connection:
        await record(connection, Act(ADMIN, "grant", "doc"))
    async with database.acting(OTHER) as connection:
        assert await acts(connection, "acme") == []
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        async with database.acting(OTHER) as connection:
            await record(connection, Act(ADMIN, "grant", "doc"))


@pytest.mark.parametrize("statement", ["UPDATE fiel.acts SET subject = ''", "DELETE FROM fiel.acts"])
async def test_acts_are_append_only_for_everybody(statement: str, database: Database, database_urls: Urls) -> None:
    async with database.acting(ADMIN) as connection:
        await record(connection, Act(ADMIN, "grant", "doc"))
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="permission denied"):
        async with database.acting(ADMIN) as connection:
            await connection.execute(statement)
    with psycopg.connect(database_urls.owner) as connection:  # noqa: SIM117
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
            connection.execute(statement)


def test_kinds_and_details_are_checked() -> None:
    with pytest.raises(ValueError, match="no kind of act"):
        Act(ADMIN, "dance", "x")
    assert len(set(KINDS)) == len(KINDS)


async def test_a_detail_without_a_canonical_form_fails_the_act(database: Database) -> None:
    with pytest.raises(ValueError, match="no canonical form"):
        async with database.acting(ADMIN) as connection:
            await record(connection, Act(ADMIN, "grant", "doc", {"score": 0.5}))


async def test_what_happens_to_tokens_is_an_act(database: Database) -> None:
    tokens = Tokens(database)
    _, first = await tokens.create(ADMIN, ANN)
    secret, second = await tokens.rotate(ADMIN, first.id)
    await tokens.revoke(ADMIN, second.id)
    assert await kinds(database) == [
        ("token_create", first.id),
        ("token_rotate", first.id),
        ("token_revoke", second.id),
    ]
    async with database.acting(ADMIN) as connection:
        assert all(secret not in str(one.body) for one in await acts(connection, "acme"))


async def test_a_policy_that_a_collection_demands_is_an_act_where_it_was_set(database: Database) -> None:
    with pytest.raises(CollectionNotFound):
        await require_policy(database, ADMIN, "none", "strict")
    assert await kinds(database) == []


@pytest.mark.parametrize(("caller", "told"), [("local", []), ("ann", [("audit_read", "trace")])])
async def test_reading_the_run_of_another_is_an_act(database: Database, caller: str, told: list[object]) -> None:
    run = str(uuid.uuid4())
    body = {"seq": 0, "prev": "", "hop": "a", "attempt": 1, "status": "ok", "at": 1, "us": 1, "edited": False}
    entry = seal(0, {**body, "decision": {}, "effects": [], "versions": {}, "step": 1})
    store = PostgresStore(database.system)
    await store.append([Flush.of(RunRow(run, "acme", "", caller, None, None, 1), (entry,), "k")])
    await read_trace(database, ADMIN, run)
    async with database.acting(ADMIN) as connection:
        found = await acts(connection, "acme")
    assert [(one.body["kind"], one.body["detail"]["what"]) for one in found] == told
