"""What the tests with Node and Chromium need: both programs, the built pages, and services that the pages call.

Where something is missing the tests are skipped and say what; in CI (the variable CI is set) they fail instead.
"""

import http.server
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from fiel.graphs.answer.graph import build
from fiel.infra.hosts.own import OwnHost
from fiel.infra.settings import Settings
from tests.api.conftest import Server, serving
from tests.conftest import Postgres, Urls
from tests.graph.conftest import House, bundles, house  # noqa: F401

HERE = Path(__file__).parent
PATIENCE = 90
FIEL = (sys.executable, "-m", "fiel.infra.cli")


def _lacking(what: str) -> None:
    if os.environ.get("CI"):
        pytest.fail(what)
    pytest.skip(what)


@pytest.fixture(scope="session")
def node() -> str:
    """The program `node`, with the packages of package.json."""
    found = shutil.which("node")
    if not found:
        _lacking("node is not installed (on Debian: apt-get install nodejs npm)")
    if subprocess.run([str(found), str(HERE / "version.cjs")]).returncode:
        _lacking("this Node is older than 20.19")
    if not (HERE / "node_modules/.installed").exists():
        _lacking("the Node packages are not installed: make test-all, or npm ci in tests/browser")
    return str(found)


@pytest.fixture(scope="session")
def chromium() -> str:
    """The program `chromium`."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if not found:
        _lacking("chromium is not installed (on Debian: apt-get install chromium)")
    return str(found)


@pytest.fixture(scope="session")
def pages(node: str) -> Iterator[str]:
    """Address of the built pages: another origin than the service's, as with any front end."""
    folder = HERE / "dist"
    if not folder.exists():
        _lacking("the pages are not built: make test-all, or npx vite build in tests/browser")
    handler = partial(_Silent, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class _Silent(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: Any) -> None:
        """Say nothing."""


@dataclass(frozen=True, slots=True)
class Service:
    """Something to call: address, token, graph."""

    url: str
    token: str
    assistant: str
    hold: Path
    """A file here lets go what is held."""


@pytest.fixture(scope="session")
def hosted(postgres: Postgres, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """`fiel serve --graphs` as a process, and a token of an ordinary user."""
    with _process(postgres, template, tmp_path_factory.mktemp("hosted")) as service:
        yield service


@contextmanager
def _process(postgres: Postgres, template: str, home: Path) -> Iterator[Service]:
    name = postgres.create(template)
    urls = postgres.urls(name)
    environ = {key: value for key, value in os.environ.items() if not key.startswith("FIEL_")}
    environ |= {"FIEL_HOME": str(home), "FIEL_RATE": "0", "CHAT_HOLD": str(home)}
    environ |= {"FIEL_DATABASE_URL": urls.runtime, "FIEL_DATABASE_OWNER_URL": urls.owner}
    graphs, log = str(HERE / "graphs/langgraph.json"), home / "serve.log"
    try:
        token = _token(environ)
        with (
            log.open("w") as out,
            subprocess.Popen(
                [*FIEL, "serve", "--graphs", graphs, "--port", "0", "--json"],
                env=environ,
                stdout=-1,
                stderr=out,
                text=True,
            ) as process,
        ):
            try:
                line = process.stdout.readline()  # type: ignore[union-attr]
                assert line, f"fiel serve did not start: {log.read_text()}"
                yield Service(json.loads(line)["url"], token, "chat", home)
            finally:
                process.terminate()
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    process.kill()
    finally:
        postgres.drop(name)


def _token(environ: dict[str, str]) -> str:
    made = subprocess.run(
        [*FIEL, "token", "create", "--user", "ann", "--json"], env=environ, check=True, stdout=-1, text=True
    )
    return str(json.loads(made.stdout)["token"])


@pytest.fixture
def own_house(house: House) -> House:  # noqa: F811
    """fiel's own graph around models that the test controls, with time for a hop that is held."""
    services = replace(house.services, timeout=30.0)
    return replace(house, services=services, graph=build(services, house.graph.checkpointer))  # type: ignore[arg-type]


@pytest.fixture
async def own(own_house: House, database_urls: Urls, tmp_path: Path) -> AsyncIterator[Callable[..., Any]]:
    """`await own(roles=("reader",))`: fiel's own graph, served to a user with these rights."""

    async def made() -> Any:
        return own_house.graph

    settings = Settings(home=str(tmp_path / "home"), rate=0)
    async with serving(settings, database_urls, OwnHost(made)) as server:
        started: Server = server

        async def service(**rights: Any) -> Service:
            return Service(started.url, await started.token("ann", **rights), "answer", tmp_path)

        yield service
