"""A real server on loopback over the tests' PostgreSQL, and clients of it.

A test file sets the fixtures `host` (whose graphs are served) and `service_settings` anew where it needs others.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient

from fiel.infra.api.app import create
from fiel.infra.api.auth.custom import Place
from fiel.infra.api.connection import Connection
from fiel.infra.api.opening import service_of
from fiel.infra.api.service import Service
from fiel.infra.database.connect import Database
from fiel.infra.hosts.port import GraphHost
from fiel.infra.settings import Settings
from fiel.tools.principal import Principal, Role, local_administrator
from tests.conftest import Urls

QUICK = frozenset(f"test_{name}.py" for name in ("auth", "auth_gate", "people", "runs"))
"""What `make test` runs of this folder: who comes in, what a run is, and who may do what."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every other test of this folder is slow: each starts a service of its own."""
    folder = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(folder) and item.path.name not in QUICK:
            item.add_marker(pytest.mark.slow)


class NoGraphs:
    """A host that serves nothing: for tests of what surrounds graphs."""

    def graph_ids(self) -> Sequence[str]:
        return ()


@dataclass(slots=True)
class Server:
    """A running API process."""

    url: str
    app: Any

    @property
    def service(self) -> Service:
        service: Service = self.app.state.service
        return service

    async def token(
        self, user: str, roles: Sequence[Role] = ("reader",), groups: Sequence[str] = (), tenant: str = "default"
    ) -> str:
        """A fresh token of that user."""
        holder = Principal(tenant, user, frozenset(groups), frozenset(roles))
        secret, _ = await self.service.authenticator.tokens.create(local_administrator(tenant), holder)
        return secret


class Quiet(uvicorn.Server):
    """Leaves the signals of the test process alone."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def serving(
    settings: Settings, urls: Urls, host: GraphHost, *, custom: Place | None = None
) -> AsyncIterator[Server]:
    """A server over the database at `urls`, in this event loop. Several may serve the same database."""

    @asynccontextmanager
    async def opening() -> AsyncIterator[Service]:
        async with (
            Database(urls.runtime, size=16) as database,
            service_of(settings, database, host, custom=custom) as service,
        ):
            yield service

    app = create(settings, opening)
    async with running(app) as url:
        yield Server(url, app)


@asynccontextmanager
async def running(app: Any) -> AsyncIterator[str]:
    """Address of an application that uvicorn serves on loopback, in this event loop."""
    config = uvicorn.Config(
        app,
        log_config=None,
        lifespan="auto",
        http=Connection,
        ws="websockets-sansio",
        timeout_keep_alive=75,  # as `fiel serve`; 5 seconds, which clients have too, end connections under requests
        timeout_graceful_shutdown=2,
    )
    with socket.socket(proto=socket.IPPROTO_TCP) as bound:  # without it asyncio leaves Nagle on: 40 ms an answer
        bound.bind(("127.0.0.1", 0))
        server = Quiet(config)
        task = asyncio.create_task(server.serve([bound]))
        while not server.started:
            assert not task.done(), "the server did not start: " + repr(task.exception())
            await asyncio.sleep(0.005)
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"
        server.should_exit = True
        await task


@pytest.fixture
def service_settings(tmp_path: Path) -> Settings:
    """Settings of the server."""
    return Settings(home=str(tmp_path / "home"), rate=0)


@pytest.fixture
def host() -> GraphHost:
    """Whose graphs are served."""
    return NoGraphs()  # type: ignore[return-value]


@pytest.fixture
async def server(service_settings: Settings, database_urls: Urls, host: GraphHost) -> AsyncIterator[Server]:
    """The server of this test alone."""
    async with serving(service_settings, database_urls, host) as started:
        yield started


MakeClient = Callable[..., Awaitable[LangGraphClient]]


@pytest.fixture
async def client(server: Server) -> AsyncIterator[MakeClient]:
    """`await client(user="ann", roles=("reader",), groups=(), tenant="default")`: the SDK's client with a new token."""
    async with contextlib.AsyncExitStack() as stack:

        async def make(user: str = "ann", **rights: Any) -> LangGraphClient:
            token = await server.token(user, **rights)
            made = get_client(url=server.url, api_key=None, headers={"Authorization": f"Bearer {token}"})
            return await stack.enter_async_context(made)

        yield make


@pytest.fixture
async def http(server: Server) -> AsyncIterator[Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]]:
    """`async with http(user="ann") as web`: a plain HTTP client; with `user=None` it shows no token."""

    @asynccontextmanager
    async def make(user: str | None = "ann", **rights: Any) -> AsyncIterator[httpx.AsyncClient]:
        headers = {"Authorization": f"Bearer {await server.token(user, **rights)}"} if user else {}
        async with httpx.AsyncClient(base_url=server.url, headers=headers, timeout=30.0) as web:
            yield web

    yield make
