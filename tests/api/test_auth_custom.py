"""The custom-auth convention of `langgraph.json`: foreign handlers, in a process of their own, that fail closed."""

import asyncio
import os
import textwrap
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from fiel.infra.api.auth import custom
from fiel.infra.api.auth.custom import AuthRefused, AuthUnavailable, CustomAuth, Place, open_custom
from fiel.infra.settings import Settings
from fiel.tools.errors import SettingsError
from tests.api.conftest import Server, serving
from tests.api.test_auth import tell_caller
from tests.conftest import Urls

pytestmark = pytest.mark.slow

OFFICIAL = """
    from langgraph_sdk import Auth
    auth = Auth()
    USERS = {"tok-ann": {"identity": "ann", "groups": ["finance", "role:curator"], "permissions": ["p"]},
             "tok-dev": {"identity": "dev", "fiel_roles": ["developer", "overlord"], "tenant": "acme"},
             "tok-off": {"identity": "off", "is_authenticated": False}, "tok-local": {"identity": "local"}}

    @auth.authenticate
    async def who(authorization: str) -> Auth.types.MinimalUserDict:
        scheme, token = authorization.split()
        if token == "tok-none": return None
        if token == "tok-403": raise Auth.exceptions.HTTPException(status_code=403, detail="not here")
        if token not in USERS:
            raise Auth.exceptions.HTTPException(status_code=401, detail="unknown token")
        return USERS[token]
"""


@pytest.fixture
def database_urls(shared_urls: Urls) -> Urls:
    """One database for this file."""
    return shared_urls


@pytest.fixture
def place(tmp_path: Path) -> Callable[[str], Place]:
    """`place(code)`: where an auth object of this code stands."""

    def write(code: str) -> Place:
        (tmp_path / "mine.py").write_text(textwrap.dedent(code))
        return Place("mine.py:auth", tmp_path, os.environ)

    return write


Start = Callable[[str], Awaitable[Server]]


@pytest.fixture
async def start(service_settings: Settings, database_urls: Urls, host: Any, place: Any) -> Any:
    """`await start(code)`: a server with these handlers."""
    async with AsyncExitStack() as stack:

        async def make(code: str) -> Server:
            server = await stack.enter_async_context(serving(service_settings, database_urls, host, custom=place(code)))
            tell_caller(server)
            return server

        yield make


async def ask(server: Server, token: str = "", **headers: str) -> httpx.Response:
    headers |= {"Authorization": f"Bearer {token}"} if token else {}
    async with httpx.AsyncClient(base_url=server.url, timeout=60) as web:
        return await web.get("/whoami", headers=headers)


async def test_the_handler_says_who_calls(start: Start) -> None:
    server = await start(OFFICIAL)
    told = (await ask(server, "tok-ann")).json()
    assert told == {"tenant": "default", "id": "ann", "groups": ["finance"], "roles": ["reader"], "kind": "custom"}
    told = (await ask(server, "tok-dev")).json()
    assert (told["tenant"], told["roles"]) == ("acme", ["developer", "reader"])


@pytest.mark.parametrize(
    ("token", "status"),
    [("tok-x", 401), ("tok-none", 401), ("tok-off", 401), ("tok-local", 401), ("tok-403", 403), ("", 503)],
)
async def test_whoever_the_handler_does_not_know_stays_outside(start: Start, token: str, status: int) -> None:
    server = await start(OFFICIAL)
    answer = await ask(server, token)  # without a token this handler crashes: None has no split
    assert answer.status_code == status


async def test_tokens_of_fiel_are_good_beside_the_handler(start: Start) -> None:
    server = await start(OFFICIAL)
    assert (await ask(server, await server.token("bob"))).json()["kind"] == "token"


async def test_a_handler_gets_what_it_asks_for_by_name(start: Start) -> None:
    server = await start(
        """
        from langgraph_sdk import Auth
        auth = Auth()
        @auth.authenticate
        def who(request, headers, method, path, query_params, scope, extra="default"):
            print("a print must not break anything")
            assert request.url.path == path == scope["path"] and extra == "default"
            return f"{headers[b'x-user'].decode()}-{method}-{path}-{request.headers['x-user']}"
        """
    )
    assert (await ask(server, **{"X-User": "ann"})).json()["id"] == "ann-GET-/whoami-ann"


async def test_a_running_stream_is_asked_about_again(start: Start, tmp_path: Path) -> None:
    server = await start(
        """
        from pathlib import Path
        from langgraph_sdk import Auth
        auth = Auth()
        @auth.authenticate
        async def who(authorization):
            return {"identity": "ann", "is_authenticated": not Path("revoked").exists()}
        """
    )
    authenticator = server.service.authenticator
    assert (await ask(server, "x")).status_code == 200
    handlers: Any = authenticator.custom
    [credential] = handlers._seen
    caller = await handlers._who(handlers._seen[credential])
    assert await authenticator.still_valid(caller)
    (tmp_path / "revoked").touch()
    assert not await authenticator.still_valid(caller)


BREAKING = """
    import asyncio, os, time
    from langgraph_sdk import Auth
    auth = Auth()
    @auth.authenticate
    async def who(authorization):
        word = authorization.split()[1]
        if word == "die": os._exit(3)
        if word == "hang": await asyncio.sleep(60)
        if word == "odd": return {"name": "no identity"}
        return word
"""


async def test_where_the_handlers_hang_or_die_nobody_comes_in_and_they_are_started_again(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(custom, "PATIENCE", 5.0)
    server = await start(BREAKING)
    assert (await ask(server, "odd")).status_code == 503
    hanging = asyncio.create_task(ask(server, "hang"))
    await asyncio.sleep(0.1)
    assert (await ask(server, "ann")).json()["id"] == "ann", "another's hanging call is not in the way"
    assert (await hanging).status_code == 503
    monkeypatch.setattr(custom, "PATIENCE", 20.0)
    died = await ask(server, "die")
    assert (died.status_code, died.json()["code"]) == (503, "auth_unavailable")
    assert (await ask(server, "ann")).json()["id"] == "ann"


@pytest.mark.parametrize(
    ("code", "what"),
    [
        ("raise ImportError('gone')", "ImportError"),
        ("auth = 7", "no langgraph_sdk.Auth"),
        ("from langgraph_sdk import Auth\nauth = Auth()", "no langgraph_sdk.Auth"),
        (
            "from langgraph_sdk import Auth\nauth = Auth()\n@auth.authenticate\nasync def who(cookie): return 'x'",
            "cookie",
        ),
        ("import sys; sys.exit(0)", "do not load"),
    ],
    ids=["import", "type", "empty", "parameter", "exit"],
)
async def test_handlers_that_cannot_be_used_stop_the_start(place: Callable[[str], Place], code: str, what: str) -> None:
    with pytest.raises((SettingsError, AuthUnavailable), match=what):
        async with open_custom(place(code)):
            pass


async def test_a_missing_file_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no Python file"):
        async with open_custom(Place("gone.py:auth", tmp_path, os.environ)):
            pass


ON = """
    from langgraph_sdk import Auth
    auth = Auth()
    @auth.authenticate
    async def who(authorization): return {"identity": "ann", "permissions": ["read"], "org": "acme"}
    @auth.on
    async def deny(ctx, value): return False
    @auth.on.threads.create
    async def create(ctx, value):
        value.setdefault("metadata", {})["owner"] = ctx.user.identity
    @auth.on.threads.read
    async def read(ctx: Auth.types.AuthContext, value): return {"org": ctx.user["org"]}
    @auth.on.threads
    async def threads(ctx, value): assert "read" in ctx.permissions and "write" in ctx.permissions, "may not write"
    @auth.on.assistants.search
    async def search(ctx, value): raise Auth.exceptions.HTTPException(status_code=418, detail="no")
    @auth.on.crons.create
    async def crons(ctx, value): return "odd"
"""


@pytest.fixture
async def handlers(place: Callable[[str], Place]) -> Any:
    async with open_custom(place(ON)) as opened:
        yield opened


async def test_the_most_specific_handler_decides(handlers: CustomAuth) -> None:
    caller = await handlers._who(
        {"headers": [("authorization", "x")], "query_string": "", "path": "/", "method": "GET"}
    )
    made = await handlers.authorize(caller, "threads", "create", {"thread_id": "t"})
    assert (made.value, made.filter) == ({"thread_id": "t", "metadata": {"owner": "ann"}}, None)
    assert (await handlers.authorize(caller, "threads", "read", {})).filter == {"org": "acme"}
    for resource, action, status in [("threads", "update", 403), ("store", "put", 403), ("assistants", "search", 418)]:
        with pytest.raises(AuthRefused) as refused:
            await handlers.authorize(caller, resource, action, {})
        assert refused.value.status == status
    with pytest.raises(AuthUnavailable):
        await handlers.authorize(caller, "crons", "create", {})
