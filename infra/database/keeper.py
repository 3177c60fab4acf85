"""The keeper: a small process that owns the embedded server and ends it with its last client.

Every client holds a shared lock on one file. The keeper waits for the exclusive one, which the kernel grants when the
last client has gone, however it went. While it stops the server it keeps that lock, so that a new client waits and then
starts afresh. The server inherits a lock of its own, which is free only when none of its processes is left: no process
number has to be believed. If the keeper is killed, the kernel tells the server to shut down.
"""

import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from fiel.infra.database.cluster import Cluster, binaries, cannot_write_into, environment, inspect, last_words
from fiel.infra.database.identity import become, choose, end_with_parent, hand_over
from fiel.infra.database.layout import PORT, FileLock, Layout
from fiel.tools.errors import DatabaseUnavailable

Event = tuple[Literal["exit", "idle", "end"], int]

PATIENCE = 5.0
"""Seconds that a server without a keeper gets before it is told to stop."""
READY, NO_SPACE = "ready to accept connections", "No space left on device"
"""What its log says once it serves, and of a disk that is full."""
STOP_LIMIT = 120.0
"""Seconds that a clean stop may take before the server is stopped at once (the next start then recovers)."""
CRASHES = 5
"""So many crashes within a minute are not followed by another start."""
ROOM = 64 * 2**20
"""Bytes that must be free again before a server that a full disk has ended is started: some segments of its log."""
LOOK = 1.0
"""Seconds between two looks at a full disk."""


class Keeper:
    """One life of the embedded server, from the first client to the last."""

    def __init__(self, layout: Layout, wishes: dict[str, Any]) -> None:
        self._layout = layout
        self._wishes = wishes
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._lock = FileLock(layout.lock("server"))
        self._cluster = Cluster(layout, binaries(), layout.data, _log, (self._lock.descriptor,))
        self._child: subprocess.Popen[bytes] | None = None
        self._crashes: list[float] = []
        self._log_begin = 0
        self._served = False

    def prepare(self) -> None:
        """Everything before the first start of the server. Raises DatabaseUnavailable."""
        self._settle()
        means = choose(str(self._wishes.get("identity", "")))
        settings = dict(self._wishes.get("settings", {}))
        exists = inspect(self._layout.data)
        if exists:
            hand_over(self._layout.data, means)
        try:
            become(means)
        except (OSError, LookupError) as error:
            raise DatabaseUnavailable(
                f"PostgreSQL does not run as root, and fiel cannot become another user here: {error}",
                hint="Run fiel as an ordinary user, or set FIEL_DATABASE_URL",
            ) from error
        if not exists:
            self._say("creating")
            self._cluster.create(durable=settings.get("fsync") != "off")
        self._cluster.configure(settings, superuser=bool(self._wishes.get("superuser")))

    def _settle(self) -> None:
        """Wait until no process of an earlier server is left, and clear away what it left behind."""
        begun = time.monotonic()
        while not self._lock.attempt():
            self._say("waiting")
            waited = time.monotonic() - begun
            if waited > PATIENCE:
                gentle = waited < PATIENCE + STOP_LIMIT
                for process in _serving(self._layout.data):
                    with suppress(OSError):
                        os.kill(process, signal.SIGINT if gentle else signal.SIGKILL)
            time.sleep(0.05 if waited < PATIENCE else 1.0)
        strangers = _serving(self._layout.data)
        if strangers:
            raise DatabaseUnavailable(
                f"another PostgreSQL (process {strangers[0]}) serves this data folder",
                where=str(self._layout.data),
                hint="Stop it first",
            )
        socket = self._layout.sockets / f".s.PGSQL.{PORT}"
        for left in (self._layout.data / "postmaster.pid", socket, socket.with_name(socket.name + ".lock")):
            left.unlink(missing_ok=True)

    def run(self) -> None:
        """Serve until the last client has gone. Raises DatabaseUnavailable where the server does not stay up."""
        clients = FileLock(self._layout.lock("clients"))
        threading.Thread(target=self._watch_clients, args=(clients,), daemon=True).start()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: self._events.put(("end", 0)))
        self._start()
        while True:
            event, value = self._events.get()
            if event != "exit":
                self._stop()
                return
            self._restart(value)

    def _watch_clients(self, clients: FileLock) -> None:
        clients.wait()
        self._events.put(("idle", 0))

    def _start(self) -> None:
        self._say("starting")
        self._log_begin = self._layout.log.stat().st_size
        child = subprocess.Popen(
            self._cluster.command(),
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr,
            cwd="/",
            env=environment(),
            pass_fds=(self._lock.descriptor,),
            preexec_fn=end_with_parent(signal.SIGINT),
        )
        self._child = child
        # From here the server alone holds its lock.
        self._lock.close()
        threading.Thread(target=lambda: self._events.put(("exit", child.wait())), daemon=True).start()

    def _restart(self, status: int) -> None:
        """The server has ended by itself. A killed one is started again, one that gave up is not.

        One that served, and that a full disk has ended, is started once there is room: whoever serves goes on then.
        """
        now = time.monotonic()
        self._crashes = [*(crash for crash in self._crashes if now - crash < 60), now]
        self._served = self._served or READY in self._said()
        filled = status > 0 and self._served and (self._full() or NO_SPACE in self._said())
        if filled and not self._room():
            return
        if (status >= 0 and not filled) or len(self._crashes) > CRASHES:
            raise DatabaseUnavailable(
                f"PostgreSQL ended with status {status}: {cannot_write_into(self._layout.data) or self._last_words()}",
                where=str(self._layout.data),
                hint=f"The log says more: {self._layout.log}",
            )
        self._lock = FileLock(self._layout.lock("server"))
        self._settle()
        self._start()

    def _full(self) -> bool:
        return shutil.disk_usage(self._layout.data).free < ROOM or bool(cannot_write_into(self._layout.data))

    def _room(self) -> bool:
        """Wait until there is room on the disk; False where the last client has gone meanwhile, or somebody ends it."""
        while self._full():
            self._say("full")
            with suppress(queue.Empty):
                self._events.put(self._events.get(timeout=LOOK))  # the loop in `run` sees it
                return False
        return True

    def _stop(self) -> None:
        child = self._child
        if child is None:
            return
        for number, limit in ((signal.SIGINT, STOP_LIMIT), (signal.SIGQUIT, 10.0), (signal.SIGKILL, 10.0)):
            with suppress(ProcessLookupError):
                child.send_signal(number)
            with suppress(subprocess.TimeoutExpired):
                child.wait(limit)
                break
        # Its last backends too are gone when the lock is free.
        self._lock = FileLock(self._layout.lock("server"))
        self._lock.wait()
        if self._layout.sockets != self._layout.run:
            with suppress(OSError):
                self._layout.sockets.rmdir()

    def _last_words(self) -> str:
        return last_words(self._said())

    def _said(self) -> str:
        """What the server said since its start, as far as its log could take it."""
        with self._layout.log.open("rb") as log:
            log.seek(self._log_begin)
            return log.read(65536).decode(errors="replace")

    def _say(self, state: str) -> None:
        say(self._layout, {"state": state})


def say(layout: Layout, words: dict[str, str]) -> None:
    """Tell the clients; they see either the words before or these."""
    fresh = layout.status.with_name("status.new")
    with suppress(OSError):  # a full disk must not hide the error that it caused
        fresh.write_text(json.dumps(words), encoding="utf-8")
        fresh.replace(layout.status)


def _log(text: str) -> None:
    sys.stderr.write(text.rstrip() + "\n")
    sys.stderr.flush()


def _serving(data: Path) -> list[int]:
    """Processes whose working folder is `data`: servers of it, the one named in its postmaster.pid first.

    Without /proc: that one alone, if it lives.
    """
    try:
        named = int((data / "postmaster.pid").read_text(encoding="ascii").split("\n", 1)[0])
    except (OSError, ValueError):
        named = 0
    if not Path("/proc/self/cwd").exists():
        return [named] if named and _alive(named) else []
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(OSError):
                if (entry / "cwd").readlink() == data:
                    found.append(int(entry.name))
    return sorted(found, key=lambda process: (process != named, process))


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def main(home: str, wishes: str) -> int:
    """Keep the server of `home` (absolute). `wishes`: JSON with `settings`, `superuser`, `identity`."""
    layout = Layout(Path(home))
    own = FileLock(layout.lock("keeper"))
    own.wait()  # others look at this lock for a moment to see whether there is a keeper
    try:
        keeper = Keeper(layout, json.loads(wishes))
        keeper.prepare()
        keeper.run()
    except DatabaseUnavailable as error:
        return _fail(layout, error)
    except OSError as error:
        return _fail(layout, DatabaseUnavailable(f"the database cannot be kept: {error}", where=home))
    return 0


def _fail(layout: Layout, error: DatabaseUnavailable) -> int:
    """Tell everybody: the log, the client that started this process (its pipe works on a full disk), later ones."""
    words = {"state": "failed", "what": error.what, "where": error.where, "hint": error.hint}
    with suppress(OSError):
        print(json.dumps(words), flush=True)
    with suppress(OSError):
        _log(f"fiel: {error}")
    say(layout, words)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
