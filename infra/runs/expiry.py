"""What happens when the time of threads and items is over."""

import logging

from fiel.infra.runs.deadlines import Deadlines
from fiel.infra.runs.errors import Conflict
from fiel.infra.runs.items import Items
from fiel.infra.runs.threads import Threads
from fiel.tools.errors import FielError

LOG = logging.getLogger("fiel.runs")


class Expiry:
    """Sweeps what has expired. Several processes may sweep at once; what one dies over, another does later."""

    def __init__(self, deadlines: Deadlines, threads: Threads, items: Items) -> None:
        self._deadlines = deadlines
        self._threads = threads
        self._items = items

    async def sweep(self, limit: int = 100) -> int:
        """Do what is due, up to `limit` of each kind; how many were. Raises DatabaseUnavailable."""
        return await self._sweep_threads(limit) + await self._sweep_items(limit)

    async def _sweep_threads(self, limit: int) -> int:
        done = 0
        for due in await self._deadlines.take("thread", limit):
            try:
                done += await self._threads.expire(due.owner, due.id)
            except Conflict:
                continue  # a run goes on, and sets the thread's time anew when it ends
            except FielError as error:
                # One thread whose host fails must not keep the others; it is due again after the lease.
                LOG.warning("a thread could not be expired", extra={"code": error.code, "thread_id": str(due.id)})
        return done

    async def _sweep_items(self, limit: int) -> int:
        due = await self._deadlines.take("item", limit)
        return sum([await self._items.sweep(owner) for owner in {one.owner for one in due}])
