"""API tokens: what is kept of them, whom they let in, and when they stop."""

import asyncio
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from fiel.infra.api.auth.tokens import TokenNotFound, Tokens, fingerprint
from fiel.infra.database.connect import Database
from fiel.tools.errors import NotPermitted, UsageError
from fiel.tools.principal import Principal, local_administrator
from tests.conftest import Urls

ADMIN = local_administrator()
ANN = Principal("default", "ann", frozenset({"finance"}), frozenset({"reader", "curator"}))


@pytest.fixture
def tokens(database: Database) -> Tokens:
    return Tokens(database)


async def test_a_token_names_its_holder_with_groups_and_roles(tokens: Tokens) -> None:
    secret, token = await tokens.create(ADMIN, ANN)
    found = await tokens.find(secret)
    assert found is not None
    assert (found.id, found.principal) == (token.id, ANN)


async def test_the_database_knows_the_digest_only(tokens: Tokens, database_urls: Urls, postgres: object) -> None:
    secret, _ = await tokens.create(ADMIN, ANN)
    with psycopg.connect(database_urls.owner) as connection:
        connection.execute("SET ROLE fiel_owner")
        rows = connection.execute("SELECT t::text, hash FROM fiel.tokens t").fetchall()
    assert [bytes(hash) for _, hash in rows] == [fingerprint(secret)]
    assert secret not in rows[0][0]
    assert secret.removeprefix("fiel_") not in rows[0][0]


@pytest.mark.parametrize("change", ["x", "", "fiel_" + "A" * 43, " "])
async def test_another_text_is_nobody(tokens: Tokens, change: str) -> None:
    await tokens.create(ADMIN, ANN)
    assert await tokens.find(change) is None


async def test_a_revoked_token_is_dead_at_once_and_stays_listed_among_the_dead(tokens: Tokens) -> None:
    secret, token = await tokens.create(ADMIN, ANN)
    assert await tokens.lives(token.id)
    await tokens.revoke(ADMIN, token.id)
    assert await tokens.find(secret) is None
    assert not await tokens.lives(token.id)
    assert await tokens.all(ADMIN) == []
    assert [one.id for one in await tokens.all(ADMIN, dead=True)] == [token.id]
    with pytest.raises(TokenNotFound):
        await tokens.revoke(ADMIN, token.id)


async def test_a_token_ends_when_it_expires(tokens: Tokens) -> None:
    secret, token = await tokens.create(ADMIN, ANN, seconds=2.0)
    assert await tokens.find(secret) is not None
    await asyncio.sleep(2.1)
    assert await tokens.find(secret) is None
    assert not await tokens.lives(token.id)
    with pytest.raises(TokenNotFound):
        await tokens.rotate(ADMIN, token.id)


async def test_rotation_gives_the_same_rights_and_ends_the_old_one(tokens: Tokens) -> None:
    old, token = await tokens.create(ADMIN, ANN)
    new, fresh = await tokens.rotate(ADMIN, token.id)
    assert await tokens.find(old) is None
    found = await tokens.find(new)
    assert found is not None
    assert found.principal == ANN
    kept, _ = await tokens.rotate(ADMIN, fresh.id, grace=60)
    assert await tokens.find(new) is not None
    assert await tokens.find(kept) is not None


async def test_a_grace_never_prolongs_a_token(tokens: Tokens) -> None:
    _, token = await tokens.create(ADMIN, ANN, seconds=5)
    await tokens.rotate(ADMIN, token.id, grace=3600)
    [old, _] = await tokens.all(ADMIN)
    assert old.expires_at is not None
    assert old.expires_at < datetime.now(UTC) + timedelta(seconds=10)


async def test_only_administrators_of_the_tenant_see_and_change_tokens(tokens: Tokens) -> None:
    _, token = await tokens.create(ADMIN, ANN)
    foreign = local_administrator("elsewhere")
    assert await tokens.all(foreign, dead=True) == []
    for attempt in (tokens.revoke, tokens.rotate):
        with pytest.raises(TokenNotFound):
            await attempt(foreign, token.id)
        with pytest.raises(NotPermitted):
            await attempt(ANN, token.id)
    with pytest.raises(NotPermitted):
        await tokens.create(foreign, ANN)
    with pytest.raises(NotPermitted):
        await tokens.create(ANN, ANN)
    with pytest.raises(NotPermitted):
        await tokens.all(ANN)
    assert await tokens.lives(token.id)


async def test_row_security_hides_the_tokens_of_another_tenant(tokens: Tokens, database: Database) -> None:
    await tokens.create(ADMIN, ANN)
    for who in (None, local_administrator("elsewhere")):
        way = database.system() if who is None else database.acting(who)
        async with way as connection:
            assert (await (await connection.execute("SELECT count(*) FROM fiel.tokens")).fetchone()) == (0,)


@pytest.mark.parametrize(
    "statement",
    ["DELETE FROM fiel.tokens", "UPDATE fiel.tokens SET roles = '{administrator}'"],
    ids=["delete", "roles"],
)
async def test_rights_of_a_token_are_never_changed(tokens: Tokens, database: Database, statement: str) -> None:
    await tokens.create(ADMIN, ANN)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        async with database.acting(ADMIN) as connection:
            await connection.execute(statement.encode())


async def test_a_token_without_a_role_is_not_made(tokens: Tokens) -> None:
    with pytest.raises(UsageError):
        await tokens.create(ADMIN, Principal("default", "ann"))


async def test_a_role_of_another_version_grants_nothing(tokens: Tokens, database_urls: Urls) -> None:
    secret, _ = await tokens.create(ADMIN, ANN)
    with psycopg.connect(database_urls.owner) as connection:
        connection.execute("SET ROLE fiel_owner")
        connection.execute("UPDATE fiel.tokens SET roles = '{reader,overlord}'")
    found = await tokens.find(secret)
    assert found is not None
    assert found.principal.roles == {"reader"}


async def test_two_first_starts_make_one_administrator(tokens: Tokens) -> None:
    made = await asyncio.gather(*(tokens.first(ADMIN, ADMIN) for _ in range(4)))
    assert len([secret for secret in made if secret]) == 1
    assert await tokens.first(ADMIN, ADMIN) is None
    [token] = await tokens.all(ADMIN)
    await tokens.revoke(ADMIN, token.id)
    assert await tokens.first(ADMIN, ADMIN) is None, "a revoked administrator does not come back by a restart"


async def test_use_is_noted(tokens: Tokens) -> None:
    secret, token = await tokens.create(ADMIN, ANN)
    assert token.last_used_at is None
    await tokens.find(secret)
    [noted] = await tokens.all(ADMIN)
    assert noted.last_used_at is not None
    await tokens.find(secret)
    assert [one.last_used_at for one in await tokens.all(ADMIN)] == [noted.last_used_at], "at most once a minute"


async def test_an_id_that_is_none_is_not_found(tokens: Tokens) -> None:
    with pytest.raises(TokenNotFound):
        await tokens.revoke(ADMIN, "not-a-uuid")
