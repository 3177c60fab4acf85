"""The sweep: what this process is to stop, and what processes that are gone have left."""

import asyncio
import logging
import random
import time
from collections.abc import Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson
import procrastinate

from fiel.infra.ledger.attempts import MOST
from fiel.infra.runs.errors import NotFound
from fiel.infra.runs.names import thread_ref
from fiel.infra.runs.outcome import shown_code
from fiel.infra.runs.protocol import Protocol, speaks
from fiel.infra.runs.queue import HOOKS, QUEUE
from fiel.infra.runs.rows import Row, fetch
from fiel.infra.runs.runs import Ending, Run
from fiel.infra.runs.work import Reason
from fiel.tools.errors import DatabaseUnavailable, FielError
from fiel.tools.principal import Principal

if TYPE_CHECKING:
    from fiel.infra.runs.engine import Engine

_LOG = logging.getLogger("fiel.runs")
BATCH = 100


class Sweep:
    """Looks around for an engine."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine
        self._tasks: list[asyncio.Task[None]] = []
        self._strays: dict[UUID, float] = {}
        """Claims of ours that nobody works on, and since when."""

    def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(one) for one in (self._look(), self._serve(QUEUE), self._serve(HOOKS))]

    def also(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something beside it."""
        self._tasks.append(asyncio.get_running_loop().create_task(work))

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _look(self) -> None:
        every = self._engine.bounds.lease / 6
        while True:
            await asyncio.sleep(every * random.uniform(0.8, 1.2))  # noqa: S311 - so that processes take turns
            try:
                if (worker := self._engine.lease.worker) is not None:
                    await self.heed(worker)
                    await self.rescue()
                    await self._engine.queue.retry_stalled(self._engine.bounds.lease)
            except (FielError, procrastinate.exceptions.ConnectorException) as error:
                _LOG.warning("the sweep could not look: %s", error)
            except Exception:
                _LOG.exception("the sweep failed")

    async def heed(self, worker: int) -> None:
        """Stop what is asked to stop, and what was deleted under our hands. Raises DatabaseUnavailable.

        A claim of ours that nobody works on, for a while, is one whose confirmation was lost: it is given back.
        """
        engine = self._engine
        mine = [work for work in engine.works.values() if work.worker == worker]
        async with engine.runs.database.system() as connection:
            rows = await fetch(connection, engine.runs.sql["claimed"], {"worker": worker})
        asked: dict[UUID, Reason | None] = {row["run_id"]: row["cancel"] for row in rows}
        for work in mine:
            if (why := asked.get(work.run.run_id, "abandon")) is not None:
                work.stop(why)
        strays = [row for row in rows if row["run_id"] not in engine.works]
        now = time.monotonic()
        self._strays = {row["run_id"]: self._strays.get(row["run_id"], now) for row in strays}
        for row in strays:
            if now - self._strays[row["run_id"]] > engine.bounds.lease / 3:
                await self._rescue({**row, "worker": worker})

    async def rescue(self) -> int:
        """Take from processes that are gone what they worked on; how much there was. Raises DatabaseUnavailable."""
        engine = self._engine
        values = {"lease": engine.bounds.lease, "limit": BATCH}
        async with engine.runs.database.system() as connection:
            rows = await fetch(connection, engine.runs.sql["orphans"], values)
        for row in rows:
            await self._rescue(row)
        return len(rows)

    async def _rescue(self, orphan: Row) -> None:
        """One run begins again, here or elsewhere, unless it was to stop, or that has happened too often."""
        engine, principal = self._engine, Principal(orphan["tenant"], orphan["owner"])
        try:
            left = await engine.runs.get(principal, orphan["run_id"])
        except NotFound:
            return
        _LOG.warning("a run was left by a process that is gone", extra={"run_id": str(left.run_id)})
        worker = orphan["worker"]
        if orphan["cancel"] == "rollback":
            thread = thread_ref(principal, left.spec.thread_id)
            await engine.host.forget_run(thread, str(left.run_id))
            await engine.runs.undo(left, worker, Ending("interrupted", "idle"), take_next=False)
        elif orphan["cancel"]:
            await engine.runs.finish(left, worker, Ending("interrupted", "idle"), take_next=False)
        elif left.attempt >= MOST:
            await self._give_up(left, worker)
        else:
            await engine.runs.hand_back(left, worker)
        engine.bell.ring([left.run_id])

    async def _give_up(self, left: Run, worker: int) -> None:
        engine = self._engine
        if left.spec.recorded:
            error = shown_code("worker_lost")
            told = ("error", orjson.dumps(error))
            if speaks(left.spec):
                told = Protocol(left.spec.graph_id).life("failed", error["message"])
            await engine.reader.add(left.principal, left.run_id, *told)
        await engine.runs.finish(left, worker, Ending("error", "error", error="worker_lost"), take_next=False)

    async def _serve(self, queue: str) -> None:
        """procrastinate's worker stops when its connection breaks: it is started anew."""
        lease = self._engine.bounds.lease
        while True:
            with suppress(procrastinate.exceptions.ConnectorException, DatabaseUnavailable):
                await self._engine.queue.serve(queue, lease)
            await asyncio.sleep(0.5)
