"""The embedded server among processes that come, go and are killed. Each test looks at real processes."""

import asyncio
import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest

from fiel.infra.database.embedded import Embedded
from fiel.infra.database.layout import Layout
from fiel.infra.database.open import open_database
from fiel.infra.settings import Settings
from fiel.tools.errors import DatabaseUnavailable
from fiel.tools.principal import Principal
from tests.disks import fill, small_disk

pytestmark = [pytest.mark.faults, pytest.mark.timeout(180)]

CLIENT = """
import sys
from pathlib import Path
from fiel.infra.database.embedded import Embedded
with Embedded(Path(sys.argv[1]), identity=sys.argv[2]) as server:
    print("ready", flush=True)
    sys.stdin.readline()
"""


class Client:
    """A process that holds the server until it is told to leave or is killed."""

    def __init__(
        self, home: Path, *, identity: str = "", before: tuple[str, ...] = (), python: str = sys.executable
    ) -> None:
        self.process = subprocess.Popen(
            [*before, python, "-P", "-c", CLIENT, str(home), identity],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def ready(self) -> "Client":
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n", self.process.communicate()[1]
        return self

    def leave(self) -> None:
        _, errors = self.process.communicate("leave\n", timeout=60)
        assert self.process.returncode == 0, errors

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


def _servers(home: Path) -> list[int]:
    """Living processes of the server of `home`, and its keeper."""
    data = str(Layout(home).data)
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                here = str((entry / "cwd").readlink()) == data
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if here or (b"fiel.infra.database.keeper" in command and os.fsencode(home) in command):
                found.append(int(entry.name))
    return found


def _postmaster(home: Path) -> int:
    return int((Layout(home).data / "postmaster.pid").read_text().split("\n")[0])


def _keeper(home: Path) -> int:
    def keeps(process: int) -> bool:
        return b"fiel.infra.database.keeper" in Path(f"/proc/{process}/cmdline").read_bytes()

    return next(process for process in _servers(home) if keeps(process))


def _kill(processes: Iterable[int]) -> None:
    """Kill each; one that ended with another before its turn is gone already."""
    for process in processes:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def _eventually(condition: Callable[[], object], seconds: float = 20.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _ask(home: Path, query: str) -> tuple | None:
    with psycopg.connect(Layout(home).url("fiel_owner"), autocommit=True) as connection:
        return connection.execute(query.encode()).fetchone()


def _write(home: Path, query: str) -> None:
    with psycopg.connect(Layout(home).url("fiel_owner"), autocommit=True) as connection:
        connection.execute(query.encode())


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose database has been made and stopped; to be copied."""
    home = tmp_path_factory.mktemp("pristine") / "home"
    with Embedded(home):
        pass
    return home


@pytest.fixture
def home(pristine: Path, tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "home"
    shutil.copytree(pristine, place, ignore=shutil.ignore_patterns("run"))
    yield place
    assert _eventually(lambda: not _servers(place)), f"left behind: {_servers(place)}"


def test_a_clean_stop_leaves_nothing_behind(home: Path) -> None:
    with Embedded(home) as server:
        assert len(_servers(home)) > 2
        assert server.layout.run.stat().st_mode & 0o777 == 0o700
        assert server.layout.data.stat().st_mode & 0o777 == 0o700
    assert _servers(home) == []
    assert not list(Layout(home).run.glob(".s.PGSQL*"))


def test_two_clients_share_one_server_and_the_last_ends_it(home: Path) -> None:
    one = Client(home).ready()
    first = _postmaster(home)
    two = Client(home).ready()
    assert _postmaster(home) == first
    one.leave()
    assert _ask(home, "SELECT 1") == (1,)
    two.leave()
    assert _servers(home) == []


def test_many_clients_at_once_start_one_server(home: Path) -> None:
    clients = [Client(home) for _ in range(5)]
    for client in clients:
        client.ready()
    assert Layout(home).log.read_text().count("starting PostgreSQL") == 1
    for client in clients:
        client.leave()
    assert _servers(home) == []


def _come(home: Path, clients: list[Client]) -> None:
    clients.append(Client(home).ready())


def test_clients_that_come_while_the_server_stops_get_a_new_one(home: Path) -> None:
    for _ in range(4):
        leaving = Client(home).ready()
        coming: list[Client] = []
        thread = threading.Thread(target=_come, args=(home, coming))
        assert leaving.process.stdin is not None
        leaving.process.stdin.write("leave\n")
        leaving.process.stdin.flush()
        thread.start()
        thread.join(30)
        assert _ask(home, "SELECT 1") == (1,)
        leaving.leave()
        coming[0].leave()
        assert _servers(home) == []


def test_a_killed_client_takes_the_server_with_it(home: Path) -> None:
    Client(home).ready().kill()
    assert _eventually(lambda: not _servers(home))


def test_after_a_killed_client_the_next_clean_stop_stops_the_server(home: Path) -> None:
    one, two = Client(home).ready(), Client(home).ready()
    one.kill()
    time.sleep(0.5)
    assert _ask(home, "SELECT 1") == (1,)
    two.leave()
    assert _servers(home) == []


def test_a_killed_server_is_started_again_for_its_clients_and_loses_nothing(home: Path) -> None:
    client = Client(home).ready()
    _write(home, "CREATE TABLE kept (id int)")
    _write(home, "INSERT INTO kept SELECT generate_series(1, 1000)")
    killed = _postmaster(home)
    os.kill(killed, signal.SIGKILL)

    def back() -> bool:
        try:
            return _ask(home, "SELECT count(*) FROM kept") == (1000,)
        except psycopg.OperationalError:
            return False

    assert _eventually(back)
    assert _postmaster(home) != killed
    client.leave()
    assert _servers(home) == []


async def test_an_open_database_serves_on_after_its_server_was_killed(home: Path) -> None:
    async with open_database(Settings(home=str(home))) as database:
        caller = Principal(tenant="acme", id="ana", roles=frozenset({"reader"}))
        async with database.acting(caller) as connection:
            await connection.execute("SELECT fiel.grant_ids(ARRAY['everyone'])")
        with pytest.raises(DatabaseUnavailable):
            async with database.acting(caller) as connection:
                os.kill(_postmaster(home), signal.SIGKILL)
                await asyncio.sleep(0.5)
                await connection.execute("SELECT fiel.grant_ids(ARRAY['lost'])")
        rows = None
        while rows is None:  # a busy machine may take longer to recover than a caller is let wait
            with suppress(DatabaseUnavailable):
                async with database.acting(caller) as connection:
                    rows = await (await connection.execute("SELECT name FROM fiel.grant_names")).fetchall()
    assert rows == [("everyone",)]
    assert _servers(home) == []


def test_a_killed_backend_does_not_end_the_server(home: Path) -> None:
    with Embedded(home) as server:
        with psycopg.connect(server.url, autocommit=True) as connection:
            os.kill(connection.info.backend_pid, signal.SIGKILL)
        assert _eventually(server._answers)


def test_a_killed_keeper_ends_the_server_and_the_next_client_starts_afresh(home: Path) -> None:
    client = Client(home).ready()
    first = _postmaster(home)
    os.kill(_keeper(home), signal.SIGKILL)
    with Embedded(home):
        assert _postmaster(home) != first
        client.leave()
        assert _ask(home, "SELECT 1") == (1,)
    assert _servers(home) == []


def test_everything_killed_at_once_is_recovered_from(home: Path) -> None:
    client = Client(home).ready()
    _write(home, "CREATE TABLE kept AS SELECT generate_series(1, 1000) AS id")
    _kill([_keeper(home), _postmaster(home), client.process.pid, *_servers(home)])
    client.kill()
    with Embedded(home):
        assert _ask(home, "SELECT count(*) FROM kept") == (1000,)
    assert _servers(home) == []


def test_a_kill_during_recovery_is_recovered_from(home: Path) -> None:
    client = Client(home).ready()
    _write(home, "CREATE TABLE kept (id int, filler text)")
    _write(home, "INSERT INTO kept SELECT n, repeat('x', 500) FROM generate_series(1, 40000) AS n")
    _kill(_servers(home))
    client.kill()
    for pause in (0.05, 0.2, 0.4):
        again = Client(home)
        time.sleep(pause)
        _kill([*_servers(home), again.process.pid])
        again.kill()
    with Embedded(home):
        assert _ask(home, "SELECT count(*) FROM kept") == (40000,)
    assert _servers(home) == []


def test_a_stale_pid_file_with_a_living_stranger_is_no_obstacle(home: Path) -> None:
    stranger = subprocess.Popen(["sleep", "60"])
    try:
        run = Layout(home).run
        run.mkdir(mode=0o700)
        text = f"{stranger.pid}\n{Layout(home).data}\n1700000000\n5432\n{run}\n\n  1  1\nready   \n"
        (Layout(home).data / "postmaster.pid").write_text(text)
        (run / ".s.PGSQL.5432.lock").write_text(text)
        (run / ".s.PGSQL.5432").touch()
        with Embedded(home):
            assert _ask(home, "SELECT 1") == (1,)
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_stale_pid_file_with_a_zombie_is_no_obstacle(home: Path) -> None:
    zombie = subprocess.Popen(["true"])
    assert _eventually(lambda: Path(f"/proc/{zombie.pid}/stat").read_text().split()[2] == "Z")
    (Layout(home).data / "postmaster.pid").write_text(f"{zombie.pid}\n{Layout(home).data}\n1\n5432\n\n\n\nready\n")
    with Embedded(home):
        assert _ask(home, "SELECT 1") == (1,)
    zombie.wait()


def test_a_long_recovery_is_waited_out_and_reported(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fiel.infra.database.embedded.REPORT_AFTER", 0.5)
    reports: list[str] = []
    client = Client(home).ready()
    postmaster, keeper = _postmaster(home), _keeper(home)
    os.kill(keeper, signal.SIGSTOP)
    os.kill(postmaster, signal.SIGKILL)  # the keeper, stopped, cannot start another yet
    threading.Timer(3.0, os.kill, (keeper, signal.SIGCONT)).start()
    with Embedded(home, report=reports.append):
        assert _ask(home, "SELECT 1") == (1,)
        client.leave()
    assert reports


def test_a_server_that_gives_up_is_an_error_at_once(home: Path) -> None:
    begun = time.monotonic()
    with pytest.raises(DatabaseUnavailable, match="shared_buffers"), Embedded(home, settings={"shared_buffers": "x"}):
        pytest.fail("started")
    assert time.monotonic() - begun < 20


def test_a_damaged_data_folder_is_an_error(home: Path) -> None:
    (Layout(home).data / "global" / "pg_control").write_bytes(b"\0" * 8192)
    with pytest.raises(DatabaseUnavailable, match=r"The log says more|log"), Embedded(home):
        pytest.fail("started")


def test_a_home_with_a_long_path_works(pristine: Path, tmp_path: Path) -> None:
    home = tmp_path / ("long" * 30)
    shutil.copytree(pristine, home, ignore=shutil.ignore_patterns("run"))
    with Embedded(home) as server:
        assert server.layout.sockets.parent == Path("/tmp")
        assert server.layout.sockets.stat().st_mode & 0o777 == 0o700
        assert _ask(home, "SELECT 1") == (1,)
    assert _servers(home) == []
    assert not server.layout.sockets.exists()


def test_a_home_with_odd_letters_works(pristine: Path, tmp_path: Path) -> None:
    home = tmp_path / """a, b"c'd?e%f&g #ñ"""
    shutil.copytree(pristine, home, ignore=shutil.ignore_patterns("run"))
    with Embedded(home) as server:
        assert _ask(home, "SELECT 1") == (1,)
        assert server.mlflow_url.startswith("postgresql+psycopg://fiel_mlflow@/mlflow?host=%2F")
    assert _servers(home) == []


def test_the_database_of_mlflow_is_its_own(home: Path) -> None:
    from sqlalchemy import create_engine, text

    with Embedded(home) as server:
        engine = create_engine(server.mlflow_url)
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE experiments (id int)"))
            assert connection.execute(text("SELECT current_user::text")).scalar() == "fiel_mlflow"
        engine.dispose()
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            psycopg.connect(server.layout.url("fiel_runtime", "mlflow"))
        with pytest.raises(psycopg.OperationalError, match="rejects connection"):
            psycopg.connect(server.layout.url("postgres", "fiel"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes somebody else")
def test_root_without_namespaces_drops_to_another_user(tmp_path: Path) -> None:
    home = tmp_path / "closed" / "home"
    home.parent.mkdir(mode=0o700)
    client = Client(home, identity="drop").ready()
    assert _ask(home, "SELECT 1") == (1,)
    status = Path(f"/proc/{_postmaster(home)}/status").read_text()
    assert f"Uid:\t{pwd.getpwnam('nobody').pw_uid}\t" in status
    client.leave()
    assert _servers(home) == []
    assert home.parent.stat().st_mode & 0o777 == 0o700
    with Embedded(home, identity="namespace"):
        assert _ask(home, "SELECT 1") == (1,)


@contextmanager
def _world(path: Path) -> Iterator[Path]:
    """`path` and its parents below /tmp reachable by another user for a while; the modes are restored."""
    modes = {}
    for folder in [path, *path.parents]:
        if folder in (Path("/"), Path("/tmp")):
            break
        modes[folder] = folder.stat().st_mode & 0o7777
        folder.chmod(modes[folder] | 0o011)
    try:
        yield path
    finally:
        for folder, mode in modes.items():
            folder.chmod(mode)


def _python_for(before: tuple[str, ...], folder: Path) -> str:
    """A Python with this one's packages that another user can run: this one, or one of the system's."""
    twice = "import subprocess, sys, fiel.infra; subprocess.run([sys.executable, '-c', 'import psycopg'], check=True)"
    for python in (sys.executable, folder / "bin" / "python"):
        if python != sys.executable:
            subprocess.run(["/usr/bin/python3", "-m", "venv", "--without-pip", str(folder)], check=False)
            for packages in folder.glob("lib/python3*/site-packages"):
                own = Path(psycopg.__file__).parent.parent
                (packages / "packages.pth").write_text(f"import site; site.addsitedir({str(own)!r})")
        if (
            subprocess.run([*before, str(python), "-c", twice], cwd="/", capture_output=True, check=False).returncode
            == 0
        ):
            return str(python)
    pytest.skip("no Python here that another user can run")


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="needs root and setpriv")
def test_an_ordinary_user_needs_nothing(tmp_path: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    with _world(tmp_path):
        place = tmp_path / "nobodys"
        place.mkdir(mode=0o700)
        os.chown(place, nobody.pw_uid, nobody.pw_gid)
        before = ("setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups")
        python = _python_for(before, tmp_path / "venv")
        client = Client(place / "home", before=before, python=python).ready()
        assert Path(f"/proc/{_postmaster(place / 'home')}").stat().st_uid == nobody.pw_uid
        client.leave()
        assert _servers(place / "home") == []
        # A folder that this user may not write, and one that belongs to root.
        for home in (tmp_path / "no" / "home", tmp_path / "roots"):
            (tmp_path / "no").mkdir(mode=0o755, exist_ok=True)
            (tmp_path / "roots").mkdir(mode=0o755, exist_ok=True)
            refused = Client(home, before=before, python=python)
            _, errors = refused.process.communicate("\n", timeout=60)
            assert refused.process.returncode != 0
            assert "cannot write" in errors
            assert "FIEL_HOME" in errors


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")
def test_a_disk_too_small_for_the_database_is_an_error_that_leaves_no_half(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 8) as disk:
        with pytest.raises(DatabaseUnavailable, match=r"No space left on device.*Free space"), Embedded(disk / "home"):
            pytest.fail("started")
        assert not (disk / "home" / "postgres").exists()
        assert _eventually(lambda: not _servers(disk / "home"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")
def test_a_full_disk_at_start_is_an_error_and_space_heals_it(pristine: Path, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 120) as disk:
        home = disk / "home"
        shutil.copytree(pristine, home, ignore=shutil.ignore_patterns("run"))
        filler = fill(disk)
        with pytest.raises(DatabaseUnavailable, match="No space left on device"), Embedded(home):
            pytest.fail("started")
        filler.unlink()
        with Embedded(home):
            assert _ask(home, "SELECT 1") == (1,)
        assert _servers(home) == []


def test_a_failed_statement_does_not_reach_the_log(home: Path) -> None:
    with Embedded(home) as server, psycopg.connect(server.owner_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE words (word text PRIMARY KEY CHECK (length(word) < 9))")
        connection.execute("INSERT INTO words VALUES ('draft')")
        for word in ("draft", "unreleased"):
            with pytest.raises(psycopg.errors.IntegrityError):
                connection.execute(f"INSERT INTO words VALUES ('{word}')".encode())
    log = server.layout.log.read_text()
    assert "words" in log
    assert "draft" not in log
    assert "unreleased" not in log


def test_the_status_of_a_failed_start_is_told_to_later_clients_as_json(home: Path) -> None:
    with pytest.raises(DatabaseUnavailable), Embedded(home, settings={"max_connections": "none"}):
        pytest.fail("started")
    assert json.loads(Layout(home).status.read_text())["state"] == "failed"
