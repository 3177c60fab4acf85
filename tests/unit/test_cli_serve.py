"""`up` and `demo`: everything in one process tree, and nothing left behind."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psycopg
import pytest
from sqlalchemy import create_engine, make_url, text

from fiel.infra.cli.serve import COLLECTION, documentation
from fiel.infra.cli.tracking import address, make_schema
from fiel.infra.database.layout import Layout

HERE = {name: value for name, value in os.environ.items() if not name.startswith("FIEL_")}


def test_the_documentation_is_found_beside_the_code() -> None:
    assert {"questions.md", "outcomes.md", "policies.md"} <= {path.name for path in documentation()}


@pytest.mark.parametrize(
    ("parts", "host", "port", "password"),
    [
        (
            {"user": "u", "password": "p@s/s", "host": "db.example", "port": "5433", "dbname": "d"},
            "db.example",
            5433,
            "p@s/s",
        ),
        ({"user": "u", "host": "/tmp/odd folder", "dbname": "d", "sslmode": "disable"}, None, None, None),
    ],
    ids=["network", "socket"],
)
def test_the_tracking_store_is_a_schema_of_an_external_database(
    parts: dict[str, str], host: str | None, port: int | None, password: str | None
) -> None:
    url = make_url(address(parts))
    assert (url.host or None, url.port, url.password, url.database) == (host, port, password, "d")
    assert "search_path=mlflow" in url.query["options"]


def test_mlflow_writes_into_its_own_schema(database_urls: object) -> None:
    owner: str = database_urls.owner  # type: ignore[attr-defined]
    make_schema(owner)
    make_schema(owner)
    parts = {name: str(value) for name, value in psycopg.conninfo.conninfo_to_dict(owner).items()}
    engine = create_engine(address(parts))
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE experiments (id int)"))
        assert connection.execute(text("SELECT to_regclass('mlflow.experiments') IS NOT NULL")).scalar()
    engine.dispose()


def stopped(home: Path) -> bool:
    """Whether nothing of a home folder's servers answers or runs any more, within ten seconds."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            psycopg.connect(Layout(home).url(), connect_timeout=1).close()
        except psycopg.OperationalError:
            return True
        time.sleep(0.2)
    return False


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    ("end", "shell"),
    [(signal.SIGINT, ""), (signal.SIGTERM, ""), (signal.SIGTERM, "trap '' INT; ")],
    ids=["interrupted", "terminated", "terminated where interrupts are ignored"],
)
def test_up_serves_says_where_to_look_and_leaves_nothing_behind(
    tmp_path: Path, end: signal.Signals, shell: str
) -> None:
    home = tmp_path / "home"
    process = subprocess.Popen(
        [
            "/bin/sh",
            "-c",
            f'{shell}exec "$@"',
            "sh",
            sys.executable,
            "-m",
            "fiel.infra.cli",
            "up",
            "--port",
            "0",
            "--json",
        ],
        cwd=tmp_path,
        env={**HERE, "FIEL_HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    said = json.loads(process.stdout.readline())
    assert said["embedded"] is True
    assert said["mlflow"].startswith("http://127.0.0.1:")
    whole = {"Authorization": f"Bearer {said['token']}"}
    assert httpx.post(said["url"] + "/assistants/search", json={}, headers=whole).json()[0]["graph_id"] == "answer"
    assert httpx.post(said["url"] + "/assistants/search", json={}).status_code == 401
    process.send_signal(end)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert "Traceback" not in errors
    assert stopped(home)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_an_administrators_token_is_printed_at_the_first_start_only(tmp_path: Path) -> None:
    environ = {**HERE, "FIEL_HOME": str(tmp_path / "home"), "FIEL_MLFLOW_URL": "http://127.0.0.1:1"}
    said = []
    for _ in range(2):
        command = [sys.executable, "-m", "fiel.infra.cli", "up", "--port", "0", "--json"]
        with subprocess.Popen(
            command, cwd=tmp_path, env=environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as process:
            assert process.stdout is not None
            said.append(json.loads(process.stdout.readline()))
            process.terminate()
    assert said[0]["token"].startswith("fiel_")
    assert "token" not in said[1]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_demo_ends_with_its_trace_from_mlflow_and_a_cold_ask_takes_less_than_15_seconds(tmp_path: Path) -> None:
    home = tmp_path / "home"

    def fiel(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "fiel.infra.cli", *arguments, "--json"]
        environ = {**HERE, "FIEL_HOME": str(home)}
        return subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)

    outcome = fiel("demo")
    assert outcome.returncode == 0, outcome.stderr
    shown = json.loads(outcome.stdout)
    assert shown["ingest"]["documents"]["added"] == len(documentation())
    assert shown["answer"]["outcome"] == "answered"
    assert any(citation["uri"].endswith("/docs/questions.md") for citation in shown["answer"]["citations"])
    hops = {span["name"] for span in shown["trace"]["children"]}
    assert {"guard_input", "retrieve", "judge", "release"} <= hops
    assert stopped(home)

    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    outcome = fiel("ask", "What does the outcome abstained mean?", "--collection", COLLECTION)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    # CPU time, which on idle cores is no less than the time on the clock and does not grow with what else runs.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 15


GRAPHS = str(Path(__file__).parents[1] / "projects/small/langgraph.json")


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    ("arguments", "graph", "answer"),
    [
        (["worker"], "answer", "SIGHUP: policies changed: "),
        (["worker", "--graphs", GRAPHS], "plain", "SIGHUP: there is no folder of policies to load"),
        (["serve", "--port", "0"], "answer", "SIGHUP: policies changed: "),
    ],
    ids=["worker", "worker of other graphs", "serve"],
)
def test_a_service_says_what_it_works_on_hears_a_hangup_and_stops_politely(
    tmp_path: Path, arguments: list[str], graph: str, answer: str
) -> None:
    policies = tmp_path / "policies"
    policies.mkdir()
    bundle = policies / "house.yaml"
    bundle.write_text("name: house\nextends: default\n", encoding="utf-8")
    environ = {**HERE, "FIEL_HOME": str(tmp_path / "home"), "FIEL_POLICIES": str(policies)}
    command = [sys.executable, "-m", "fiel.infra.cli", *arguments, "--json"]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        assert graph in json.loads(process.stdout.readline())["graphs"]
        process.send_signal(signal.SIGHUP)
        said = next((line for line in process.stderr if answer in line), None)
        assert said is not None, "it ended at the signal, or is silent"
        process.terminate()
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert "Traceback" not in errors
    assert stopped(tmp_path / "home")
