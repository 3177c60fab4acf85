"""Runs as rows: made, begun, ended, stopped. Whoever changes what goes on on a thread holds the thread's row."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from fiel.infra.database.connect import Database
from fiel.infra.hosts.port import Said
from fiel.infra.runs.errors import Conflict, NotFound
from fiel.infra.runs.names import place
from fiel.infra.runs.queue import HOOKS, Queue
from fiel.infra.runs.rows import Connection, Row, fetch, jsonb, one, run, statement
from fiel.infra.runs.sealed import Sealer
from fiel.infra.runs.spec import UNFINISHED, Action, Asker, Spec, Status, restored
from fiel.infra.runs.threads import missing
from fiel.tools.principal import Principal
from fiel.tools.sql import load


@dataclass(frozen=True, slots=True)
class Run:
    """A run, opened."""

    run_id: UUID
    spec: Spec
    asker: Asker
    status: Status
    created_at: datetime
    updated_at: datetime
    attempt: int = 0
    error: str | None = None
    said: Said | None = None
    """What earlier attempts had said of what the graph kept; None where that is not known."""

    @property
    def principal(self) -> Principal:
        return self.asker.principal


@dataclass(frozen=True, slots=True)
class Submitted:
    """What became of a run that was asked for."""

    run: Run
    started: bool
    """Whether it is this process' to work on, at once."""
    stopping: Sequence[UUID] = ()
    """Runs that were asked to stop for it."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ended."""

    status: Status
    thread_status: str
    values: bytes | None = None
    """JSON of the thread's values; None leaves what the thread had."""
    interrupts: bytes | None = None
    error: str | None = None
    """A code."""
    linger: float | None = None
    """Seconds that a temporary thread stays, for those who still read."""


class Runs:
    """The runs of a database. Every method may raise DatabaseUnavailable and KeyUnavailable."""

    def __init__(self, database: Database, sealer: Sealer, queue: Queue) -> None:
        self.database = database
        self.sealer = sealer
        self._queue = queue
        self.sql = load(__package__, "runs.sql")

    # Making

    async def start(self, who: Asker, spec: Spec, run_id: UUID, worker: int) -> Run | None:
        """The fast path: the run begins at once, in this process. None where it cannot."""
        values = self._columns(who, spec, run_id) | {"worker": worker}
        begin = statement(self.sql["start_new" if spec.create else "start"], values)
        rows = (await self.database.write(who.principal, [begin]))[0]
        if not rows:
            return None
        return Run(run_id, spec, who, "running", rows[0]["created_at"], rows[0]["updated_at"], 1)

    async def submit(self, who: Asker, spec: Spec, run_id: UUID, worker: int | None) -> Submitted:
        """Any path: the thread's runs are looked at, and the strategy says what becomes of them and of this one.

        Raises NotFound for a thread that is not there, Conflict where a busy thread rejects.
        """
        async with self.database.acting(who.principal) as connection:
            return await self.submit_in(connection, who, spec, run_id, worker)

    async def submit_in(
        self, connection: Connection, who: Asker, spec: Spec, run_id: UUID, worker: int | None
    ) -> Submitted:
        """The same, in the caller's transaction. A run with this id that is there already stays as it is."""
        values = self._columns(who, spec, run_id)
        if spec.create:
            await run(connection, self.sql["make_thread"], values)
        if await one(connection, self.sql["lock"], values) is None:
            raise missing(spec.thread_id)
        inflight = await fetch(connection, self.sql["inflight"], values)
        if inflight and spec.multitask == "reject":
            raise Conflict(
                f"a run of thread {spec.thread_id} goes on", hint="Wait until it has ended, or send multitask_strategy"
            )
        stopping, left = await self._make_room(connection, who.principal, spec, inflight)
        row = await one(connection, self.sql["enqueue"], values | {"after": spec.after})
        if row is None:
            return Submitted(await self._known(connection, who, run_id), False)
        made = Run(run_id, spec, who, "pending", row["created_at"], row["updated_at"])
        if spec.after > 0:
            await self.defer(connection, who.principal, spec.thread_id, row["not_before"])
        elif not any(other["status"] == "running" or other["due"] for other in left):
            if worker is not None and (begun := await self.next(connection, who.principal, spec.thread_id, worker)):
                return Submitted(begun, begun.run_id == run_id, stopping)
            await self.defer(connection, who.principal, spec.thread_id)
        return Submitted(made, False, stopping)

    async def _make_room(
        self, connection: Connection, principal: Principal, spec: Spec, inflight: Sequence[Row]
    ) -> tuple[list[UUID], list[Row]]:
        """Stop what the strategy says is to stop: runs asked to, and those that still stand before the new one."""
        if spec.multitask not in ("interrupt", "rollback"):
            return [], list(inflight)
        await self._drop_pending(connection, principal, spec.thread_id, inflight, spec.multitask)
        running = [row for row in inflight if row["status"] == "running"]
        stopping = [row["run_id"] for row in running]
        if stopping:
            values = _owner(principal) | {"run_ids": stopping, "action": spec.multitask}
            await run(connection, self.sql["ask_to_stop"], values)
        return stopping, running

    async def _drop_pending(
        self, connection: Connection, principal: Principal, thread_id: UUID, rows: Sequence[Row], action: str
    ) -> None:
        pending = [row["run_id"] for row in rows if row["status"] == "pending"]
        if pending and action == "rollback":
            values = thread_key(principal, thread_id) | {"run_ids": pending, "statuses": ["pending"]}
            await run(connection, self.sql["remove"], values)
        elif pending:
            await run(connection, self.sql["withdraw"], _owner(principal) | {"run_ids": pending})

    async def _known(self, connection: Connection, who: Asker, run_id: UUID) -> Run:
        row = await one(connection, self.sql["get"], _owner(who.principal) | {"run_id": run_id, "thread_id": None})
        if row is None:
            raise absent(run_id)
        return self.opened(who.principal, row)

    async def defer(
        self, connection: Connection, principal: Principal, thread_id: UUID, not_before: datetime | None = None
    ) -> None:
        """Let some process look at the thread, now or later."""
        job = {"thread_id": str(thread_id), "tenant": principal.tenant, "owner": principal.id}
        await self._queue.defer(connection, job, not_before=not_before)

    async def _defer_webhook(self, connection: Connection, principal: Principal, run_id: UUID) -> None:
        job = {"run_id": str(run_id), "tenant": principal.tenant, "owner": principal.id}
        await self._queue.defer(connection, job, task=HOOKS, queue=HOOKS)

    # Beginning

    async def take(self, principal: Principal, thread_id: UUID, worker: int) -> Run | None:
        """Begin the thread's next run in this process; None where nothing is to begin."""
        async with self.database.acting(principal) as connection:
            if await one(connection, self.sql["lock"], thread_key(principal, thread_id)) is None:
                return None
            return await self.next(connection, principal, thread_id, worker)

    async def next(self, connection: Connection, principal: Principal, thread_id: UUID, worker: int) -> Run | None:
        """The same, for whoever holds the thread's row."""
        row = await one(connection, self.sql["next"], thread_key(principal, thread_id) | {"worker": worker})
        return None if row is None else self.opened(principal, row)

    # Ending

    async def finish(self, ended: Run, worker: int, how: Ending, *, take_next: bool) -> tuple[bool, Run | None]:
        """Write down how a run ended, and begin the thread's next one. False: it was not this process' any more."""
        principal, thread_id = ended.principal, ended.spec.thread_id
        values = thread_key(principal, thread_id) | {
            "run_id": ended.run_id,
            "worker": worker,
            "status": how.status,
            "thread_status": how.thread_status,
            "error": how.error,
            "linger": how.linger,
            **self._state(principal, thread_id, how),
        }
        if ended.spec.webhook is None and take_next:
            steps = [statement(self.sql[name], values) for name in ("lock", "finish")]
            row = next(iter((await self.database.write(principal, steps))[1]), None)
            due = row is not None and row["due"]
            return row is not None, await self.take(principal, thread_id, worker) if due else None
        async with self.database.acting(principal) as connection:
            await one(connection, self.sql["lock"], values)
            row = await one(connection, self.sql["finish"], values)
            if row is not None and ended.spec.webhook:
                await self._defer_webhook(connection, principal, ended.run_id)
            if row is not None and row["due"]:
                await self.defer(connection, principal, thread_id)
            return row is not None, None

    async def undo(self, ended: Run, worker: int, how: Ending, *, take_next: bool) -> tuple[bool, Run | None]:
        """Remove a run that was rolled back; otherwise as `finish`."""
        principal, thread_id = ended.principal, ended.spec.thread_id
        values = thread_key(principal, thread_id) | {"run_id": ended.run_id, "worker": worker}
        async with self.database.acting(principal) as connection:
            await one(connection, self.sql["lock"], values)
            if await one(connection, self.sql["release_claim"], values) is None:
                return False, None
            await run(connection, self.sql["remove"], values | {"run_ids": [ended.run_id], "statuses": ["pending"]})
            state = {"thread_status": how.thread_status, **self._state(principal, thread_id, how)}
            await run(connection, self.sql["settle"], values | state)
            left = await fetch(connection, self.sql["inflight"], values)
            if not any(row["due"] for row in left):
                return True, None
            if take_next:
                return True, await self.next(connection, principal, thread_id, worker)
            await self.defer(connection, principal, thread_id)
            return True, None

    async def hand_back(self, given: Run, worker: int) -> None:
        """Let another process take up a run that this one does not finish."""
        principal, thread_id = given.principal, given.spec.thread_id
        values = thread_key(principal, thread_id) | {"run_id": given.run_id, "worker": worker}
        async with self.database.acting(principal) as connection:
            await one(connection, self.sql["lock"], values)
            if await one(connection, self.sql["release_claim"], values) is not None:
                await self.defer(connection, principal, thread_id)

    async def forget_thread(self, principal: Principal, thread_id: UUID) -> None:
        """Remove a temporary thread and what belongs to it."""
        async with self.database.acting(principal) as connection:
            await run(connection, self.sql["forget_thread"], thread_key(principal, thread_id))

    # Looking

    async def get(self, principal: Principal, run_id: UUID, thread_id: UUID | None = None) -> Run:
        """One run. Raises NotFound."""
        values = _owner(principal) | {"run_id": run_id, "thread_id": thread_id}
        async with self.database.acting(principal) as connection:
            row = await one(connection, self.sql["get"], values)
        if row is None:
            raise absent(run_id)
        return self.opened(principal, row)

    async def of_thread(
        self, principal: Principal, thread_id: UUID, *, limit: int, offset: int, status: str | None
    ) -> list[Run]:
        """Runs of a thread, the newest first. Raises NotFound for a thread that is not there."""
        values = thread_key(principal, thread_id) | {"limit": limit, "offset": offset, "status": status}
        async with self.database.acting(principal) as connection:
            rows = await fetch(connection, self.sql["list"], values)
            if not rows and await one(connection, self.sql["lock"], values) is None:
                raise missing(thread_id)
        return [self.opened(principal, row) for row in rows]

    async def status(self, principal: Principal, run_id: UUID) -> Status | None:
        """None: the run is not there (any more)."""
        async with self.database.acting(principal) as connection:
            row = await one(connection, self.sql["status"], _owner(principal) | {"run_id": run_id})
        return None if row is None else row["status"]

    async def shown(self, principal: Principal, run_id: UUID) -> tuple[str, str | None, bytes | None, bytes | None]:
        """Run status, error's code, values and interrupts of a run's thread. Raises NotFound."""
        async with self.database.acting(principal) as connection:
            row = await one(connection, self.sql["ended_thread"], _owner(principal) | {"run_id": run_id})
            found = (
                None
                if row is None
                else await one(connection, self.sql["get"], _owner(principal) | {"run_id": run_id, "thread_id": None})
            )
        if row is None or found is None:
            raise absent(run_id)
        at = place(principal, found["thread_id"])
        return row["run_status"], row["error"], *(self._open(name, at, row[name]) for name in ("values", "interrupts"))

    # Stopping

    async def cancel(
        self,
        principal: Principal,
        action: Action,
        *,
        thread_id: UUID | None = None,
        run_ids: Sequence[UUID] | None = None,
        statuses: Sequence[str] = UNFINISHED,
    ) -> tuple[list[UUID], list[UUID]]:
        """Stop runs: those that had not begun are gone at once. Ids of these, and of those that were asked to stop."""
        values = _owner(principal) | {"thread_id": thread_id, "run_ids": run_ids and list(run_ids)}
        async with self.database.acting(principal) as connection:
            found = await fetch(connection, self.sql["to_cancel"], values | {"statuses": list(statuses)})
        dropped: list[UUID] = []
        asked: list[UUID] = []
        for thread in dict.fromkeys(row["thread_id"] for row in found):
            mine = [row["run_id"] for row in found if row["thread_id"] == thread]
            one_dropped, one_asked = await self._cancel_on(principal, thread, mine, action)
            dropped += one_dropped
            asked += one_asked
        return dropped, asked

    async def _cancel_on(
        self, principal: Principal, thread_id: UUID, run_ids: Sequence[UUID], action: Action
    ) -> tuple[list[UUID], list[UUID]]:
        values = thread_key(principal, thread_id)
        async with self.database.acting(principal) as connection:
            if await one(connection, self.sql["lock"], values) is None:
                return [], []
            rows = [row for row in await fetch(connection, self.sql["inflight"], values) if row["run_id"] in run_ids]
            await self._drop_pending(connection, principal, thread_id, rows, action)
            asked = [row["run_id"] for row in rows if row["status"] == "running"]
            if asked:
                await run(connection, self.sql["ask_to_stop"], _owner(principal) | {"run_ids": asked, "action": action})
            dropped = [row["run_id"] for row in rows if row["status"] == "pending"]
            if dropped:
                nothing = {"thread_status": None, "values": None, "interrupts": None}
                await run(connection, self.sql["settle"], values | nothing)
        return dropped, asked

    async def remove(self, principal: Principal, thread_id: UUID, run_id: UUID) -> None:
        """Remove a run that has ended. Raises NotFound, Conflict where it goes on."""
        values = thread_key(principal, thread_id) | {"run_ids": [run_id]}
        ended = ["success", "error", "timeout", "interrupted"]
        async with self.database.acting(principal) as connection:
            if await one(connection, self.sql["remove"], values | {"statuses": ended}) is not None:
                return
            row = await one(connection, self.sql["get"], values | {"run_id": run_id})
        if row is None:
            raise absent(run_id)
        raise Conflict(f"run {run_id} goes on", hint="Cancel it first")

    # Rows

    def opened(self, principal: Principal, row: Row) -> Run:
        """A row of the table, opened."""
        told = self.sealer.open_json("run", place(principal, row["run_id"]), row["kwargs"])
        spec, who = restored(told, row["graph_id"], row["multitask_strategy"])
        times = row["created_at"], row["updated_at"]
        return Run(row["run_id"], spec, who, row["status"], *times, row["attempt"], row["error"], row["said"])

    def _open(self, kind: str, at: str, blob: bytes | None) -> bytes | None:
        return None if blob is None else self.sealer.open(kind, at, blob)

    def _columns(self, who: Asker, spec: Spec, run_id: UUID) -> Row:
        principal = who.principal
        return thread_key(principal, spec.thread_id) | {
            "run_id": run_id,
            "assistant_id": spec.assistant_id,
            "graph_id": spec.graph_id,
            "kwargs": self.sealer.seal_json("run", place(principal, run_id), spec.stored(who)),
            "metadata": jsonb(spec.metadata),
            "multitask_strategy": spec.multitask,
            "temporary": spec.temporary,
            "mark": jsonb({"graph_id": spec.graph_id, "assistant_id": str(spec.assistant_id)}),
        }

    def _state(self, principal: Principal, thread_id: UUID, how: Ending) -> Mapping[str, Any]:
        at = place(principal, thread_id)
        return {
            "values": None if how.values is None else self.sealer.seal("values", at, how.values),
            "interrupts": None if how.interrupts is None else self.sealer.seal("interrupts", at, how.interrupts),
        }


def absent(run_id: UUID) -> NotFound:
    """The error for a run that is not there, or another's."""
    return NotFound(f"there is no run {run_id}")


def _owner(principal: Principal) -> Row:
    return {"tenant": principal.tenant, "owner": principal.id}


def thread_key(principal: Principal, thread_id: UUID) -> Row:
    """Parameters that name a thread."""
    return {"tenant": principal.tenant, "owner": principal.id, "thread_id": thread_id}
