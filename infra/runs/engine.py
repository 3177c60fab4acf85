"""The engine: begins runs, works on them, stops them, and gives back what it cannot finish. One in each process."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID

import psycopg

from fiel.infra.database.connect import Database
from fiel.infra.database.errors import unavailable
from fiel.infra.hosts.port import GraphHost
from fiel.infra.runs.bell import Bell
from fiel.infra.runs.chores import Chores
from fiel.infra.runs.errors import Conflict, NotFound
from fiel.infra.runs.events import Event, Feed, Journal
from fiel.infra.runs.lease import Lease
from fiel.infra.runs.names import new_id
from fiel.infra.runs.outcome import Outcome, told
from fiel.infra.runs.queue import Queue
from fiel.infra.runs.reader import Reader
from fiel.infra.runs.rights import Now
from fiel.infra.runs.runs import Run, Runs, absent
from fiel.infra.runs.sealed import Sealer
from fiel.infra.runs.spec import UNFINISHED, Action, Asker, Spec
from fiel.infra.runs.sweep import Sweep
from fiel.infra.runs.webhooks import Hooks, Webhooks
from fiel.infra.runs.work import Work, Worker
from fiel.tools.errors import DatabaseUnavailable
from fiel.tools.principal import Principal

_LOG = logging.getLogger("fiel.runs")


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one process takes on, and how long things may take, in seconds."""

    slots: int = 64
    """Runs at once."""
    lease: float = 15.0
    """After which a process that is not heard counts as gone."""
    run: float = 3600.0
    drain: float = 20.0
    stop: float = 20.0
    """How long whoever deletes a thread waits for its runs to stop."""
    keep: float = 7 * 24 * 3600.0
    """How long the events of runs are kept after their end."""
    linger: float = 300.0
    """How long the thread of a temporary run stays for those who still read."""


class Engine:
    """Runs graphs for whoever asks. Every method may raise DatabaseUnavailable."""

    def __init__(
        self,
        database: Database,
        host: GraphHost,
        sealer: Sealer,
        bounds: Bounds | None = None,
        hooks: Hooks | None = None,
        rights: Now | None = None,
    ) -> None:
        """`rights`: what who asked may do when a run begins that has waited; without it, what they might then."""
        self.rights = rights
        self.bounds = bounds or Bounds()
        self.queue = Queue(database.url)
        self.runs = Runs(database, sealer, self.queue)
        self.webhooks = Webhooks(self.runs, hooks or Hooks())
        self.feeds: dict[UUID, Feed] = {}
        self.works: dict[UUID, Work] = {}
        self.bell = Bell(database, self._rung, lambda: self.journal.doubt(self.feeds.values()))
        self.lease = Lease(database.url, seconds=self.bounds.lease, lost=self._lost)
        self.journal = Journal(database, sealer, self.bell)
        self.reader = Reader(database, sealer, self.bell, self.feeds, self._going)
        self.host = host
        self._worker = Worker(self, host)
        self._sweep = Sweep(self)
        self.chores: Chores | None = None
        """What is done by the clock; set before `open`."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self.draining = False

    # Life

    async def open(self) -> None:
        """Begin to work. Raises DatabaseUnavailable."""
        self._loop = asyncio.get_running_loop()
        self.queue.register(self._job)
        self.queue.register_webhooks(self._webhook)
        try:
            await self.queue.open()
            await asyncio.to_thread(self.lease.start)
        except psycopg.Error as error:
            raise unavailable(error, self.runs.database.url) from error
        self.bell.start()
        self.journal.start()
        self._sweep.start()
        if self.chores is not None:
            self._sweep.also(self.chores.run())

    async def close(self) -> None:
        """Finish what can be finished in time, and give back the rest."""
        await self.drain(self.bounds.drain)
        await self.journal.stop()
        await self.bell.stop()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.to_thread(self.lease.stop)
        await self.queue.close()

    async def __aenter__(self) -> "Engine":
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def drain(self, seconds: float) -> None:
        """Take on nothing more, wait, then hand the rest back to the queue."""
        self.draining = True
        await self._sweep.stop()
        if self.works:
            await asyncio.wait([work.task for work in self.works.values() if work.task], timeout=seconds)
        rest = [work for work in self.works.values() if work.task]
        for work in rest:
            work.stop("hand_back")
        if rest:
            await asyncio.wait([work.task for work in rest if work.task], timeout=10.0)

    @property
    def free(self) -> bool:
        """Whether one more run may begin here."""
        return not self.draining and len(self.works) < self.bounds.slots and self.lease.worker is not None

    # Making

    async def submit(self, who: Asker, spec: Spec) -> tuple[Run, Work | None]:
        """Make a run, and begin it where that is possible. With its work where it is done here.

        Raises NotFound, Conflict, WebhookRefused.
        """
        if spec.webhook is not None:
            await self.webhooks.check(spec.webhook)
        run_id, worker = new_id(), self.lease.worker
        mine = worker if self.free and not spec.after else None
        if mine is not None and (run := await self.runs.start(who, spec, run_id, mine)) is not None:
            return run, self.begin(run, mine)
        made = await self.runs.submit(who, spec, run_id, mine)
        if made.stopping:
            self._stop_soon(made.stopping, "rollback" if spec.multitask == "rollback" else "interrupt")
        if made.run.status != "running" or mine is None:
            return made.run, None
        work = self.begin(made.run, mine)
        if made.started:
            return made.run, work
        return await self.runs.get(who.principal, run_id), None

    def begin(self, run: Run, worker: int) -> Work:
        """Work on a run that is claimed for this process."""
        work = Work(run, worker)
        self.works[run.run_id] = work
        work.task = self.spawn(self._worker.work(work))
        if run.spec.recorded:
            self.bell.ring([run.spec.thread_id])
        return work

    async def look(self, principal: Principal, thread_id: UUID) -> bool:
        """Begin the thread's next run here, if there is one; False where this process is full."""
        worker = self.lease.worker
        if not self.free or worker is None:
            return False
        run = await self.runs.take(principal, thread_id, worker)
        if run is not None:
            self.begin(run, worker)
        return True

    async def _job(self, thread_id: str, tenant: str, owner: str) -> None:
        """A job of the queue. A full process waits a moment, then lets another one look."""
        principal = Principal(tenant, owner)
        for _ in range(20):
            if await self.look(principal, UUID(thread_id)):
                return
            await asyncio.sleep(0.1)
        async with self.runs.database.acting(principal) as connection:
            await self.runs.defer(connection, principal, UUID(thread_id))

    async def _webhook(self, run_id: str, tenant: str, owner: str) -> None:
        await self.webhooks.deliver(Principal(tenant, owner), UUID(run_id))

    # Waiting and reading

    async def wait(self, principal: Principal, run_id: UUID, work: Work | None = None) -> Outcome:
        """The end of a run. Raises NotFound where it is deleted meanwhile."""
        work = work or self.works.get(run_id)
        if work is not None and (outcome := await asyncio.shield(work.result)) is not None:
            return outcome
        async with self.bell.watching(run_id) as watch:
            while True:
                status = await self._patiently(self.runs.status, principal, run_id)
                if status is None:
                    raise absent(run_id)
                if status not in UNFINISHED:
                    return told(*await self.runs.shown(principal, run_id))
                await watch.wait()

    async def events(self, principal: Principal, run_id: UUID, after: int = 0) -> AsyncIterator[Event]:
        """Events of a run after number `after`, from any process, until it has ended."""
        async with aclosing(cast("Any", self.watched(principal, run_id, after))) as events:
            async for event in events:
                if event is not None:
                    yield event

    def watched(self, principal: Principal, run_id: UUID, after: int = 0) -> AsyncIterator[Event | None]:
        """The same, with None from time to time where nothing comes."""
        return self.reader.events(principal, run_id, after)

    async def _going(self, principal: Principal, run_id: UUID) -> bool:
        return await self.runs.status(principal, run_id) in UNFINISHED

    async def _patiently(self, ask: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
        """Ask a database that may be restarting."""
        deadline = time.monotonic() + 30.0
        while True:
            try:
                return await ask(*arguments)
            except DatabaseUnavailable:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(0.5)

    # Stopping

    async def cancel(
        self,
        principal: Principal,
        action: Action,
        *,
        thread_id: UUID | None = None,
        run_ids: Sequence[UUID] | None = None,
        statuses: Sequence[str] = UNFINISHED,
    ) -> list[UUID]:
        """Stop runs. Those that were to stop, in any order; raises NotFound where there is none."""
        dropped, asked = await self.runs.cancel(
            principal, action, thread_id=thread_id, run_ids=run_ids, statuses=statuses
        )
        if not dropped and not asked:
            raise NotFound("no run is to be cancelled", hint="They have ended, or are not there")
        self.bell.ring(dropped)
        self._stop_soon(asked, action)
        return [*dropped, *asked]

    async def stop_thread(self, principal: Principal, thread_id: UUID) -> None:
        """Cancel the runs of a thread, and wait until none goes on (`threads.Stop`). Raises Conflict where one does."""
        _, asked = await self.runs.cancel(principal, "interrupt", thread_id=thread_id)
        self._stop_soon(asked, "interrupt")
        try:
            async with asyncio.timeout(self.bounds.stop):
                for run_id in asked:
                    await self.ended(principal, run_id)
        except TimeoutError as error:
            raise Conflict(f"a run of thread {thread_id} does not stop", hint="Try again") from error

    async def ended(self, principal: Principal, run_id: UUID) -> None:
        """Until a run has ended or is gone."""
        try:
            await self.wait(principal, run_id)
        except NotFound:
            return

    def _stop_soon(self, run_ids: Sequence[UUID], action: Action) -> None:
        """Stop what is worked on here; the bell tells other processes."""
        others = []
        for run_id in run_ids:
            if (work := self.works.get(run_id)) is not None:
                work.stop(action)
            else:
                others.append(run_id)
        self.bell.ring(others)

    def _rung(self, run_id: UUID) -> None:
        """Somebody rang for a run; if it is worked on here, it may be to stop."""
        if (work := self.works.get(run_id)) is not None and not work.heeding:
            work.heeding = True
            self.spawn(self._heed(work))

    async def _heed(self, work: Work) -> None:
        try:
            await self._sweep.heed(work.worker)
        except DatabaseUnavailable:
            return
        finally:
            work.heeding = False

    def _lost(self) -> None:
        """The lease has run out (called in its thread): others will take up what this process worked on."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._abandon)

    def _abandon(self) -> None:
        for work in list(self.works.values()):
            if work.worker != self.lease.worker:
                work.stop("abandon")

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """A task that ends with the engine."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
