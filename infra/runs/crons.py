"""Crons: runs that a schedule makes, in the name of whoever set them up."""

import hashlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID

from fiel.infra.database.connect import Database
from fiel.infra.runs.assistants import Assistants
from fiel.infra.runs.deadlines import Deadlines, Due
from fiel.infra.runs.errors import BadRequest, NotFound
from fiel.infra.runs.names import dated_id, new_id, place
from fiel.infra.runs.pages import Page, Window, cut, ordering, parameters
from fiel.infra.runs.rows import Connection, Row, fetch, jsonb, one, run
from fiel.infra.runs.schedule import following
from fiel.infra.runs.sealed import Sealer
from fiel.infra.runs.threads import missing
from fiel.tools.principal import Principal
from fiel.tools.sql import load

Completion = Literal["delete", "keep"]
COLUMNS = {
    **{name: name for name in ("cron_id", "assistant_id", "thread_id", "end_time", "created_at", "updated_at")},
    "next_run_date": "next_run_at",
}
"""What a list can be sorted by."""


@dataclass(frozen=True, slots=True)
class Cron:
    """A cron, opened."""

    cron_id: UUID
    assistant_id: UUID
    thread_id: UUID | None
    """None: each run has a thread of its own."""
    schedule: str
    timezone: str | None
    end_time: datetime | None
    enabled: bool
    on_run_completed: Completion | None
    payload: dict[str, Any]
    """The run to make, in the protocol's words."""
    asker: dict[str, Any]
    """Who set it up, as the caller of this module wrote it down: no client sees or sends it."""
    metadata: dict[str, Any]
    next_run_at: datetime | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class NewCron:
    """A cron to be made."""

    assistant: str
    """An assistant's id, or a graph's."""
    schedule: str
    payload: Mapping[str, Any]
    asker: Mapping[str, Any]
    thread_id: UUID | None = None
    timezone: str | None = None
    end_time: datetime | None = None
    enabled: bool = True
    on_run_completed: Completion | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CronChange:
    """What becomes of a cron: None leaves it as it is, payload and metadata are merged."""

    asker: Mapping[str, Any]
    """Who changes it: from now on it runs with their rights."""
    schedule: str | None = None
    timezone: str | None = None
    end_time: datetime | None = None
    endless: bool = False
    """Whether an end is taken away."""
    enabled: bool | None = None
    on_run_completed: Completion | None = None
    payload: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CronFilter:
    """Which crons are meant."""

    assistant_id: UUID | None = None
    thread_id: UUID | None = None
    enabled: bool | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Firing:
    """One occurrence of a cron, in the transaction that moves the cron on."""

    connection: Connection
    owner: Principal
    """Tenant and id; the rights are in `cron.asker`."""
    cron: Cron
    run_id: UUID
    """Follows from the cron and the time: an occurrence cannot become two runs."""


class Crons:
    """The crons of a database.

    Every method may raise DatabaseUnavailable and KeyUnavailable; those that take an id raise NotFound, those that take
    a schedule BadSchedule.
    """

    def __init__(self, database: Database, assistants: Assistants, sealer: Sealer) -> None:
        self._database = database
        self._assistants = assistants
        self._sealer = sealer
        self._sql = load(__package__, "crons.sql")

    async def create(self, principal: Principal, new: NewCron) -> Cron:
        """Make a cron."""
        end_time = _aware(new.end_time)
        cron_id, next_run_at = new_id(), _next(new.schedule, new.timezone, end_time, new.enabled)
        async with self._database.acting(principal) as connection:
            assistant = await self._assistants.resolve(connection, principal, new.assistant)
            values = _key(principal, cron_id) | {"thread_id": new.thread_id}
            if new.thread_id and not await one(connection, self._sql["thread"], values):
                raise missing(new.thread_id)
            payload = {**new.payload, "assistant_id": str(assistant.assistant_id)}
            more = {
                "assistant_id": assistant.assistant_id,
                "schedule": new.schedule,
                "timezone": new.timezone,
                "end_time": end_time,
                "enabled": new.enabled,
                "on_run_completed": None if new.thread_id else new.on_run_completed or "delete",
                "payload": self._sealed(principal, cron_id, payload, new.asker),
                "metadata": jsonb(new.metadata),
                "next_run_at": next_run_at,
            }
            return self._found(principal, await one(connection, self._sql["create"], values | more), cron_id)

    async def get(self, principal: Principal, cron_id: UUID) -> Cron:
        """One cron."""
        async with self._database.acting(principal) as connection:
            row = await one(connection, self._sql["get"], _key(principal, cron_id))
        return self._found(principal, row, cron_id)

    async def update(self, principal: Principal, cron_id: UUID, change: CronChange) -> Cron:
        """Change a cron. A new schedule, zone or end, and being enabled, set anew when it fires next."""
        async with self._database.acting(principal) as connection:
            row = await one(connection, self._sql["lock"], _key(principal, cron_id))
            before = self._found(principal, row, cron_id)
            after = _changed(before, change)
            values = _key(principal, cron_id) | {
                **{name: getattr(after, name) for name in ("schedule", "timezone", "end_time", "enabled")},
                "on_run_completed": after.on_run_completed,
                "payload": self._sealed(principal, cron_id, after.payload, after.asker),
                "metadata": jsonb(after.metadata),
                "next_run_at": after.next_run_at,
            }
            return self._found(principal, await one(connection, self._sql["update"], values), cron_id)

    async def delete(self, principal: Principal, cron_id: UUID) -> None:
        """Delete a cron; its runs stay."""
        async with self._database.acting(principal) as connection:
            done = await run(connection, self._sql["delete"], _key(principal, cron_id))
        if not done.rowcount:
            raise _missing(cron_id)

    async def search(self, principal: Principal, which: CronFilter, window: Window) -> Page[Cron]:
        """Crons."""
        order = ordering(window, COLUMNS, "created_at", "cron_id")
        values = _filter(principal, which) | parameters(window)
        async with self._database.acting(principal) as connection:
            rows = await fetch(connection, self._sql["search"].replace("{order}", order), values)
        return cut([self._opened(principal, row) for row in rows], window)

    async def count(self, principal: Principal, which: CronFilter) -> int:
        """How many `search` would find."""
        async with self._database.acting(principal) as connection:
            row = await one(connection, self._sql["count"], _filter(principal, which))
        return int(row["count"]) if row else 0

    async def due(self, limit: int = 100) -> list[Due]:
        """Crons that are to fire now; another process that asks meanwhile gets others."""
        return await Deadlines(self._database).take("cron", limit)

    @asynccontextmanager
    async def firing(self, due: Due) -> AsyncIterator[Firing | None]:
        """One occurrence: what the block writes and the cron's next time are committed together, or not at all.

        None where there is nothing to fire: deleted, disabled, moved, or done by another process. Occurrences that
        were missed (nothing ran) are one.
        """
        async with self._database.acting(due.owner) as connection:
            row = await one(connection, self._sql["due"], _key(due.owner, due.id))
            if row is None:
                yield None
                return
            now = row.pop("now")
            cron = self._opened(due.owner, row)
            upcoming = _next(cron.schedule, cron.timezone, cron.end_time, cron.enabled, now)
            await run(connection, self._sql["advance"], _key(due.owner, due.id) | {"next_run_at": upcoming})
            yield Firing(connection, due.owner, cron, _occurrence(due, row["next_run_at"]))

    def _sealed(
        self, principal: Principal, cron_id: UUID, payload: Mapping[str, Any], asker: Mapping[str, Any]
    ) -> bytes:
        return self._sealer.seal_json("cron", place(principal, cron_id), {"payload": payload, "asker": asker})

    def _opened(self, principal: Principal, row: Row) -> Cron:
        return Cron(**row | self._sealer.open_json("cron", place(principal, row["cron_id"]), row["payload"]))

    def _found(self, principal: Principal, row: Row | None, cron_id: UUID) -> Cron:
        if row is None:
            raise _missing(cron_id)
        return self._opened(principal, row)


def _changed(cron: Cron, change: CronChange) -> Cron:
    """Raises BadSchedule, BadRequest."""
    if change.on_run_completed is not None and cron.thread_id is not None:
        raise BadRequest("the runs of this cron have one thread, which stays", where="on_run_completed")
    after = replace(
        cron,
        schedule=change.schedule or cron.schedule,
        timezone=change.timezone or cron.timezone,
        end_time=None if change.endless else _aware(change.end_time) or cron.end_time,
        enabled=cron.enabled if change.enabled is None else change.enabled,
        on_run_completed=change.on_run_completed or cron.on_run_completed,
        payload={**cron.payload, **change.payload, "assistant_id": str(cron.assistant_id)},
        metadata={**cron.metadata, **change.metadata},
        asker=dict(change.asker),
    )
    return replace(after, next_run_at=_next(after.schedule, after.timezone, after.end_time, after.enabled))


def _next(
    schedule: str, timezone: str | None, end_time: datetime | None, enabled: bool, after: datetime | None = None
) -> datetime | None:
    """When a cron fires next; None: never again. Raises BadSchedule."""
    upcoming = following(schedule, timezone, after or datetime.now(UTC))
    return upcoming if enabled and (end_time is None or upcoming <= end_time) else None


def _occurrence(due: Due, at: datetime) -> UUID:
    rest = hashlib.sha256(f"{place(due.owner, due.id)}\0{at.timestamp()}".encode()).digest()
    return dated_id(int(at.timestamp() * 1000), rest)


def _aware(time: datetime | None) -> datetime | None:
    return time.replace(tzinfo=UTC) if time is not None and time.tzinfo is None else time


def _filter(principal: Principal, which: CronFilter) -> Row:
    return {
        "tenant": principal.tenant,
        "owner": principal.id,
        "assistant_id": which.assistant_id,
        "thread_id": which.thread_id,
        "enabled": which.enabled,
        "metadata": jsonb(which.metadata),
    }


def _key(principal: Principal, cron_id: UUID) -> Row:
    return {"tenant": principal.tenant, "owner": principal.id, "cron_id": cron_id}


def _missing(cron_id: UUID) -> NotFound:
    return NotFound(f"there is no cron {cron_id}")
