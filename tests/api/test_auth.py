"""Who may call: tokens of fiel's, JWTs of an issuer, and nobody else."""

import dataclasses
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from fiel.infra.api.auth import Calling, keys
from fiel.infra.api.auth.oidc import open_oidc
from fiel.infra.settings import Settings
from fiel.tools.errors import SettingsError
from fiel.tools.principal import local_administrator
from tests.api.conftest import Server, serving
from tests.api.issuer import AUDIENCE, Issuer, issuing
from tests.conftest import Urls


@pytest.fixture
def database_urls(shared_urls: Urls) -> Urls:
    """One database for this file: users and tokens do not meet."""
    return shared_urls


def tell_caller(server: Server) -> None:
    """Add a route that says who calls."""

    @server.app.get("/whoami")
    async def whoami(caller: Calling) -> dict[str, Any]:
        who = caller.principal
        return {
            "tenant": who.tenant,
            "id": who.id,
            "groups": sorted(who.groups),
            "roles": sorted(who.roles),
            "kind": caller.kind,
        }


@pytest.fixture
def whoami(server: Server) -> Server:
    tell_caller(server)
    return server


async def ask(server: Server, token: str | None = None, **headers: str) -> httpx.Response:
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    async with httpx.AsyncClient(base_url=server.url, timeout=60) as web:
        return await web.get("/whoami", headers=headers)


# Tokens ---------------------------------------------------------------------------------------------------------------


async def test_a_token_says_who_calls(whoami: Server) -> None:
    token = await whoami.token("ann", ("reader", "curator"), ("finance",), "acme")
    told = {"tenant": "acme", "id": "ann", "groups": ["finance"], "roles": ["curator", "reader"], "kind": "token"}
    assert (await ask(whoami, token)).json() == told
    assert (await ask(whoami, **{"X-Api-Key": token})).json() == told


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Basic YW5uOmFubg==", "Bearer fiel_" + "A" * 43, "Bearer sk-x", "Bearer a.b.c", "fiel_x"],
)
async def test_without_a_token_nobody_comes_in(whoami: Server, header: str) -> None:
    answer = await ask(whoami, **({"Authorization": header} if header else {}))
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json()["code"] == "not_authenticated"


async def test_a_revoked_token_stops_at_once_and_a_running_stream_can_tell(whoami: Server) -> None:
    token = await whoami.token("ann")
    assert (await ask(whoami, token)).status_code == 200
    authenticator = whoami.service.authenticator
    found = await authenticator.tokens.find(token)
    assert found is not None
    caller = await authenticator._token(token)
    assert await authenticator.still_valid(caller)
    await authenticator.tokens.revoke(local_administrator(), found.id)
    assert (await ask(whoami, token)).status_code == 401
    assert not await authenticator.still_valid(caller)


# FIEL_AUTH=none -------------------------------------------------------------------------------------------------------


@pytest.fixture
async def open_server(service_settings: Settings, database_urls: Urls, host: Any) -> AsyncIterator[Server]:
    async with serving(dataclasses.replace(service_settings, auth="none"), database_urls, host) as server:
        tell_caller(server)
        yield server


async def test_with_auth_none_the_caller_is_the_local_administrator(open_server: Server) -> None:
    told = (await ask(open_server)).json()
    assert (told["id"], told["kind"]) == ("local", "none")
    assert "administrator" in told["roles"]
    assert (await ask(open_server, "sk-any")).json() == told, "clients that insist on a key may send any"


async def test_with_auth_none_a_token_still_means_its_holder(open_server: Server) -> None:
    token = await open_server.token("ann")
    assert (await ask(open_server, token)).json()["id"] == "ann"
    assert (await ask(open_server, "fiel_" + "A" * 43)).status_code == 401


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8123", "127.0.0.1.evil.example", ""])
async def test_with_auth_none_a_foreign_name_of_this_host_is_refused(open_server: Server, host: str) -> None:
    assert (await ask(open_server, Host=host)).status_code == 403


# JWTs -----------------------------------------------------------------------------------------------------------------


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    async with issuing() as started:
        yield started


@pytest.fixture
async def trusting(
    service_settings: Settings, database_urls: Urls, host: Any, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Server]:
    """A server that accepts the issuer's JWTs, and asks it for unknown keys as often as it likes."""
    monkeypatch.setattr(keys, "PAUSE", 0.0)
    settings = dataclasses.replace(service_settings, oidc_issuer=issuer.url, oidc_audience=AUDIENCE)
    async with serving(settings, database_urls, host) as server:
        tell_caller(server)
        yield server


@pytest.mark.parametrize(("kind", "alg"), [("RSA", "RS256"), ("RSA", "PS512"), ("EC", "ES256"), ("OKP", "EdDSA")])
@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")
async def test_a_jwt_says_who_calls(trusting: Server, issuer: Issuer, kind: str, alg: str) -> None:
    issuer.rotate(kind)
    token = issuer.sign(alg=alg, groups=["finance", "hr"], fiel_roles=["auditor", "overlord"])
    assert (await ask(trusting, token)).json() == {
        "tenant": "default",
        "id": "ann",
        "groups": ["finance", "hr"],
        "roles": ["auditor", "reader"],
        "kind": "jwt",
    }


async def test_a_group_with_a_reserved_name_grants_nothing(trusting: Server, issuer: Issuer) -> None:
    token = issuer.sign(groups=["role:administrator", "user:bob", "finance", ""])
    assert (await ask(trusting, token)).json()["groups"] == ["finance"]


NOW = int(time.time())


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "another"},
        {"aud": None},
        {"iss": "http://127.0.0.1:1"},
        {"iss": None},
        {"exp": NOW - 3600},
        {"exp": None},
        {"nbf": NOW + 3600},
        {"sub": None},
        {"sub": ""},
        {"sub": "local"},
        {"sub": 7},
        {"sub": "x" * 300},
    ],
    ids=lambda claims: str(claims).replace(str(NOW - 3600), "past").replace(str(NOW + 3600), "future"),
)
async def test_claims_that_do_not_hold_are_refused(trusting: Server, issuer: Issuer, claims: dict[str, Any]) -> None:
    assert (await ask(trusting, issuer.sign())).status_code == 200
    assert (await ask(trusting, issuer.sign(**claims))).status_code == 401


async def test_signatures_that_do_not_hold_are_refused(trusting: Server, issuer: Issuer) -> None:
    good = issuer.sign()
    kid = next(iter(issuer.keys))
    head, body, signature = good.split(".")
    other = Issuer(issuer.url)
    other.rotate()
    forged = [
        f"{head}.{body}.",
        f"{head}.{body}.{signature[:-6]}AAAAAA",
        f"{head}.{issuer.sign(sub='bob').split('.')[1]}.{signature}",
        "eyJhbGciOiJub25lIiwia2lkIjoieCJ9." + body + ".",
        issuer.confused(),
        other.sign(),
        other.sign(kid=kid, key=next(iter(other.keys.values()))),
        good + "x" * 20_000,
    ]
    for token in forged:
        assert (await ask(trusting, token)).status_code == 401, token[:60]


async def test_a_new_key_is_fetched_and_one_that_is_gone_lets_nobody_in(trusting: Server, issuer: Issuer) -> None:
    old = issuer.sign()
    assert (await ask(trusting, old)).status_code == 200
    caller = await trusting.service.authenticator.jwt.authenticate(None, old)  # type: ignore[union-attr, arg-type]
    issuer.rotate()
    assert (await ask(trusting, issuer.sign())).status_code == 200
    assert (await ask(trusting, old)).status_code == 401
    assert not await trusting.service.authenticator.still_valid(caller)


async def test_an_expired_jwt_ends_a_running_stream(trusting: Server, issuer: Issuer) -> None:
    jwt = trusting.service.authenticator.jwt
    assert jwt is not None
    caller = await jwt.authenticate(None, issuer.sign())  # type: ignore[arg-type]
    assert await trusting.service.authenticator.still_valid(caller)
    _, rest = caller.credential.split("|", 1)
    assert not await trusting.service.authenticator.still_valid(
        dataclasses.replace(caller, credential=f"{NOW - 60}|{rest}")
    )


async def test_unknown_key_ids_are_no_flood_of_the_issuer(
    trusting: Server, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "PAUSE", 10.0)
    asked = issuer.asked
    stranger = Issuer(issuer.url)
    for _ in range(20):
        stranger.rotate()
        assert (await ask(trusting, stranger.sign())).status_code == 401
    assert issuer.asked - asked <= 1


async def test_while_the_issuer_is_gone_known_keys_are_good_and_then_nobody_comes_in(
    trusting: Server, issuer: Issuer
) -> None:
    token = issuer.sign()
    assert (await ask(trusting, token)).status_code == 200
    issuer.down = True
    jwt: Any = trusting.service.authenticator.jwt
    now = time.monotonic()
    jwt.keys.clock = lambda: now + keys.FRESH + 1
    assert (await ask(trusting, token)).status_code == 200
    jwt.keys.clock = lambda: now + keys.STALE + 60
    answer = await ask(trusting, token)
    assert (answer.status_code, answer.json()["code"]) == (503, "issuer_unavailable")
    assert answer.headers["retry-after"]
    issuer.down = False
    assert (await ask(trusting, token)).status_code == 200


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"oidc_audience": ""}, "audience"),
        ({"oidc_issuer": "http://issuer.example"}, "https"),
        ({"oidc_issuer": "ftp://127.0.0.1"}, "https"),
    ],
    ids=["audience", "plain", "scheme"],
)
async def test_an_issuer_that_cannot_be_trusted_stops_the_start(change: dict[str, str], what: str) -> None:
    settings = Settings(**{"oidc_issuer": "https://issuer.example", "oidc_audience": "x", **change})
    with pytest.raises(SettingsError, match=what):
        async with open_oidc(settings):
            pass


@pytest.mark.parametrize("discovery", [{"issuer": "http://127.0.0.1:1"}, {"jwks_uri": "http://issuer.example/keys"}])
async def test_an_issuer_that_contradicts_itself_stops_the_start(issuer: Issuer, discovery: dict[str, str]) -> None:
    issuer.discovery = discovery
    with pytest.raises(keys.IssuerUnavailable):
        async with open_oidc(Settings(oidc_issuer=issuer.url, oidc_audience="x")):
            pass


async def test_an_issuer_that_is_gone_stops_the_start(issuer: Issuer) -> None:
    issuer.down = True
    with pytest.raises(keys.IssuerUnavailable):
        async with open_oidc(Settings(oidc_issuer=issuer.url, oidc_audience="x")):
            pass


async def test_claims_of_roles_tenant_and_user_are_named_by_settings(
    service_settings: Settings, database_urls: Urls, host: Any, issuer: Issuer
) -> None:
    settings = dataclasses.replace(
        service_settings,
        oidc_issuer=issuer.url,
        oidc_audience=AUDIENCE,
        oidc_user_claim="email",
        oidc_roles_claim="realm_access.roles",
        oidc_tenant_claim="https://acme.example/org",
    )
    more = {"realm_access": {"roles": ["developer"]}, "https://acme.example/org": "acme", "email": "ann@acme.example"}
    async with serving(settings, database_urls, host) as server:
        tell_caller(server)
        told = (await ask(server, issuer.sign(**more))).json()
        assert (told["tenant"], told["id"], told["roles"]) == ("acme", "ann@acme.example", ["developer", "reader"])
        assert (await ask(server, issuer.sign(email="ann@acme.example"))).status_code == 401, "no tenant"
