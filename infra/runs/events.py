"""Events of runs: written in groups before anybody sees them.

What a client has seen stands in the table, so whoever joins again, wherever, after whatever was killed, finds exactly
what follows: without a gap and without anything twice. The price is one small write before delivery; writes of all runs
of a process share it. Beside the events stands what their graph has kept by then (marks): whoever takes a run up goes
back behind what was kept and not said.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

import orjson
import psycopg

from fiel.infra.database.connect import Database
from fiel.infra.hosts.port import HostMark, Said
from fiel.infra.runs.bell import Bell, payloads
from fiel.infra.runs.names import place
from fiel.infra.runs.protocol import Protocol
from fiel.infra.runs.rows import one
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


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a run, as a client gets it."""

    seq: int
    event: str
    data: bytes


@dataclass(frozen=True, slots=True)
class _Said:
    """Stands between events of a run: what is marked when all before it is written."""

    said: str
    """JSON."""


class Feed:
    """The events of one run while this process works on it."""

    def __init__(
        self,
        run_id: UUID,
        principal: Principal,
        last: int,
        worker: int,
        protocol: Protocol | None = None,
        said: Said | None = None,
    ) -> None:
        self.run_id = run_id
        self.worker = worker
        """Under which lease the run is claimed: what is said after another has taken it up is not written."""
        self.lost = False
        """Whether another has taken it up, or it was deleted: then nobody hears more of it here."""
        self.said = {space: list(kept) for space, kept in (said or {}).items()}
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

    def mark(self, mark: HostMark) -> None:
        """What a graph keeps for itself makes all marks before it needless, those of its subgraphs among them."""
        if mark.task:
            self.said.setdefault(mark.space, [""]).append(mark.kept)
            return
        if not mark.space:
            self.said.clear()
        self.said[mark.space] = [mark.kept]

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


_Item = tuple[Feed, Event | _Said]


class Journal:
    """Writes what the runs of this process say."""

    def __init__(self, database: Database, sealer: Sealer, bell: Bell) -> None:
        self._database = database
        self._sealer = sealer
        self._bell = bell
        self._sql = load(__package__, "events.sql")
        self._queue: deque[_Item] = deque()
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

    def mark(self, feed: Feed, mark: HostMark) -> None:
        """Note what the graph has kept: written with the events before it, or after them."""
        feed.mark(mark)
        self._queue.append((feed, _Said(orjson.dumps(feed.said).decode())))
        self._more.set()

    async def flushed(self, feed: Feed) -> None:
        """Until all of it is written, or will never be."""
        if feed.written == feed.last:
            return
        async with self._bell.watching(feed.run_id) as watch:
            while feed.written < feed.last and not feed.lost:
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

    def _group(self) -> list[_Item]:
        group: list[_Item] = []
        size = 0
        for item in self._queue:
            group.append(item)
            size += len(item[1].data) if isinstance(item[1], Event) else 0
            if len(group) == GROUP or size > GROUP_BYTES:
                break
        return group

    async def _write(self, group: Sequence[_Item]) -> bool:
        events = [(feed, event) for feed, event in group if isinstance(event, Event)]
        said = {feed.run_id: (feed, mark.said) for feed, mark in group if isinstance(mark, _Said)}
        feeds = {feed.run_id: feed for feed, _ in group}
        values = {
            "runs": [feed.run_id for feed, _ in events],
            "seqs": [event.seq for _, event in events],
            "events": [event.event for _, event in events],
            "data": [self._sealer.seal("event", feed.place, event.data) for feed, event in events],
            "workers": [feed.worker for feed, _ in events],
            "marked": list(said),
            "said": [mark for _, mark in said.values()],
            "markers": [feed.worker for feed, _ in said.values()],
            "all": list(feeds),
            "told": payloads(feeds),
        }
        try:
            async with self._database.single() as connection:
                row = await one(connection, self._sql["write"], values)
        except DatabaseUnavailable:
            _LOG.warning("events wait to be written: %d", len(self._queue))
            return False
        except psycopg.Error as error:
            return await self._singly(group, error)
        claimed = dict(zip(row["runs"] or (), row["workers"] or (), strict=True)) if row else {}
        for feed in feeds.values():
            feed.lost = feed.lost or claimed.get(feed.run_id) != feed.worker
        return True

    async def _singly(self, group: Sequence[_Item], error: psycopg.Error) -> bool:
        """One run of a group was deleted meanwhile, say: the others' events are written without it."""
        feeds = {feed.run_id: feed for feed, _ in group}
        if len(feeds) == 1:
            _LOG.warning("events of run %s cannot be written: %s", group[0][0].run_id, type(error).__name__)
            group[0][0].lost = True
            return True
        done = [await self._write([item for item in group if item[0].run_id == one]) for one in feeds]
        return all(done)

    def _done(self, group: Sequence[_Item]) -> None:
        for feed, event in group:
            self._queue.popleft()
            if not isinstance(event, Event):
                continue
            feed.waiting -= len(event.data)
            if feed.waiting <= UNWRITTEN // 2:
                feed.room.set()
            if event.seq > feed.written and not feed.lost:
                feed.keep(event)
        for feed in {feed.run_id: feed for feed, _ in group}.values():
            self._bell.here(feed.run_id)
