"""The writer: one task a process that groups the flushes of many runs into one statement.

While a statement is on its way to the disk, the flushes of other runs gather; the next statement takes them all. A
database that does not answer is tried again with back-off, in order, until the flushes are in; what waits is bounded,
and beyond the bound a flush is refused at once, so that its run is withheld instead of released unrecorded.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Sequence

from fiel.infra.ledger.store import Flush, RecordConflict, Store
from fiel.tools.errors import FielError, Unavailable

_LOG = logging.getLogger("fiel.ledger")

MAX_GROUP = 256
MAX_GROUP_BYTES = 8 * 1024 * 1024


class RecordUnavailable(Unavailable):
    """Entries of a run could not be committed, or not in time."""

    code = "record_unavailable"


class RecordLate(RecordUnavailable):
    """Entries of a run were not committed in time; they still wait to be."""


class Writer:
    """Commits flushes, in the order in which they were submitted."""

    def __init__(self, store: Store, *, limit_bytes: int = 64 * 1024 * 1024, patience: float = 10.0) -> None:
        self.store = store
        self._limit = limit_bytes
        self._patience = patience
        self._waiting: deque[tuple[Flush, asyncio.Future[None]]] = deque()
        self._bytes = 0
        self._task: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self.lost = 0
        """Flushes that were refused or can never be written. Anything but 0 is an alarm."""

    @property
    def waiting(self) -> int:
        """Flushes that are not committed yet."""
        return len(self._waiting)

    def submit(self, flush: Flush, lost: Callable[[], None] = lambda: None) -> asyncio.Future[None]:
        """Queue a flush. The future ends when it is committed, or with the error that makes that impossible.

        `lost` is called where it is impossible, before anybody who waits for this or a later flush goes on.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        future.add_done_callback(lambda ended: _seen(ended, lost))
        size = flush.size
        if self._waiting and self._bytes + size > self._limit:
            self.lost += 1
            future.set_exception(RecordUnavailable("too much waits to be recorded", hint="Is PostgreSQL up?"))
            return future
        self._waiting.append((flush, future))
        self._bytes += size
        if self._task is None or self._task.done() or self._loop is not loop:
            self._loop = loop
            self._task = loop.create_task(self._run(), name="fiel ledger writer")
        return future

    async def commit(self, flush: Flush, lost: Callable[[], None] = lambda: None) -> None:
        """Queue a flush and wait for it. Raises RecordLate (it stays queued) or RecordUnavailable (it is not)."""
        future = self.submit(flush, lost)
        done, _ = await asyncio.wait((future,), timeout=self._patience)
        if not done:
            raise RecordLate(f"the record was not committed within {self._patience:g} s")
        if (error := future.exception()) is not None:
            if isinstance(error, FielError):
                raise error
            raise RecordUnavailable("the record cannot be written") from error

    async def drain(self, timeout: float = 10.0) -> bool:
        """Wait until nothing is waiting; False where `timeout` seconds were not enough."""
        if self._task is None or self._task.done() or self._loop is not asyncio.get_running_loop():
            return not self._waiting
        await asyncio.wait((self._task,), timeout=timeout)
        return not self._waiting

    async def close(self, timeout: float = 10.0) -> bool:
        """Write what waits, then stop; False where something is still waiting."""
        drained = await self.drain(timeout)
        if self._task is not None and not self._task.done() and self._loop is asyncio.get_running_loop():
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        return drained

    async def _run(self) -> None:
        pause = 0.05
        while self._waiting:
            group = self._group()
            try:
                await self.store.append([flush for flush, _ in group])
            except Unavailable as error:
                _LOG.warning("the ledger cannot be written, %d flushes wait: %s", len(self._waiting), error)
                await asyncio.sleep(pause)
                pause = min(pause * 2, 2.0)
                continue
            except Exception:
                await self._singly(group)
            else:
                self._done(group, None)
            pause = 0.05

    def _group(self) -> Sequence[tuple[Flush, asyncio.Future[None]]]:
        group, size = [], 0
        for item in self._waiting:
            group.append(item)
            size += item[0].size
            if len(group) == MAX_GROUP or size > MAX_GROUP_BYTES:
                break
        return group

    async def _singly(self, group: Sequence[tuple[Flush, asyncio.Future[None]]]) -> None:
        """One flush of a group cannot be written: write the others, and say which one it was."""
        for item in group:
            try:
                await self.store.append([item[0]])
            except Unavailable:
                return
            except Exception as error:
                self.lost += 1
                kind = "conflicts" if isinstance(error, RecordConflict) else "cannot be written"
                _LOG.error("the record of run %s %s: %s", item[0].run.run, kind, error)
                self._done((item,), error)
            else:
                self._done((item,), None)

    def _done(self, group: Sequence[tuple[Flush, asyncio.Future[None]]], error: Exception | None) -> None:
        for flush, future in group:
            self._waiting.popleft()
            self._bytes -= flush.size
            if future.done() or future.get_loop().is_closed():
                continue
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)


def _seen(future: asyncio.Future[None], lost: Callable[[], None]) -> None:
    """Perhaps nobody waits for the flush; its error has been logged and counted."""
    if future.cancelled() or future.exception() is not None:
        lost()
