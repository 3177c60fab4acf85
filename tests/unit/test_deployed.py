"""What the deployment files do, without containers: their scripts, commands and secrets, on a PostgreSQL of their own.

The scripts run as they are, the commands and the health check are read from the files, and only addresses differ.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from fiel.infra.database.cluster import binaries
from tests.unit.test_deploy import COMPOSE, DEPLOY, ROOT, health_check

HERE = {name: value for name, value in os.environ.items() if not name.startswith(("FIEL_", "PG"))}
BIN = Path(sys.executable).parent
POSTGRES = binaries()
ASK = [{"role": "user", "content": "What does the outcome abstained mean?"}]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port: int = bound.getsockname()[1]
        return port


def as_postgres() -> dict[str, Any]:
    """PostgreSQL does not run as root."""
    return {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}


@dataclass(frozen=True, slots=True)
class Deployment:
    """A PostgreSQL with what the scripts have put into it."""

    port: int
    secrets: Path
    folder: Path

    def url(self, user: str, database: str = "fiel") -> str:
        file = {"fiel_admin": "postgres", "fiel_service": "service", "fiel_mlflow": "mlflow"}[user]
        password = (self.secrets / f"{file}_password").read_text()
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/{database}"

    def container(self, service: str) -> tuple[Path, dict[str, str]]:
        """Working folder and environment of a service of compose.yaml, with its secrets where it looks for them."""
        root = self.folder / service
        home, etc = root / "home", root / "etc"
        for place in (home, etc):
            place.mkdir(parents=True)
        for secret in COMPOSE["services"][service]["secrets"]:
            if isinstance(secret, str):
                continue
            target = secret["target"].replace("/var/lib/fiel", str(home)).replace("/etc/fiel", str(etc))
            Path(target).parent.mkdir(exist_ok=True)
            shutil.copy(DEPLOY / self.secrets / Path(COMPOSE["secrets"][secret["source"]]["file"]).name, target)
        return etc, {**HERE, "FIEL_HOME": str(home), "PYTHONUNBUFFERED": "1"}

    def command(self, service: str) -> list[str]:
        given = [str(part) for part in COMPOSE["services"][service]["command"]]
        return [sys.executable, "-m", "fiel.infra.cli", *given]


@contextmanager
def started(command: list[str], **more: Any) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **more)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(30)
        finally:
            process.kill()
            process.communicate()


@contextmanager
def postgres(folder: Path, password: Path, port: int) -> Iterator[None]:
    """A new cluster as the image makes it: the superuser fiel_admin, passwords for all who come over TCP."""
    folder.mkdir()
    pwfile = folder / "password"
    shutil.copy(password, pwfile)
    if os.geteuid() == 0:
        for path in (folder, pwfile):
            os.chown(path, 65534, 65534)
    data = str(folder / "data")
    made = ["-U", "fiel_admin", "--auth-local=trust", "--auth-host=scram-sha-256", f"--pwfile={pwfile}", "-D", data]
    subprocess.run([POSTGRES / "initdb", *made], check=True, capture_output=True, cwd=folder, **as_postgres())
    place = ["-D", data, "-p", str(port), "-k", "", "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]
    options = [*place, *COMPOSE["services"]["postgres"]["command"][1:]]
    log = (folder / "log").open("wb")
    with log, started([str(POSTGRES / "postgres"), *options], cwd=folder, stderr=log, **as_postgres()):
        ready = [POSTGRES / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)]
        while subprocess.run(ready, check=False).returncode:
            pass
        yield


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    folder = tmp_path_factory.mktemp("deployment")
    for above in (folder, *folder.parents):  # so that PostgreSQL's user can come in
        if above.stat().st_uid == os.geteuid() and Path(tempfile.gettempdir()) in above.parents:
            above.chmod(above.stat().st_mode | 0o011)
    port, secrets = free_port(), folder / "secrets"
    subprocess.run(["sh", DEPLOY / "secrets.sh", secrets, f"127.0.0.1:{port}"], check=True, capture_output=True)
    with postgres(folder / "postgres", secrets / "postgres_password", port):
        there = Deployment(port, secrets, folder)
        with psycopg.connect(there.url("fiel_admin", "postgres"), autocommit=True) as connection:
            connection.execute("CREATE DATABASE fiel")
        environment = {
            **HERE,
            "PATH": f"{POSTGRES}:{HERE['PATH']}",
            "POSTGRES_USER": "fiel_admin",
            "POSTGRES_DB": "fiel",
            "PGHOST": "127.0.0.1",
            "PGPORT": str(port),
            "PGPASSWORD": (secrets / "postgres_password").read_text(),
            "SECRETS": str(secrets),
        }
        for _ in range(2):  # the second time it changes nothing
            subprocess.run(["sh", DEPLOY / "postgres-init.sh"], check=True, env=environment)
        etc, environ = there.container("migrate")
        subprocess.run(there.command("migrate"), check=True, cwd=etc, env=environ, stdout=subprocess.DEVNULL)
        yield there


def test_the_logins_can_do_what_they_must_and_no_more(deployment: Deployment) -> None:
    with psycopg.connect(deployment.url("fiel_service")) as connection:
        assert connection.execute("SELECT count(*) > 0 FROM fiel.migrations").fetchone() == (True,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("CREATE TABLE fiel.mine (id int)")
        connection.rollback()
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("ALTER TABLE fiel.tokens DISABLE ROW LEVEL SECURITY")
    for user, database in (("fiel_mlflow", "fiel"), ("fiel_service", "mlflow")):
        with pytest.raises(psycopg.OperationalError, match="permission denied"):
            psycopg.connect(deployment.url(user, database))


def test_a_service_that_nobody_has_migrated_does_not_start(deployment: Deployment) -> None:
    with psycopg.connect(deployment.url("fiel_admin", "postgres"), autocommit=True) as connection:
        connection.execute("CREATE DATABASE empty")
    etc, environ = deployment.container("worker")
    environ["FIEL_DATABASE_URL"] = deployment.url("fiel_service", "empty")
    ended = subprocess.run(
        deployment.command("worker"), cwd=etc, env=environ, capture_output=True, text=True, check=False
    )
    shutil.rmtree(etc.parent)
    assert ended.returncode == 3, ended.stderr
    assert "FIEL_DATABASE_OWNER_URL" in ended.stderr


def test_api_and_worker_run_with_the_rights_and_the_files_that_they_are_given(deployment: Deployment) -> None:
    etc, environ = deployment.container("api")
    port = free_port()
    command = [part.replace("0.0.0.0", "127.0.0.1") for part in deployment.command("api")]  # noqa: S104
    here = {"cwd": etc, "env": environ}
    say = [sys.executable, "-m", "fiel.infra.cli"]
    document = ["ingest", str(ROOT / "docs/outcomes.md"), "--collection", "work", "--allow", "everyone"]
    subprocess.run([*say, *document], check=True, capture_output=True, **here)
    made = [*say, "token", "create", "--user", "ana", "--json"]
    token = json.loads(subprocess.run(made, check=True, capture_output=True, text=True, **here).stdout)["token"]
    worker_etc, worker_environ = deployment.container("worker")
    work = [*deployment.command("worker"), "--json"]
    with (
        started([*command, "--port", str(port), "--json"], **here) as api,
        started(work, cwd=worker_etc, env=worker_environ) as worker,
    ):
        assert api.stdout is not None
        assert worker.stdout is not None
        assert json.loads(api.stdout.readline())["graphs"] == ["answer"]
        assert json.loads(worker.stdout.readline())["graphs"] == ["answer"]
        until_healthy(port)
        asked = httpx.post(
            f"http://127.0.0.1:{port}/v1/chat/completions",
            headers={"Authorization": f"Bearer {token}"},
            json={"model": "answer", "messages": ASK, "fiel": {"context": {"collection": "work"}}},
            timeout=60,
        )
        assert asked.json()["fiel"]["outcome"] == "answered", asked.text
    # The root of a container is read-only: nothing is written beside what was mounted.
    for environment in (environ, worker_environ):
        home = Path(environment["FIEL_HOME"])
        written = {str(path.relative_to(home)) for path in home.rglob("*")}
        # The desk of the command line, without which a service does where it cannot write.
        assert written - {"run", "run/desk.lock"} == {"keys", "keys/ledger.key"}


def until_healthy(port: int) -> None:
    """The image's own health check says so within a minute."""
    check = [part.replace("8123", str(port)) for part in health_check()]
    assert check[0] == "python"
    for _ in range(60):
        if subprocess.run([sys.executable, *check[1:]], check=False, capture_output=True).returncode == 0:
            return
    raise AssertionError("the health check fails")


def test_mlflow_reads_its_login_from_a_file_and_answers_to_its_name(deployment: Deployment) -> None:
    service, port, artifacts = COMPOSE["services"]["mlflow"], free_port(), deployment.folder / "artifacts"
    given = [
        part.replace("0.0.0.0", "127.0.0.1")  # noqa: S104
        .replace("--port=5000", f"--port={port}")
        .replace("/var/lib/fiel/artifacts", str(artifacts))
        for part in service["command"]
    ]
    environ = {**HERE, **service["environment"], "PGSERVICEFILE": str(deployment.secrets / "mlflow.conf")}
    command = [str(BIN / service["entrypoint"][0]), *given]
    with started(command, env=environ, cwd=deployment.folder, stderr=subprocess.DEVNULL):
        url = f"http://127.0.0.1:{port}"
        while True:
            try:
                assert httpx.get(f"{url}/health").status_code == 200
                break
            except httpx.TransportError:
                continue
        found = "/api/2.0/mlflow/experiments/get-by-name?experiment_name=Default"
        assert httpx.get(url + found, headers={"Host": "mlflow:5000"}).status_code == 200
        assert httpx.get(url + found, headers={"Host": "elsewhere.example"}).status_code == 403
    with psycopg.connect(deployment.url("fiel_mlflow", "mlflow")) as connection:
        assert connection.execute("SELECT to_regclass('public.experiments') IS NOT NULL").fetchone() == (True,)


def test_secrets_that_are_there_are_left_as_they_are(deployment: Deployment) -> None:
    before = {path.name: path.read_bytes() for path in deployment.secrets.iterdir()}
    subprocess.run(["sh", DEPLOY / "secrets.sh", deployment.secrets], check=True, capture_output=True)
    assert {path.name: path.read_bytes() for path in deployment.secrets.iterdir()} == before
    assert deployment.secrets.stat().st_mode & 0o077 == 0, "the folder is for its owner alone"
