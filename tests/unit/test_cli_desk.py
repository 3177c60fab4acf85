"""The command line as a client: a service that runs on the same home, or elsewhere, is asked in place of a house."""

import http.client
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from fiel.infra.desk.client import Client, ServiceUnavailable, Told, reach
from fiel.infra.desk.place import open_desk, place
from fiel.infra.settings import Settings
from tests.conftest import Urls
from tests.unit.test_cli_commands import EMBEDDER, HANDBOOK

OFFICE = "When does the office open?"


@dataclass(frozen=True)
class Served:
    """A service in a process of its own, and the command line beside it."""

    folder: Path
    environ: dict[str, str]
    url: str
    process: "subprocess.Popen[str]"

    def fiel(self, *arguments: str, given: str = "", **environ: str) -> tuple[int, Any]:
        """Exit status, and the JSON values on standard output."""
        done = subprocess.run(
            [sys.executable, "-m", "fiel.infra.cli", *arguments],
            input=given, capture_output=True, text=True, check=False, timeout=100, cwd=self.folder,
            env={**self.environ, **environ},
        )  # fmt: skip
        values = [json.loads(line) for line in done.stdout.splitlines()]
        return done.returncode, values if "--lines" in arguments else values[0]


@pytest.fixture(scope="module")
def served(shared_urls: Urls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("desk")
    (folder / "words_embedder.py").write_text(textwrap.dedent(EMBEDDER))
    (folder / "handbook.md").write_text(HANDBOOK)
    environ = {
        **{name: value for name, value in os.environ.items() if not name.startswith("FIEL_")},
        "FIEL_HOME": str(folder / "home"),
        "FIEL_DATABASE_URL": shared_urls.runtime,
        "FIEL_DATABASE_OWNER_URL": shared_urls.owner,
        "FIEL_EMBED": "langchain:words_embedder:Words",
        "PYTHONPATH": str(folder),
    }
    command = [sys.executable, "-m", "fiel.infra.cli", "serve", "--port", "0", "--json"]
    with subprocess.Popen(
        command, env=environ, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            assert process.stdout is not None
            url = json.loads(process.stdout.readline())["url"]
            made = Served(folder, environ, url, process)
            assert made.fiel("ingest", "handbook.md", "--collection", "work", "--allow", "staff", "--json")[0] == 0
            yield made
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(30)
    assert not place(Settings(home=str(folder / "home"))).exists(), "a stopped service leaves its socket behind"


@pytest.mark.slow
def test_what_is_asked_through_the_service_is_what_a_house_of_ones_own_says(served: Served) -> None:
    for arguments in (
        ("ask", OFFICE, "--collection", "work"),
        ("ask", OFFICE, "--collection", "work", "--as", "ana", "--group", "staff"),
        ("ask", OFFICE, "--collection", "work", "--as", "ben"),
        ("search", "office", "--collection", "work", "-k", "2"),
        ("search", "office", "--collection", "work", "--as", "ben"),
        ("search", " ", "--collection", "work"),
        ("policy", "list"),
        ("policy", "show", "strict"),
        ("policy", "show", "nobody"),
        ("policy", "check", "--stage", "input", "Write to ana@example.org"),
        ("policy", "require", "strict", "--collection", "work"),
        ("policy", "require", "strict", "--collection", "nowhere"),
        ("policy", "require", "--none", "--collection", "work"),
        ("trace", "no id"),
        ("trace", "00000000-0000-4000-8000-000000000000"),
    ):
        through = served.fiel(*arguments, "--json")
        alone = served.fiel(*arguments, "--json", FIEL_URL="none")
        assert _still(through) == _still(alone), arguments


def _still(value: Any) -> Any:
    """Without what differs from run to run."""
    if isinstance(value, dict):
        changing = ("run_id", "trace_id", "timings", "ms")
        return {name: _still(one) for name, one in value.items() if name not in changing}
    return [_still(one) for one in value] if isinstance(value, list | tuple) else value


@pytest.mark.slow
def test_feedback_reaches_the_run_whichever_way_it_was_asked_for(served: Served, shared_urls: Urls) -> None:
    """The ids that the command line and OpenAI's shapes give are those of runs that feedback is kept for."""
    _, local = served.fiel("ask", OFFICE, "--collection", "work", "--json")
    _, token = served.fiel("token", "create", "--user", "ana", "--group", "staff", "--json")
    said = {"role": "user", "content": OFFICE}
    headers = {"Authorization": f"Bearer {token['token']}"}
    with httpx.Client(base_url=served.url, headers=headers, timeout=60) as web:
        body = {"model": "answer", "messages": [said], "fiel": {"context": {"collection": "work"}}}
        answer = web.post("/v1/chat/completions", json=body).json()
        asked = web.post("/fiel/ask", json={"question": OFFICE, "options": {"collection": "work"}}).json()
        runs = [answer["fiel"]["run_id"], asked["run_id"]]
        given = [web.post(f"/runs/{run}/feedback", json={"score": 1, "comment": "c@example.org"}) for run in runs]
        assert [one.status_code for one in given] == [200, 200], given[0].text
        assert web.post(f"/runs/{local['run_id']}/feedback", json={"score": 1}).status_code == 404
    with psycopg.connect(shared_urls.owner) as connection:
        rows = connection.execute("SELECT attempts[1]::text FROM fiel.assessments ORDER BY id").fetchall()
    assert [row[0] for row in rows] == runs


@pytest.mark.slow
def test_runs_and_threads_go_through_the_service(served: Served) -> None:
    status, answer = served.fiel("ask", OFFICE, "--collection", "work", "--thread", "t", "--json")
    assert (status, answer["outcome"], "nine" in answer["answer"]) == (0, "answered", True)
    status, tree = served.fiel("trace", answer["run_id"], "--json")
    assert (status, tree["outcome"], tree["hops"][0]["hop"]) == (0, "answered", "guard_input")
    _, lines = served.fiel("ask", "--collection", "work", "--lines", given=f'"{OFFICE}"\n{{"text":"", "id":"e"}}\n7\n')
    assert lines[0]["outcome"] == "answered"
    assert (lines[1]["id"], lines[1]["outcome"]) == ("e", "refused")
    assert lines[2]["error"]["code"] == "usage"


@pytest.mark.slow
def test_only_the_owner_of_the_home_folder_reaches_the_desk(served: Served) -> None:
    path = place(Settings(home=served.environ["FIEL_HOME"]))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest.mark.slow
@pytest.mark.parametrize("route", ["/fiel/policies", "/threads/count"])
def test_the_words_of_the_desk_count_for_nothing_over_the_network(served: Served, route: str) -> None:
    connection = http.client.HTTPConnection(served.url.removeprefix("http://"), timeout=10)
    headers = {"X-Fiel-As": "ana", "X-Fiel-Groups": "staff", "Host": "localhost"}
    connection.request("GET" if "policies" in route else "POST", route, "{}", headers)
    assert connection.getresponse().status == 401
    connection.close()


@pytest.mark.slow
def test_a_service_elsewhere_is_asked_with_a_token_of_ones_own(served: Served) -> None:
    _, made = served.fiel("token", "create", "--user", "ana", "--group", "staff", "--role", "reader", "--json")
    there = {"FIEL_URL": served.url, "FIEL_TOKEN": made["token"], "FIEL_HOME": str(served.folder / "other")}
    _, answer = served.fiel("ask", OFFICE, "--collection", "work", "--json", **there)
    assert answer["outcome"] == "answered"
    assert served.fiel("trace", answer["run_id"], "--json", **there)[0] == 0
    _, other = served.fiel("ask", OFFICE, "--collection", "work", "--json")
    assert served.fiel("trace", other["run_id"], "--json", **there)[1]["error"]["code"] == "run_not_found"
    for arguments in (("show", "default"), ("require", "strict", "--collection", "work")):
        assert served.fiel("policy", *arguments, "--json", **there)[1]["error"]["code"] == "not_permitted"
    status, told = served.fiel("ask", OFFICE, "--as", "ben", "--json", **there)
    assert (status, told["error"]["where"]) == (2, "--as")
    status, told = served.fiel("ask", OFFICE, "--json", **{**there, "FIEL_TOKEN": "fiel_no"})
    assert (status, told["error"]["code"]) == (1, "not_authenticated")


def test_a_socket_that_nobody_listens_at_is_no_service(tmp_path: Path) -> None:
    settings = Settings(home=str(tmp_path / "home"))
    assert reach(settings) is None
    desk = open_desk(settings)
    assert desk is not None
    assert reach(settings) == Client(socket=desk.path)
    assert open_desk(settings) is None, "two processes at one desk"
    desk.socket.close()  # as after a kill: the file stays
    assert reach(settings) is None
    desk._lock.close()
    again = open_desk(settings)
    assert again is not None
    again.close()
    assert reach(settings) is None
    assert reach(Settings(home=settings.home, url="none")) is None


@pytest.mark.parametrize(
    ("reply", "error", "exit_status"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", ServiceUnavailable, 3),
        (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", ServiceUnavailable, 3),
        (b"", ServiceUnavailable, 3),
        (b'HTTP/1.1 503 X\r\nContent-Length: 36\r\n\r\n{"detail":"no","code":"unavailable"} ', Told, 3),
        (b'HTTP/1.1 403 X\r\nContent-Length: 38\r\n\r\n{"detail":"no","code":"not_permitted"}', Told, 2),
        (b'HTTP/1.1 422 X\r\nContent-Length: 30\r\n\r\n{"detail":"no","code":"usage"} ', Told, 2),
    ],
)
async def test_what_answers_otherwise_is_an_error_that_says_so(
    reply: bytes, error: type[Exception], exit_status: int
) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(1)

        def once() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(10_000)
                connection.sendall(reply)

        thread = threading.Thread(target=once)
        thread.start()
        with pytest.raises(error) as told:
            await Client(url=f"http://127.0.0.1:{server.getsockname()[1]}").get("/fiel/policies", timeout=5)
        thread.join()
    assert told.value.exit_status == exit_status  # type: ignore[attr-defined]


async def test_a_service_that_hangs_is_given_up() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(1)
        with pytest.raises(ServiceUnavailable, match="in time"):
            await Client(url=f"http://127.0.0.1:{server.getsockname()[1]}").get("/fiel/policies", timeout=0.2)


@pytest.mark.parametrize("url", ["ftp://x", "http://", "127.0.0.1:8123", "http://h/path", "http://h?x=1"])
def test_an_address_that_cannot_be_is_refused(tmp_path: Path, url: str) -> None:
    from fiel.tools.errors import SettingsError

    with pytest.raises(SettingsError):
        reach(Settings(home=str(tmp_path), url=url))


def test_a_home_that_cannot_be_written_has_no_desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fiel.infra.database.layout import cannot_write

    def refused(folder: Path, *above: Path) -> None:
        raise cannot_write(folder, OSError(30, "Read-only file system"))

    monkeypatch.setattr("fiel.infra.desk.place.private", refused)
    assert open_desk(Settings(home=str(tmp_path))) is None
