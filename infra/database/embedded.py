"""The embedded PostgreSQL of one FIEL_HOME: shared by all processes that ask for it, gone with the last of them."""

import asyncio
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

from fiel.infra.database.cluster import inspect
from fiel.infra.database.layout import MLFLOW, OWNER, FileLock, Layout, cannot_write, private
from fiel.tools.errors import DatabaseUnavailable

REPORT_AFTER = 3.0
"""Seconds of waiting before the first report."""
REPORT_EVERY = 10.0
REFUSAL_LIMIT = 30.0
"""Seconds for which a server that says it is ready may refuse connections."""
LOG_LIMIT = 16 * 2**20
"""Bytes of log that a start keeps."""

_DOING = {
    "creating": "creating the database",
    "waiting": "waiting for an earlier server to end",
    "starting": "waiting for PostgreSQL, which recovers after a crash",
    "full": "waiting for room on the disk, which is full",
}


def report_to_stderr(text: str) -> None:
    sys.stderr.write(f"fiel: {text}\n")
    sys.stderr.flush()


class Embedded:
    """A client of the embedded server. `with` or `async with`; the server ends when its last client has.

    Starting raises DatabaseUnavailable where the data folder does not fit or the server gives up; it waits without
    limit while the server recovers.
    """

    def __init__(
        self,
        home: Path,
        *,
        settings: Mapping[str, str] | None = None,
        superuser: bool = False,
        identity: str = "",
        report: Callable[[str], None] = report_to_stderr,
    ) -> None:
        """`settings` (of PostgreSQL), `superuser` (may log in) and `identity` count where this client starts it."""
        self.layout = Layout(home.expanduser().absolute())
        self._wishes = {"settings": dict(settings or {}), "superuser": superuser, "identity": identity}
        self._report = report
        self._clients: FileLock | None = None
        self._keeper: subprocess.Popen[bytes] | None = None
        self._abandoned = threading.Event()
        self._refused = 0.0

    @property
    def url(self) -> str:
        """The database fiel, as the runtime role."""
        return self.layout.url()

    @property
    def owner_url(self) -> str:
        """The database fiel, as its owner: for migrations."""
        return self.layout.url(OWNER)

    @property
    def mlflow_url(self) -> str:
        """The database of the MLflow server, in SQLAlchemy's form."""
        return self.layout.url(MLFLOW, "mlflow", scheme="postgresql+psycopg")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        try:
            await asyncio.to_thread(self.start)
        except asyncio.CancelledError:
            self._abandoned.set()  # the thread notices, and gives its locks back
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.stop)

    def start(self) -> None:
        """Join the server, starting it where it does not run; returns when a connection has answered."""
        if self._clients is not None:
            raise ValueError("already started")
        self._refused = 0.0
        private(self.layout.run, self.layout.home)
        inspect(self.layout.data)
        self._clients = FileLock(self.layout.lock("clients"))
        try:
            waiting = _Waiting(self._report, self._abandoned)
            while not self._clients.attempt(shared=True):
                waiting.once("waiting for the server to stop, to start it again")
            private(self.layout.sockets)
            self._join(waiting)
        except BaseException:
            self._leave()
            raise

    def _join(self, waiting: "_Waiting") -> None:
        start = FileLock(self.layout.lock("start"))
        try:
            while not start.attempt():
                waiting.once("waiting for another process that starts the server")
            while not self._answers():
                self._ensure_keeper()
                waiting.once(_DOING.get(self._status().get("state", ""), "waiting for PostgreSQL"))
        finally:
            start.close()
            if self._keeper is not None and self._keeper.stdout is not None:
                self._keeper.stdout.close()

    def _kept(self) -> bool:
        """Whether a keeper lives."""
        lock = FileLock(self.layout.lock("keeper"))
        try:
            return not lock.attempt(shared=True)
        finally:
            lock.close()

    def _launch(self) -> None:
        try:
            self.layout.status.unlink(missing_ok=True)
            if self.layout.log.exists() and self.layout.log.stat().st_size > LOG_LIMIT:
                self.layout.log.unlink()
            log = self.layout.log.open("ab")
        except OSError as error:
            raise cannot_write(self.layout.run, error) from error
        with log:
            self._keeper = subprocess.Popen(
                [
                    sys.executable, "-P", "-m", "fiel.infra.database.keeper",
                    str(self.layout.home), json.dumps(self._wishes),
                ],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, cwd="/", start_new_session=True,
            )  # fmt: skip

    def _ensure_keeper(self) -> None:
        """Start a keeper where there is none. Raises DatabaseUnavailable where the one started here has ended."""
        if self._keeper is None:
            if not self._kept():
                self._launch()
            return
        if self._keeper.poll() is None:
            return
        said = self._keeper.stdout.read() if self._keeper.stdout else b""
        if not said.strip():
            raise DatabaseUnavailable(
                f"the process that keeps PostgreSQL ended with status {self._keeper.returncode}",
                where=str(self.layout.home),
                hint=f"The log says more: {self.layout.log}",
            )
        words = json.loads(said.splitlines()[-1])
        raise DatabaseUnavailable(words["what"], where=words["where"], hint=words["hint"])

    def _status(self) -> dict[str, str]:
        try:
            words: dict[str, str] = json.loads(self.layout.status.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return words

    def _answers(self) -> bool:
        """Whether a real connection answers a real query."""
        import psycopg

        from fiel.infra.database.errors import unavailable

        if not self._ready():
            return False
        try:
            with psycopg.connect(self.url, autocommit=True, connect_timeout=5) as connection:
                connection.execute("SELECT 1")
        except psycopg.OperationalError as error:
            # It says that it is ready: what stops us now will not pass by itself for ever.
            self._refused = self._refused or time.monotonic()
            if time.monotonic() - self._refused > REFUSAL_LIMIT:
                raise unavailable(error, self.url) from error
            return False
        return True

    def _ready(self) -> bool:
        """Whether the server says that it accepts connections (line 8 of its postmaster.pid)."""
        try:
            lines = (self.layout.data / "postmaster.pid").read_text(encoding="utf-8").split("\n")
        except (OSError, UnicodeDecodeError):
            return False
        return len(lines) > 7 and lines[7].strip() == "ready"

    def stop(self) -> None:
        """Leave the server. The last client to leave waits until it has ended. Stopping twice is fine."""
        clients = self._clients
        if clients is None:
            return
        clients.release()
        waiting = _Waiting(self._report, threading.Event())
        try:
            while self._kept() and not self._shared(clients):
                waiting.once("waiting for PostgreSQL to stop")
        finally:
            self._leave()

    @staticmethod
    def _shared(clients: FileLock) -> bool:
        """Whether other clients hold the server. Holds the lock itself for a moment only."""
        if clients.attempt():  # nobody: the keeper is about to find out
            clients.release()
            return False
        if clients.attempt(shared=True):  # not alone, yet shared: others are there
            clients.release()
            return True
        return False  # the keeper holds it: it is stopping the server

    def _leave(self) -> None:
        if self._clients is not None:
            self._clients.close()
            self._clients = None
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            # It may stay for other clients; when it ends, this process must not keep its remains.
            threading.Thread(target=keeper.wait, daemon=True).start()


class _Waiting:
    """Polls ever more slowly, and says after some seconds what takes so long."""

    def __init__(self, report: Callable[[str], None], abandoned: threading.Event) -> None:
        self._report = report
        self._abandoned = abandoned
        self._begun = time.monotonic()
        self._next = REPORT_AFTER

    def once(self, doing: str) -> None:
        waited = time.monotonic() - self._begun
        if self._abandoned.wait(min(0.25, 0.005 + waited / 20)):
            raise DatabaseUnavailable("the start was given up")
        if waited >= self._next:
            self._next = waited + REPORT_EVERY
            self._report(f"{doing} ({waited:.0f} s)")
