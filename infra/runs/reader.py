"""Reading the events of runs, from memory or from the table, from any process."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from uuid import UUID

from fiel.infra.database.connect import Database
from fiel.infra.runs.bell import Bell
from fiel.infra.runs.events import Event, Feed
from fiel.infra.runs.names import place
from fiel.infra.runs.rows import fetch, one, run
from fiel.infra.runs.sealed import Sealer
from fiel.tools.errors import DatabaseUnavailable
from fiel.tools.principal import Principal
from fiel.tools.sql import load

PAGE = 100
PAUSES = 5
"""Seconds between looks at a run of another process of which nothing is heard."""
PATIENCE = 40
"""Attempts, half a second apart, to reach a database that does not answer, before a reader gives up."""

Going = Callable[[Principal, UUID], Awaitable[bool]]
"""Whether a run goes on."""


class Reader:
    """Reads the events of runs, of this process and of others."""

    def __init__(self, database: Database, sealer: Sealer, bell: Bell, feeds: dict[UUID, Feed], going: Going) -> None:
        self._database = database
        self._sealer = sealer
        self._bell = bell
        self._feeds = feeds
        self._going = going
        self._sql = load(__package__, "events.sql")

    async def last(self, principal: Principal, run_id: UUID) -> int:
        """Number of the run's last written event."""
        values = {"tenant": principal.tenant, "owner": principal.id, "run_id": run_id}
        async with self._database.acting(principal) as connection:
            row = await one(connection, self._sql["last"], values)
        return int(row["seq"]) if row else 0

    async def add(self, principal: Principal, run_id: UUID, event: str, data: bytes) -> None:
        """Say the last word on a run that no process works on."""
        at = place(principal, run_id)
        values = {"tenant": principal.tenant, "owner": principal.id, "run_id": run_id, "event": event}
        async with self._database.acting(principal) as connection:
            await run(connection, self._sql["add"], values | {"data": self._sealer.seal("event", at, data)})

    async def forget_old(self, principal: Principal, seconds: float) -> None:
        """Remove the events of an owner's runs that ended so long ago."""
        values = {"tenant": principal.tenant, "owner": principal.id, "age": seconds}
        async with self._database.acting(principal) as connection:
            await run(connection, self._sql["forget_old"], values)

    async def events(self, principal: Principal, run_id: UUID, after: int) -> AsyncIterator[Event | None]:
        """Events after number `after`, until the run has ended; None from time to time where nothing comes.

        The caller has seen that the run is theirs.
        """
        async with self._bell.watching(run_id) as watch:
            patience, idle = PATIENCE, 1
            while True:
                try:
                    found = await self._next(principal, run_id, after)
                except DatabaseUnavailable:
                    if (patience := patience - 1) < 0:
                        raise
                    await asyncio.sleep(0.5)
                    continue
                patience = PATIENCE
                if found is None:
                    return
                for event in found:
                    after = event.seq
                    yield event
                # Without a ring a run of another process is looked at less and less often.
                for _ in range(0 if found else idle if run_id not in self._feeds else 1):
                    if await watch.wait():
                        idle = 1
                        break
                    yield None
                idle = 1 if found else min(idle + 1, PAUSES)

    async def _next(self, principal: Principal, run_id: UUID, after: int) -> list[Event] | None:
        """What follows; nothing yet: an empty list; nothing ever: None."""
        feed = self._feeds.get(run_id)
        if feed is not None and feed.lost:
            feed = None
        if feed is not None and (found := feed.since(after)) is not None:
            return found
        # Whether it goes on is asked first: what was said before it ended is read then.
        going = feed is not None or await self._going(principal, run_id)
        page = await self._page(principal, run_id, after)
        if going:  # a gap will be filled: the server was away, and its last rows are written again
            return [event for place, event in enumerate(page, after + 1) if event.seq == place]
        return page or None

    async def _page(self, principal: Principal, run_id: UUID, after: int) -> list[Event]:
        values = {"tenant": principal.tenant, "owner": principal.id, "run_id": run_id, "after": after, "limit": PAGE}
        async with self._database.acting(principal) as connection:
            rows = await fetch(connection, self._sql["read"], values)
        at = place(principal, run_id)
        return [Event(row["seq"], row["event"], self._sealer.open("event", at, row["data"])) for row in rows]
