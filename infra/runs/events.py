"""Events of runs: written in groups before anybody sees them, read from memory or from the table, from any process.

What a client has seen stands in the table, so whoever joins again, wherever, after whatever was killed, finds exactly
what follows: without a gap and without anything twice. The price is one small write before delivery; writes of all runs
of a process share it.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

import psycopg

from fiel.infra.database.connect import Database
from fiel.infra.runs.bell import Bell, payloads
from fiel.infra.runs.names import place
from fiel.infra.runs.protocol import Protocol
from fiel.infra.runs.rows import fetch, one, run
from fiel.infra.runs.sealed import Sealer
from fiel.tools.errors import DatabaseUnavailable
from fiel.tools.principal import Principal
from fiel.tools.sql import load

_LOG = logging.getLogger("fiel.runs")
UNWRITTEN = 2**20
"""Bytes of one run that may wait to be written; then its graph waits."""
TAIL = 2**18
"""Bytes of one run that are kept in memory for those who read along."""
GROUP = 500
GROUP_BYTES = 4 * 2**20
PAGE = 100
PAUSES = 5
"""Seconds between looks at a run of another process of which nothing is heard."""
PATIENCE = 40
"""Attempts, half a second apart, to reach a database that does not answer, before a reader gives up."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a run, as a client gets it."""

    seq: int
    event: str
    data: bytes


class Feed:
    """The events of one run while this process works on it."""

    def __init__(
        self, run_id: UUID, principal: Principal, last: int, worker: int, protocol: Protocol | None = None
    ) -> None:
        self.run_id = run_id
        self.worker = worker
        """Under which lease the run is claimed: what is said after another has taken it up is not written."""
        self.protocol = protocol
        """How a run of the newer transport tells of itself."""
        self.place = place(principal, run_id)
        self.last = last
        """Number of the last event, written or not."""
        self.written = last
        self.waiting = 0
        """Bytes that wait to be written."""
        self.room = asyncio.Event()
        self.room.set()
        self._tail: deque[Event] = deque()
        self._bytes = 0

    def keep(self, event: Event) -> None:
        """An event is written: who reads along gets it from memory."""
        self.written = event.seq
        self._tail.append(event)
        self._bytes += len(event.data)
        while self._bytes > TAIL and len(self._tail) > 1:
            self._bytes -= len(self._tail.popleft().data)

    def tail(self) -> list[Event]:
        """The newest written events."""
        return list(self._tail)

    def since(self, after: int) -> list[Event] | None:
        """Written events after that one; None where memory does not reach back so far."""
        if after >= self.written:
            return []
        if not self._tail or self._tail[0].seq > after + 1:
            return None
        return [event for event in self._tail if event.seq > after]


class Journal:
    """Writes what the runs of this process say."""

    def __init__(self, database: Database, sealer: Sealer, bell: Bell) -> None:
        self._database = database
        self._sealer = sealer
        self._bell = bell
        self._sql = load(__package__, "events.sql")
        self._queue: deque[tuple[Feed, Event]] = deque()
        self._more = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run(), name="fiel journal")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def add(self, feed: Feed, event: str, data: bytes) -> None:
        """Say something; waits where too much waits already."""
        feed.last += 1
        feed.waiting += len(data)
        self._queue.append((feed, Event(feed.last, event, data)))
        self._more.set()
        if feed.waiting > UNWRITTEN:
            feed.room.clear()
            await feed.room.wait()

    async def flushed(self, feed: Feed) -> None:
        """Until all of it is written."""
        if feed.written == feed.last:
            return
        async with self._bell.watching(feed.run_id) as watch:
            while feed.written < feed.last:
                await watch.wait()

    def doubt(self, feeds: Iterable[Feed]) -> None:
        """The server was away: what it had confirmed last may be lost, so it is written again where it is missing."""
        for feed in feeds:
            for event in feed.tail():
                feed.waiting += len(event.data)
                self._queue.append((feed, event))
        self._more.set()

    async def _run(self) -> None:
        while True:
            await self._more.wait()
            self._more.clear()
            while self._queue:
                group = self._group()
                if await self._write(group):
                    self._done(group)
                else:
                    await asyncio.sleep(0.1)

    def _group(self) -> list[tuple[Feed, Event]]:
        group, size = [], 0
        for item in self._queue:
            group.append(item)
            size += len(item[1].data)
            if len(group) == GROUP or size > GROUP_BYTES:
                break
        return group

    async def _write(self, group: Sequence[tuple[Feed, Event]]) -> bool:
        values = {
            "runs": [feed.run_id for feed, _ in group],
            "seqs": [event.seq for _, event in group],
            "events": [event.event for _, event in group],
            "data": [self._sealer.seal("event", feed.place, event.data) for feed, event in group],
            "workers": [feed.worker for feed, _ in group],
            "told": payloads({feed.run_id for feed, _ in group}),
        }
        try:
            async with self._database.single() as connection:
                await run(connection, self._sql["write"], values)
        except DatabaseUnavailable:
            _LOG.warning("events wait to be written: %d", len(self._queue))
            return False
        except psycopg.Error as error:
            return await self._singly(group, error)
        return True

    async def _singly(self, group: Sequence[tuple[Feed, Event]], error: psycopg.Error) -> bool:
        """One run of a group was deleted meanwhile, say: the others' events are written without it."""
        runs = {feed.run_id for feed, _ in group}
        if len(runs) == 1:
            _LOG.warning("events of run %s cannot be written: %s", group[0][0].run_id, type(error).__name__)
            return True
        done = [await self._write([item for item in group if item[0].run_id == one]) for one in runs]
        return all(done)

    def _done(self, group: Sequence[tuple[Feed, Event]]) -> None:
        for feed, event in group:
            self._queue.popleft()
            feed.waiting -= len(event.data)
            if feed.waiting <= UNWRITTEN // 2:
                feed.room.set()
            if event.seq > feed.written:
                feed.keep(event)
        for feed in {feed.run_id: feed for feed, _ in group}.values():
            self._bell.here(feed.run_id)


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
