"""A time limit for code that cannot be interrupted.

It runs in a daemon thread; when its time is up, the caller goes on and the thread is left behind. Threads that are left
behind are counted, and beyond a limit nothing new is started: the call fails, and the check blocks.
"""

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import TypeVar

from fiel.tools.errors import Unavailable

T = TypeVar("T")
Job = Callable[[], None]
IDLE = 30.0
"""Seconds after which a thread that has nothing to do ends."""


class Threads:
    """Runs functions in threads, at most `most` at a time, those left behind included. One that is done is used again:
    whoever starts a thread waits until it has begun to run, which on a busy process takes longer than most checks."""

    def __init__(self, most: int = 64) -> None:
        self._free = threading.BoundedSemaphore(most)
        self._idle: deque[_Worker] = deque()

    async def run(self, function: Callable[[], T], limit: float) -> T:
        """The result of `function`, within `limit` seconds. Raises TimeoutError, Unavailable, or what it raises."""
        if not self._free.acquire(blocking=False):
            raise Unavailable(
                "too many checks are still running", hint="A check hangs; see the verdicts of earlier runs"
            )
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def settle(result: T | None, error: Exception | None) -> None:
            if future.done():
                return
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)  # type: ignore[arg-type]

        def work() -> None:
            result: T | None = None
            error: Exception | None = None
            try:
                result = function()
            except Exception as raised:
                error = raised
            except BaseException as raised:
                # A check that would end its thread does not, nor the process.
                error = Unavailable(f"the thread was ended by {type(raised).__name__}")
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(settle, result, error)

        try:
            worker = self._worker()
        except BaseException:
            self._free.release()
            raise
        worker.take(work)
        return await asyncio.wait_for(future, limit)

    def _worker(self) -> "_Worker":
        try:
            return self._idle.pop()
        except IndexError:
            return _Worker(self._done, self._left)

    def _done(self, worker: "_Worker") -> None:
        # In this order: whoever then finds room finds the thread too.
        self._idle.append(worker)
        self._free.release()

    def _left(self, worker: "_Worker") -> bool:
        """Whether `worker` is not needed any more; False where it has just been given something to do."""
        try:
            self._idle.remove(worker)
        except ValueError:
            return False
        return True


class _Worker:
    """A daemon thread that does one job after another, and ends when there has been none for a while."""

    def __init__(self, done: Callable[["_Worker"], None], left: Callable[["_Worker"], bool]) -> None:
        self._jobs: SimpleQueue[Job] = SimpleQueue()
        self._done = done
        self._left = left
        threading.Thread(target=self._work, name="fiel-check", daemon=True).start()

    def take(self, job: Job) -> None:
        """Do `job`, which does not raise, next."""
        self._jobs.put(job)

    def _work(self) -> None:
        while True:
            try:
                job = self._jobs.get(timeout=IDLE)
            except Empty:
                if self._left(self):
                    return
                continue
            job()
            self._done(self)
