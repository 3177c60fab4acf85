"""Users and groups: kept over HTTP by administrators alone, looked up with each request, every change an act, once."""

import asyncio
import dataclasses
import time
import uuid
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from fiel.infra.ledger.acts import acts
from fiel.infra.runs.rights import Rights
from fiel.infra.runs.spec import Asker
from fiel.infra.settings import Settings
from fiel.tools.principal import Principal, local_administrator
from tests.api.conftest import Server, serving
from tests.api.issuer import AUDIENCE, Issuer, issuing
from tests.api.test_auth import ask, tell_caller
from tests.conftest import Urls


@pytest.fixture
def database_urls(shared_urls: Urls) -> Urls:
    """One database for this file: each test has a tenant of its own."""
    return shared_urls


@pytest.fixture
def tenant() -> str:
    return f"t-{uuid.uuid4()}"


@pytest.fixture
def whoami(server: Server) -> Server:
    tell_caller(server)
    return server


@pytest.fixture
async def boss(server: Server, tenant: str) -> AsyncIterator[httpx.AsyncClient]:
    """An administrator's connection."""
    headers = {"Authorization": f"Bearer {await server.token('boss', ('administrator',), (), tenant)}"}
    async with httpx.AsyncClient(base_url=server.url, headers=headers, timeout=60) as web:
        yield web


async def told(server: Server, tenant: str, *kinds: str) -> list[tuple[str, str, Any]]:
    """Kind, subject and member or roles of the acts of these kinds, the oldest first."""
    by = local_administrator(tenant)
    async with server.service.database.acting(by) as connection:
        found = [act.body for act in reversed(await acts(connection, tenant, limit=1000))]
    return [
        (act["kind"], act["subject"], act["detail"].get("member", act["detail"].get("roles")))
        for act in found
        if act["kind"] in kinds
    ]


CHANGES = ("user_change", "group_add", "group_remove", "token_revoke")


async def test_a_token_has_each_time_what_its_user_has(whoami: Server, boss: httpx.AsyncClient, tenant: str) -> None:
    await boss.put("/groups/finance", json={})
    assert (await boss.put("/users/ana", json={"groups": ["finance"]})).json()["roles"] == ["reader"]
    secret, made = await whoami.service.authenticator.tokens.create(
        local_administrator(tenant), Principal(tenant, "ana", frozenset({"extra"}))
    )
    one = (await ask(whoami, secret)).json()
    assert (one["groups"], one["roles"]) == (["extra", "finance"], ["reader"])
    await boss.put("/users/ana", json={"roles": ["curator", "auditor"]})
    await boss.put("/groups/finance", json={"remove": ["ana"]})
    await boss.put("/groups/legal", json={"add": ["ana"]})
    two = (await ask(whoami, secret)).json()
    assert (two["groups"], two["roles"]) == (["extra", "legal"], ["auditor", "curator"])
    assert (await boss.delete("/users/ana")).json()["groups"] == ["legal"]
    assert (await ask(whoami, secret)).status_code == 401
    assert (await boss.put("/users/ana", json={})).status_code == 200
    assert (await ask(whoami, secret)).status_code == 401, "a new user of that name does not get the old token"
    assert await told(whoami, tenant, *CHANGES) == [
        ("group_add", "finance", None),
        ("user_change", "ana", ["reader"]),
        ("group_add", "finance", "ana"),
        ("user_change", "ana", ["curator", "auditor"]),
        ("group_remove", "finance", "ana"),
        ("group_add", "legal", None),
        ("group_add", "legal", "ana"),
        ("group_remove", "legal", "ana"),
        ("token_revoke", made.id, None),
        ("user_change", "ana", ["curator", "auditor"]),
        ("user_change", "ana", ["reader"]),
    ]


async def test_who_asked_earlier_has_the_rights_of_now(server: Server, boss: httpx.AsyncClient, tenant: str) -> None:
    await boss.put("/groups/finance", json={})
    await boss.put("/users/ana", json={"groups": ["finance"]})
    tokens, rights = server.service.authenticator.tokens, Rights(server.service.database)
    holder = Principal(tenant, "ana", frozenset({"extra"}))
    _, made = await tokens.create(local_administrator(tenant), holder)
    then = Principal(tenant, "ana", frozenset({"extra", "finance"}), frozenset({"reader"}))
    asker = Asker(then, {}, made.id, "token")
    assert await rights.now(asker) == asker
    await boss.put("/groups/finance", json={"remove": ["ana"]})
    now = await rights.now(asker)
    assert now is not None
    assert now.principal == Principal(tenant, "ana", frozenset({"extra"}), frozenset({"reader"}))
    assert await rights.now(dataclasses.replace(asker, principal=Principal(tenant, "bob"))) is None
    await tokens.revoke(local_administrator(tenant), made.id)
    assert await rights.now(asker) is None


async def test_what_changes_nothing_is_no_act(server: Server, boss: httpx.AsyncClient, tenant: str) -> None:
    for _ in range(2):
        await boss.put("/users/ana", json={"roles": ["reader"]})
        await boss.put("/groups/g", json={"add": ["ana"], "remove": ["bob"]})
    assert len(await told(server, tenant, *CHANGES)) == 3


async def test_a_token_that_names_roles_keeps_them(whoami: Server, boss: httpx.AsyncClient, tenant: str) -> None:
    await boss.put("/users/ana", json={"roles": ["administrator"]})
    token = await whoami.token("ana", ("reader",), (), tenant)
    assert (await ask(whoami, token)).json()["roles"] == ["reader"]


CALLS = [
    ("GET", "/users", None),
    ("GET", "/users/ana", None),
    ("PUT", "/users/ana", {}),
    ("DELETE", "/users/ana", None),
    ("GET", "/groups", None),
    ("GET", "/groups/finance", None),
    ("PUT", "/groups/finance", {"add": ["ana"]}),
    ("DELETE", "/groups/finance", None),
]


async def test_only_administrators_and_nobody_learns_who_is_kept(
    server: Server, boss: httpx.AsyncClient, tenant: str
) -> None:
    await boss.put("/users/ana", json={})
    await boss.put("/groups/finance", json={"add": ["ana"]})
    others = {"reader": "ana", "curator": "cur", "developer": "dev", "auditor": "aud"}
    for role, name in others.items():
        token = await server.token(name, (role,), ("finance",), tenant)
        async with httpx.AsyncClient(
            base_url=server.url, headers={"Authorization": f"Bearer {token}"}, timeout=60
        ) as web:
            for method, path, body in CALLS:
                for asked in (path, path.replace("ana", "nobody").replace("finance", "none")):
                    answer = await web.request(method, asked, json=body)
                    assert (answer.status_code, answer.json()["code"]) == (403, "not_permitted"), (role, asked)
    assert len(await told(server, tenant, *CHANGES)) == 3


async def test_an_administrator_of_another_tenant_finds_nobody(
    server: Server, boss: httpx.AsyncClient, tenant: str
) -> None:
    await boss.put("/users/ana", json={})
    await boss.put("/groups/finance", json={"add": ["ana"]})
    token = await server.token("boss", ("administrator",), (), f"{tenant}-other")
    async with httpx.AsyncClient(base_url=server.url, headers={"Authorization": f"Bearer {token}"}, timeout=60) as web:
        assert (await web.get("/users")).json() == (await web.get("/groups")).json() == []
        for method, path in (("GET", "/users/ana"), ("DELETE", "/users/ana"), ("DELETE", "/groups/finance")):
            assert (await web.request(method, path)).status_code == 404
        assert (await web.put("/groups/g", json={"add": ["ana"]})).status_code == 404
        assert (await web.get("/groups")).json() == [], "what fails leaves nothing"
    assert (await boss.get("/groups/finance")).json()["members"] == ["ana"]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/users/local", {}, 422),
        ("/users/%20", {}, 422),
        ("/users/ana", {"roles": ["overlord"]}, 422),
        ("/users/ana", {"groups": ["none"]}, 404),
        ("/users/ana", {"admin": True}, 422),
        ("/groups/role:administrator", {}, 422),
        ("/groups/everyone", {}, 422),
        ("/groups/g", {"add": ["nobody"]}, 404),
    ],
)
async def test_what_cannot_be_is_refused_and_leaves_nothing(
    boss: httpx.AsyncClient, path: str, body: Any, status: int
) -> None:
    assert (await boss.put(path, json=body)).status_code == status
    assert (await boss.get("/users")).json() == (await boss.get("/groups")).json() == []


# Grants ---------------------------------------------------------------------------------------------------------------


async def test_grants_over_http(server: Server, boss: httpx.AsyncClient, tenant: str) -> None:
    from tests.security.test_grants import World

    world = World(server.service.database, tenant)
    await world.add(frozenset())
    document = world.chunks[0].document
    await boss.put("/users/ana", json={})
    await boss.put("/groups/finance", json={"add": ["ana"]})
    grant = {"target": "c", "to": "group:finance"}
    assert (await boss.put("/grants", json=grant)).json() == {"changed": True, "chunks": 1}
    why = await boss.get("/grants/explain", params={"user": "ana", "document": document})
    assert why.json() == {"readable": True, "paths": [{"name": "finance", "by": "collection"}]}
    assert (await boss.delete("/grants", params=grant)).json() == {"changed": True, "chunks": 1}
    assert not (await boss.get("/grants/explain", params={"user": "ana", "document": document})).json()["readable"]
    assert (await boss.put("/grants", json={"target": "c", "to": "nobody"})).status_code == 422
    token = await server.token("ana", ("reader", "auditor", "developer"), (), tenant)
    async with httpx.AsyncClient(base_url=server.url, headers={"Authorization": f"Bearer {token}"}, timeout=60) as web:
        for target in ("c", "d", document, str(uuid.uuid4())):
            answer = await web.put("/grants", json={"target": target, "to": "everyone"})
            assert (answer.status_code, answer.json()["code"]) == (404, "target_not_found")
            assert (await web.delete("/grants", params={"target": target, "to": "everyone"})).status_code == 404


# What an identity provider says ---------------------------------------------------------------------------------------


@pytest.fixture
async def trusting(service_settings: Settings, database_urls: Urls, host: Any) -> AsyncIterator[tuple[Server, Issuer]]:
    async with issuing() as issuer:
        settings = dataclasses.replace(
            service_settings, oidc_issuer=issuer.url, oidc_audience=AUDIENCE, oidc_tenant_claim="tid"
        )
        async with serving(settings, database_urls, host) as server:
            tell_caller(server)
            yield server, issuer


async def test_a_change_in_a_token_is_one_act_however_often_it_is_shown(
    trusting: tuple[Server, Issuer], tenant: str
) -> None:
    server, issuer = trusting
    now = int(time.time())
    old = issuer.sign(tid=tenant, groups=["hr", "finance"], iat=now - 20)
    new = issuer.sign(tid=tenant, groups=["hr", "legal"], fiel_roles=["auditor"], iat=now - 10)
    await asyncio.gather(*(ask(server, old) for _ in range(4)))
    first = [("group_add", "finance", "ann"), ("group_add", "hr", "ann"), ("user_change", "ann", ["reader"])]
    assert await told(server, tenant, *CHANGES) == first
    for token in (new, old, new, old):
        assert (await ask(server, token)).status_code == 200
    assert (await ask(server, old)).json()["groups"] == ["finance", "hr"], "a token is good until it expires"
    assert await told(server, tenant, *CHANGES) == [
        *first,
        ("group_add", "legal", "ann"),
        ("group_remove", "finance", "ann"),
        ("user_change", "ann", ["auditor", "reader"]),
    ]


async def test_who_comes_with_a_jwt_is_also_in_the_groups_that_are_kept(
    trusting: tuple[Server, Issuer], tenant: str
) -> None:
    server, issuer = trusting
    token = await server.token("boss", ("administrator",), (), tenant)
    async with httpx.AsyncClient(base_url=server.url, headers={"Authorization": f"Bearer {token}"}, timeout=60) as boss:
        await boss.put("/users/ann", json={"roles": ["developer"]})
        await boss.put("/groups/board", json={"add": ["ann"]})
        jwt = issuer.sign(tid=tenant, groups=["hr"])
        one = (await ask(server, jwt)).json()
        assert (one["groups"], one["roles"]) == (["board", "hr"], ["developer", "reader"])
        await boss.delete("/users/ann")
        assert (await ask(server, jwt)).json()["groups"] == ["hr"]
