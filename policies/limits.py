"""A time limit for code that cannot be interrupted.

It runs in a daemon thread; when its time is up, the caller goes on and the thread is left behind. Threads that are left
behind are counted, and beyond a limit nothing new is started: the call fails, and the check blocks.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import TypeVar

from fiel.tools.errors import Unavailable

T = TypeVar("T")


class Threads:
    """Runs functions in threads of their own, at most `most` at a time, those left behind included."""

    def __init__(self, most: int = 64) -> None:
        self._free = threading.BoundedSemaphore(most)

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
                # A check that ends its thread does not end the process.
                error = Unavailable(f"the thread was ended by {type(raised).__name__}")
            finally:
                self._free.release()
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(settle, result, error)

        try:
            threading.Thread(target=work, name="fiel-check", daemon=True).start()
        except BaseException:
            self._free.release()
            raise
        return await asyncio.wait_for(future, limit)
