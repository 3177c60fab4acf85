"""The bell: tells every process which runs have something new, by PostgreSQL's LISTEN and NOTIFY.

A ring may be lost (a restart of the server, a lost connection), so whoever waits also looks by themselves from time to
time. Payloads are ids of runs.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any
from uuid import UUID

import psycopg

from fiel.infra.database.connect import Database
from fiel.infra.runs.rows import run
from fiel.tools.errors import DatabaseUnavailable
from fiel.tools.sql import load

_LOG = logging.getLogger("fiel.runs")
CHANNEL = "fiel_runs"
LOOK = 1.0
"""Seconds after which whoever waits looks by themselves."""
_PER_PAYLOAD = 200
"""Ids in one notification: PostgreSQL allows 8,000 bytes."""


class Watch:
    """Waits for the rings of one run."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def rung(self) -> None:
        self._event.set()

    async def wait(self, seconds: float = LOOK) -> bool:
        """Until the bell rings, or `seconds` have passed. A ring since the last wait counts. Whether it rang."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._event.wait()
        rang = self._event.is_set()
        self._event.clear()
        return rang


class Bell:
    """Rings, and lets wait for a ring."""

    def __init__(self, database: Database, on_ring: Callable[[UUID], None], on_return: Callable[[], None]) -> None:
        """`on_ring` is called for each run that another process (or this one) rings for, `on_return` where the server
        was away.
        """
        self._database = database
        self._on_ring = on_ring
        self._on_return = on_return
        self._watches: dict[UUID, set[Watch]] = {}
        self._sql = load(__package__, "events.sql")
        self._tasks: set[asyncio.Task[None]] = set()
        self._untold: set[UUID] = set()
        self._telling = False

    def start(self) -> None:
        self._keep(self._listen())

    async def stop(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @asynccontextmanager
    async def watching(self, run_id: UUID) -> AsyncIterator[Watch]:
        """A watch over one run."""
        watch = Watch()
        self._watches.setdefault(run_id, set()).add(watch)
        try:
            yield watch
        finally:
            left = self._watches[run_id]
            left.discard(watch)
            if not left:
                del self._watches[run_id]

    def here(self, run_id: UUID) -> None:
        """Ring in this process alone."""
        for watch in self._watches.get(run_id, ()):
            watch.rung()

    def ring(self, run_ids: Iterable[UUID]) -> None:
        """Ring everywhere, soon."""
        for run_id in run_ids:
            self.here(run_id)
            self._untold.add(run_id)
        if self._untold and not self._telling:
            self._telling = True
            self._keep(self._tell())

    async def _tell(self) -> None:
        """What gathers while a notification is on its way goes with the next."""
        try:
            while self._untold:
                told, self._untold = self._untold, set()
                async with self._database.single() as connection:
                    await run(connection, self._sql["tell"], {"told": payloads(told)})
        except DatabaseUnavailable:
            _LOG.warning("the bell was not heard; those who wait look by themselves")
        finally:
            self._telling = False

    async def _listen(self) -> None:
        while True:
            with suppress(psycopg.Error, OSError):
                await self._hear()
            await asyncio.sleep(0.5)

    async def _hear(self) -> None:
        connection: psycopg.AsyncConnection[Any]
        async with await psycopg.AsyncConnection.connect(
            self._database.url, autocommit=True, connect_timeout=10, application_name="fiel bell"
        ) as connection:
            await connection.execute(f"LISTEN {CHANNEL}".encode())
            self._on_return()
            for run_id in list(self._watches):  # rings may have been missed
                self.here(run_id)
            while True:
                async for note in connection.notifies(timeout=30.0):
                    self._heard(note.payload)
                await connection.execute("SELECT 1")

    def _heard(self, payload: str) -> None:
        for text in payload.split(","):
            try:
                run_id = UUID(text)
            except ValueError:
                _LOG.warning("a ring that names no run is not heard")
                continue
            self.here(run_id)
            self._on_ring(run_id)

    def _keep(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def payloads(run_ids: Iterable[UUID]) -> list[str]:
    """Notifications that tell of these runs."""
    ids = [str(run_id) for run_id in run_ids]
    return [",".join(ids[at : at + _PER_PAYLOAD]) for at in range(0, len(ids), _PER_PAYLOAD)]
