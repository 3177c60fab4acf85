"""Working on one run: from its order to its end, whatever comes between."""

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, cast

import orjson

from fiel.infra.hosts.port import GraphHost, HostEnd, HostGone, HostItem, HostMark
from fiel.infra.ledger.attempts import MOST
from fiel.infra.runs.events import Feed
from fiel.infra.runs.names import thread_ref
from fiel.infra.runs.orders import Orders, query_of
from fiel.infra.runs.outcome import Outcome, failed, shown, values_of
from fiel.infra.runs.protocol import Protocol, speaks
from fiel.infra.runs.runs import Ending, Run
from fiel.tools.errors import DatabaseUnavailable, FielError

if TYPE_CHECKING:
    from fiel.infra.runs.engine import Engine

_LOG = logging.getLogger("fiel.runs")
FORGET = 0.02
"""Share of runs after which their owner's old events are removed."""
Reason = Literal["interrupt", "rollback", "hand_back", "abandon"]
_RANK: tuple[Reason, ...] = ("hand_back", "interrupt", "rollback", "abandon")


class Work:
    """One run while this process works on it."""

    def __init__(self, run: Run, worker: int) -> None:
        self.run = run
        self.worker = worker
        """Under which lease it is claimed."""
        self.task: asyncio.Task[Any] | None = None
        self.graph: asyncio.Task[HostEnd] | None = None
        self.feed: Feed | None = None
        self.result: asyncio.Future[Outcome | None] = asyncio.get_running_loop().create_future()
        """None: it ends elsewhere."""
        self.why: Reason | None = None
        self.heeding = False

    def stop(self, why: Reason) -> None:
        """Stop the graph. The weightier reason counts."""
        if self.why is None or _RANK.index(why) > _RANK.index(self.why):
            self.why = why
        if self.graph is not None and not self.graph.done():
            self.graph.cancel()


class Worker:
    """Works on the runs of an engine."""

    def __init__(self, engine: "Engine", host: GraphHost) -> None:
        self._engine = engine
        self._host = host
        self._orders = Orders(engine, host)

    async def work(self, work: Work) -> None:
        """Work on a run until it has ended, or is another process' again."""
        outcome: Outcome | None = None
        try:
            outcome = await self._worked(work)
        except asyncio.CancelledError:
            raise
        except Exception:
            _LOG.exception("a run could not be ended", extra={"run_id": str(work.run.run_id)})
        finally:
            run_id = work.run.run_id
            if self._engine.works.get(run_id) is work:  # else this process has taken it up again
                del self._engine.works[run_id]
            if self._engine.feeds.get(run_id) is work.feed:
                self._engine.feeds.pop(run_id, None)
            if not work.result.done():
                work.result.set_result(outcome)
            self._engine.bell.ring([run_id])

    async def _worked(self, work: Work) -> Outcome | None:
        run = work.run
        feed = work.feed = await self._feed(run, work.worker)
        try:
            work.graph = asyncio.get_running_loop().create_task(self._graph(run, feed))
            if work.why is not None:
                work.graph.cancel()
            end = await work.graph
        except asyncio.CancelledError:
            if work.why is None:
                work.why = "hand_back"  # the loop itself ends
            return await self._stopped(work, feed)
        except Exception as error:  # the edge: whatever a graph raises becomes the run's end
            return await self._failed(work, feed, error)
        interrupted = end.status == "interrupted"
        ending = Ending(
            "success", "interrupted" if interrupted else "idle", end.values, orjson.dumps(dict(end.interrupts))
        )
        return await self._ended(work, feed, ending, Outcome("success", end.output))

    async def _feed(self, run: Run, worker: int) -> Feed | None:
        if not run.spec.recorded:
            return None
        last = 0
        if run.attempt > 1:
            last = await self._patiently(run, lambda: self._engine.reader.last(run.principal, run.run_id))
        protocol = Protocol(run.spec.graph_id) if speaks(run.spec) else None
        feed = self._engine.feeds[run.run_id] = Feed(run.run_id, run.principal, last, worker, protocol, run.said)
        return feed

    # The graph

    async def _graph(self, run: Run, feed: Feed | None) -> HostEnd:
        async with asyncio.timeout(self._engine.bounds.run):
            order = await self._orders.order(run)
            if isinstance(order, HostEnd):
                return order
            if feed is not None:
                await self._begin(run, feed)
            stream = cast("Any", self._host.run(order))
            async with aclosing(stream):
                return await self._followed(stream, feed)

    async def _begin(self, run: Run, feed: Feed) -> None:
        """The first thing that a run says of itself, at each attempt."""
        name, data = "metadata", orjson.dumps({"run_id": str(run.run_id), "attempt": run.attempt})
        if feed.protocol is not None:
            name, data = feed.protocol.life("running")
        await self._engine.journal.add(feed, name, data)

    async def _followed(self, stream: AsyncIterator[HostItem], feed: Feed | None) -> HostEnd:
        async for item in stream:
            if isinstance(item, HostEnd):
                return item
            if feed is None:
                continue
            if isinstance(item, HostMark):
                self._engine.journal.mark(feed, item)
                continue
            if feed.protocol is None:
                await self._engine.journal.add(feed, item.event, item.data)
                continue
            for name, data in feed.protocol.events(item):
                await self._engine.journal.add(feed, name, data)
        raise HostGone("the graph ended without an end")

    # The end

    async def _stopped(self, work: Work, feed: Feed | None) -> Outcome | None:
        """The graph was cancelled."""
        run, why = work.run, work.why
        if why == "abandon":
            return None
        if why == "hand_back":
            await self._hand_back(work, feed)
            return None
        if why == "rollback":
            thread = thread_ref(run.principal, run.spec.thread_id)
            await self._patiently(run, lambda: self._host.forget_run(thread, str(run.run_id)), work)
        values, interrupts, more = await self._state(work)
        ending = Ending("interrupted", "interrupted" if more else "idle", values, interrupts)
        return await self._ended(work, feed, ending, Outcome("interrupted", values or b"{}"), undo=why == "rollback")

    async def _failed(self, work: Work, feed: Feed | None, error: Exception) -> Outcome | None:
        run = work.run
        if isinstance(error, HostGone | DatabaseUnavailable) and run.attempt < MOST:
            _LOG.warning("a run is taken up again", extra={"run_id": str(run.run_id), "code": error.code})
            await self._hand_back(work, feed)
            return None
        code, seen = shown(error)
        if not isinstance(error, FielError | TimeoutError):
            _LOG.error("a run crashed", exc_info=error, extra={"run_id": str(run.run_id)})
        values, interrupts, _ = await self._state(work)
        if feed is not None and feed.protocol is None:
            await self._engine.journal.add(feed, "error", orjson.dumps(seen))
        elif feed is not None and feed.protocol is not None:
            await self._engine.journal.add(feed, *feed.protocol.life("failed", seen["message"]))
        status: Any = "timeout" if isinstance(error, TimeoutError) else "error"
        ending = Ending(status, "error", values, interrupts, code)
        return await self._ended(work, feed, ending, Outcome(status, failed(seen)))

    async def _hand_back(self, work: Work, feed: Feed | None) -> None:
        """Let another process go on; what was said until now is written while the run is still this one's."""
        if feed is not None:
            await self._engine.journal.flushed(feed)
        await self._patiently(work.run, lambda: self._engine.runs.hand_back(work.run, work.worker), work)

    async def _state(self, work: Work) -> tuple[bytes | None, bytes | None, bool]:
        """What the checkpoints show; nothing where the host cannot say."""
        try:
            state = await self._patiently(work.run, lambda: self._host.state(query_of(work.run)), work)
        except FielError:
            return None, None, False
        return values_of(state or {})

    async def _ended(
        self, work: Work, feed: Feed | None, how: Ending, outcome: Outcome, *, undo: bool = False
    ) -> Outcome | None:
        """Commit the end, and begin what waited for it."""
        run, engine = work.run, self._engine
        if feed is not None:
            if feed.protocol is not None and how.thread_status != "error":
                interrupted = "interrupted" in (how.status, how.thread_status)
                await engine.journal.add(feed, *feed.protocol.life("interrupted" if interrupted else "completed"))
            await engine.journal.flushed(feed)
        if run.spec.temporary:
            how = replace(how, linger=_linger(engine.bounds.linger, run))
        write = engine.runs.undo if undo else engine.runs.finish
        take_next = not engine.draining
        result = await self._patiently(run, lambda: write(run, work.worker, how, take_next=take_next), work)
        if result is None:
            return None
        if not result[0]:
            # Another process' by now; or it was committed, and the answer lost with the connection. Then what comes
            # next is still to begin.
            engine.spawn(engine.look(run.principal, run.spec.thread_id))
            return None
        if result[1] is not None:
            del engine.works[run.run_id]
            engine.begin(result[1], work.worker)
        elif run.spec.temporary and not run.spec.recorded and run.spec.webhook is None and work.run.attempt == 1:
            engine.spawn(self._forget(run))
        if feed is not None and random.random() < FORGET:  # noqa: S311 - so that not every run pays for it
            engine.spawn(self._forget_old(run))
        return outcome

    async def _forget_old(self, run: Run) -> None:
        with contextlib.suppress(FielError):
            await self._engine.reader.forget_old(run.principal, self._engine.bounds.keep)

    async def _forget(self, run: Run) -> None:
        """A temporary thread that nobody reads from elsewhere goes at once; else its deadline takes it."""
        with contextlib.suppress(FielError):
            await self._host.delete_thread(thread_ref(run.principal, run.spec.thread_id))
            await self._engine.runs.forget_thread(run.principal, run.spec.thread_id)

    async def _patiently(self, run: Run, act: Any, work: Work | None = None) -> Any:
        """Do what must be done, through a restart of the database; None where the run is another's by then."""
        pause = 0.05
        while True:
            try:
                return await act()
            except DatabaseUnavailable:
                if work is not None and work.why == "abandon":
                    return None
                await asyncio.sleep(pause)
                pause = min(pause * 2, 1.0)


def _linger(seconds: float, run: Run) -> float:
    """A webhook that is tried again reads the thread."""
    return max(seconds, 3600.0) if run.spec.webhook else seconds
