"""Threads: conversations, each of one owner. What they hold is sealed; their checkpoints are the host's."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import orjson

from fiel.infra.database.connect import Database
from fiel.infra.hosts.port import GraphHost
from fiel.infra.runs.errors import Conflict, NotFound
from fiel.infra.runs.names import new_id, place, thread_ref
from fiel.infra.runs.pages import Page, Window, cut, ordering, parameters
from fiel.infra.runs.rows import Connection, Row, contained, fetch, jsonb, one, run, scan
from fiel.infra.runs.sealed import Sealer
from fiel.tools.principal import Principal
from fiel.tools.sql import load

Status = Literal["idle", "busy", "interrupted", "error"]
Strategy = Literal["delete", "keep_latest"]
Stop = Callable[[Principal, UUID], Awaitable[None]]
"""Cancels the runs of a thread and returns when none goes on."""

COLUMNS = {name: name for name in ("thread_id", "status", "created_at", "updated_at", "state_updated_at")}
"""What a list can be sorted by."""
_BATCH = 200
"""Threads opened at a time where values are looked into."""


@dataclass(frozen=True, slots=True)
class Ttl:
    """How long a thread lives after it was last used, and what is done then."""

    minutes: float
    strategy: Strategy = "delete"


@dataclass(frozen=True, slots=True)
class Thread:
    """A thread, opened."""

    thread_id: UUID
    status: Status
    metadata: dict[str, Any]
    config: dict[str, Any]
    values: bytes | None
    """JSON; None where no run has ended, or nobody looks."""
    interrupts: bytes | None
    """JSON: by task id."""
    created_at: datetime
    updated_at: datetime
    state_updated_at: datetime
    ttl_strategy: Strategy | None
    ttl_minutes: float | None
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class NewThread:
    """A thread to be made."""

    thread_id: UUID | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    ttl: Ttl | None = None


@dataclass(frozen=True, slots=True)
class ThreadFilter:
    """Which threads are meant."""

    metadata: Mapping[str, Any] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)
    """What must stand in the state. Sealed, so every thread that fits otherwise is opened."""
    ids: Sequence[UUID] | None = None
    status: Status | None = None


async def _no_runs(principal: Principal, thread_id: UUID) -> None:
    """Without an engine no run can be stopped: a busy thread is then refused."""


class Threads:
    """The threads of a database.

    Every method may raise DatabaseUnavailable and KeyUnavailable; those that take an id raise NotFound.
    """

    def __init__(self, database: Database, host: GraphHost, sealer: Sealer, stop: Stop = _no_runs) -> None:
        self._database = database
        self._host = host
        self._sealer = sealer
        self._stop = stop
        self._sql = load(__package__, "threads.sql")

    async def create(self, principal: Principal, new: NewThread, *, do_nothing: bool = False) -> Thread:
        """Make a thread. One that is there: Conflict, or with `do_nothing` that one."""
        thread_id = new.thread_id or new_id()
        async with self._database.acting(principal) as connection:
            made = await self.insert(connection, principal, thread_id, new)
            if made is not None:
                return made
            if do_nothing:
                return await self._get(connection, principal, thread_id)
        raise Conflict(f"thread {thread_id} exists already", hint='Send if_exists: "do_nothing" to get that one')

    async def insert(
        self, connection: Connection, principal: Principal, thread_id: UUID, new: NewThread
    ) -> Thread | None:
        """Make a thread within a transaction; None where one is there."""
        values = self._key(principal, thread_id) | _ttl(new.ttl) | {"metadata": jsonb(new.metadata)}
        blank = {"status": "idle", "config": jsonb({}), "values": None, "interrupts": None}
        row = await one(connection, self._sql["create"], values | blank)
        return None if row is None else self.opened(principal, row)

    async def get(self, principal: Principal, thread_id: UUID) -> Thread:
        """One thread."""
        async with self._database.acting(principal) as connection:
            return await self._get(connection, principal, thread_id)

    async def update(
        self, principal: Principal, thread_id: UUID, metadata: Mapping[str, Any], ttl: Ttl | None = None
    ) -> Thread:
        """Merge metadata, and give another time to live."""
        values = self._key(principal, thread_id) | _ttl(ttl) | {"metadata": jsonb(metadata)}
        async with self._database.acting(principal) as connection:
            row = await one(connection, self._sql["update"], values)
        return self._found(principal, row, thread_id)

    async def copy(self, principal: Principal, thread_id: UUID) -> Thread:
        """A thread with the same state and checkpoints. Checkpoints go first: nobody sees a thread without its own."""
        source, copy_id = await self.get(principal, thread_id), new_id()
        await self._host.copy_thread(thread_ref(principal, thread_id), thread_ref(principal, copy_id))
        columns = {
            "status": "idle" if source.status == "busy" else source.status,
            "metadata": jsonb(source.metadata),
            "config": jsonb(source.config),
            "values": self._sealed(principal, copy_id, "values", source.values),
            "interrupts": self._sealed(principal, copy_id, "interrupts", source.interrupts),
            "ttl_strategy": source.ttl_strategy,
            "ttl_minutes": source.ttl_minutes,
        }
        async with self._database.acting(principal) as connection:
            row = await one(connection, self._sql["create"], self._key(principal, copy_id) | columns)
        return self._found(principal, row, copy_id)

    async def search(
        self, principal: Principal, which: ThreadFilter, window: Window, *, opened: bool = True
    ) -> Page[Thread]:
        """Threads; without `opened` neither values nor interrupts are read."""
        order = ordering(window, COLUMNS, "updated_at", "thread_id")
        sql = self._sql["search"].replace("{order}", order)
        values = _filter(principal, which) | {"sealed": opened or bool(which.values)}
        async with self._database.acting(principal) as connection:
            if which.values:
                return await self._scan(connection, principal, sql, values, which.values, window)
            rows = await fetch(connection, sql, values | parameters(window))
        return cut([self.opened(principal, row) for row in rows], window)

    async def count(self, principal: Principal, which: ThreadFilter) -> int:
        """How many `search` would find."""
        if which.values:
            return len((await self.search(principal, which, Window(limit=2**31))).items)
        async with self._database.acting(principal) as connection:
            row = await one(connection, self._sql["count"], _filter(principal, which))
        return int(row["count"]) if row else 0

    async def of_assistant(self, principal: Principal, assistant_id: UUID) -> list[UUID]:
        """Threads whose metadata name an assistant."""
        values = {"tenant": principal.tenant, "owner": principal.id}
        wanted = {"metadata": jsonb({"assistant_id": str(assistant_id)})}
        async with self._database.acting(principal) as connection:
            return [row["thread_id"] for row in await fetch(connection, self._sql["of_assistant"], values | wanted)]

    async def delete(self, principal: Principal, thread_id: UUID) -> None:
        """Delete a thread: runs are stopped, then checkpoints go, then the row, so that none outlives another.

        Raises Conflict where a run cannot be stopped.
        """
        await self._stop(principal, thread_id)
        await self._delete(principal, thread_id)

    async def _delete(self, principal: Principal, thread_id: UUID) -> None:
        async with self._database.acting(principal) as connection:
            await self._lock(connection, principal, thread_id)
            await self._host.delete_thread(thread_ref(principal, thread_id))
            await run(connection, self._sql["delete"], self._key(principal, thread_id))

    async def prune(self, principal: Principal, thread_ids: Sequence[UUID], strategy: Strategy) -> int:
        """Delete threads, or all but their latest checkpoints. How many there were; those that are not there count not.

        Raises Conflict where a run goes on.
        """
        done = 0
        for thread_id in thread_ids:
            try:
                if strategy == "delete":
                    await self._delete(principal, thread_id)
                else:
                    await self._keep_latest(principal, thread_id)
            except NotFound:
                continue
            done += 1
        return done

    async def expire(self, principal: Principal, thread_id: UUID) -> bool:
        """Do what a thread's time to live says, if it is over; False where the thread is not there, or not due.

        Raises Conflict where a run goes on: it will be tried again.
        """
        async with self._database.acting(principal) as connection:
            row = await one(connection, self._sql["expired"], self._key(principal, thread_id))
        if row is None:
            return False
        return await self.prune(principal, [thread_id], row["ttl_strategy"] or "delete") == 1

    async def _keep_latest(self, principal: Principal, thread_id: UUID) -> None:
        async with self._database.acting(principal) as connection:
            await self._lock(connection, principal, thread_id)
            await self._host.prune(thread_ref(principal, thread_id))
            await run(connection, self._sql["pruned"], self._key(principal, thread_id))

    async def _lock(self, connection: Connection, principal: Principal, thread_id: UUID) -> Row:
        """Keep runs from beginning until the transaction ends. Raises NotFound, Conflict."""
        row = await one(connection, self._sql["lock"], self._key(principal, thread_id))
        if row is None:
            raise missing(thread_id)
        if row["busy"]:
            raise Conflict(f"a run of thread {thread_id} goes on", hint="Cancel it, or wait until it has ended")
        return row

    async def _get(self, connection: Connection, principal: Principal, thread_id: UUID) -> Thread:
        return self._found(
            principal, await one(connection, self._sql["get"], self._key(principal, thread_id)), thread_id
        )

    async def _scan(
        self,
        connection: Connection,
        principal: Principal,
        sql: str,
        values: Row,
        wanted: Mapping[str, Any],
        window: Window,
    ) -> Page[Thread]:
        """The page of those threads whose values hold `wanted`."""
        found: list[Thread] = []
        async with scan(connection, sql, values | {"limit": None, "offset": 0}) as cursor:
            while len(found) <= window.offset + window.limit and (rows := await cursor.fetchmany(_BATCH)):
                threads = (self.opened(principal, row) for row in rows)
                found += [one for one in threads if contained(orjson.loads(one.values or b"{}"), wanted)]
        return cut(found[window.offset :], window)

    def opened(self, principal: Principal, row: Row) -> Thread:
        """A row of the table, opened."""
        at = place(principal, row["thread_id"])
        for name in ("values", "interrupts"):
            if row[name] is not None:
                row[name] = self._sealer.open(name, at, row[name])
        return Thread(**row)

    def _sealed(self, principal: Principal, thread_id: UUID, column: str, data: bytes | None) -> bytes | None:
        return None if data is None else self._sealer.seal(column, place(principal, thread_id), data)

    def _found(self, principal: Principal, row: Row | None, thread_id: UUID) -> Thread:
        if row is None:
            raise missing(thread_id)
        return self.opened(principal, row)

    @staticmethod
    def _key(principal: Principal, thread_id: UUID) -> Row:
        return {"tenant": principal.tenant, "owner": principal.id, "thread_id": thread_id}


def missing(thread_id: UUID) -> NotFound:
    """The error for a thread that is not there, or another's."""
    return NotFound(f"there is no thread {thread_id}")


def _ttl(ttl: Ttl | None) -> Row:
    return {"ttl_strategy": ttl.strategy if ttl else None, "ttl_minutes": ttl.minutes if ttl else None}


def _filter(principal: Principal, which: ThreadFilter) -> Row:
    return {
        "tenant": principal.tenant,
        "owner": principal.id,
        "ids": None if which.ids is None else list(which.ids),
        "status": which.status,
        "metadata": jsonb(which.metadata),
    }
