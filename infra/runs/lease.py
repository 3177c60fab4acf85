"""The lease of a process on the runs that it works on: a row in the queue's table of workers, kept alive by a thread.

A process whose lease has run out must stop its runs before others take them up; so it trusts its own clock, not the
database, to know how long ago it was last heard. A thread of its own beats, because a graph that holds the event loop
is still at work.
"""

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import psycopg

from fiel.tools.sql import load

_LOG = logging.getLogger("fiel.runs")
SAFE = 0.7
"""Part of the lease after which a process that was not heard gives up by itself."""


class Lease:
    """`worker` is the id under which others see this process; None while it has none, then nothing may be claimed."""

    def __init__(self, url: str, *, seconds: float, lost: Callable[[], None]) -> None:
        """`seconds`: how long after its last beat a process counts as gone. `lost` is called in the thread."""
        self.seconds = seconds
        self._url = url
        self._lost = lost
        self._sql = load(__package__, "lease.sql")
        self._worker: int | None = None
        self._heard = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="fiel lease", daemon=True)
        self._connection: psycopg.Connection[Any] | None = None

    @property
    def worker(self) -> int | None:
        return self._worker if self._held() else None

    def _held(self) -> bool:
        return self._worker is not None and time.monotonic() - self._heard < self.seconds * SAFE

    def start(self) -> None:
        """Register, then beat in the background. Raises psycopg.Error where that fails."""
        self._beat()
        self._thread.start()

    def stop(self) -> None:
        """Give the lease back; what is still claimed under it is anybody's. Blocks for a moment."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5.0)
        worker, self._worker = self._worker, None
        try:
            if self._connection is not None and worker is not None:
                self._connection.execute(self._sql["unregister"], (worker,))
        except psycopg.Error as error:
            _LOG.warning("the lease is not given back and runs out by itself: %s", type(error).__name__)
        finally:
            self._close()

    def _run(self) -> None:
        while not self._stop.wait(self.seconds / 6 if self._held() else 0.2):
            try:
                self._beat()
            except psycopg.Error as error:
                _LOG.warning("no heartbeat: %s", type(error).__name__)
                self._close()
            if self._worker is not None and not self._held():
                self._give_up()

    def _beat(self) -> None:
        connection = self._connect()
        began = time.monotonic()
        if self._worker is not None:
            row = connection.execute(self._sql["beat"], (self._worker,)).fetchone()
            if row is not None and began - self._heard < self.seconds:
                self._heard = began
                return
            self._give_up()
        row = connection.execute(self._sql["register"]).fetchone()
        assert row is not None  # noqa: S101 - RETURNING
        self._worker, self._heard = int(row[0]), began

    def _give_up(self) -> None:
        _LOG.error("the lease has run out: the runs of this process are stopped here and taken up by others")
        self._worker = None
        self._lost()

    def _connect(self) -> psycopg.Connection[Any]:
        if self._connection is None or self._connection.closed:
            wait = max(1, int(self.seconds / 3))
            options = f"-c statement_timeout={wait * 1000}"
            self._connection = psycopg.connect(
                self._url, autocommit=True, connect_timeout=wait, options=options, application_name="fiel lease"
            )
            self._connection.execute("SET ROLE fiel_runtime")
        return self._connection

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
