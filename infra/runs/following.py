"""Following a thread: the events of its runs, one run after the other, for as long as somebody listens."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

from fiel.infra.runs.events import Event
from fiel.infra.runs.rows import Row, fetch
from fiel.infra.runs.runs import thread_key
from fiel.infra.runs.spec import UNFINISHED
from fiel.tools.principal import Principal

if TYPE_CHECKING:
    from fiel.infra.runs.engine import Engine

IDLE = 3.0
"""Seconds after which a listener looks for runs of other processes by itself."""


@dataclass(frozen=True, slots=True)
class Step:
    """One event of a thread, or the end of one of its runs."""

    run_id: UUID
    seq: int
    """Number within the thread: it counts on over its runs, also over those that were removed since."""
    event: Event | None
    """None: the run has ended."""


async def latest(engine: "Engine", principal: Principal, thread_id: UUID) -> int:
    """Number of the last step so far: whoever follows from there hears all that comes now."""
    return max((_told(row) for row in await _begun(engine, principal, thread_id)), default=0)


async def follow(engine: "Engine", principal: Principal, thread_id: UUID, since: int) -> AsyncIterator[Step | None]:
    """Steps after number `since`; None from time to time where nothing comes.

    A thread that is not there has no runs yet.
    """
    seen = set[UUID]()
    async with engine.bell.watching(thread_id) as watch:
        while True:
            fresh = [row for row in await _begun(engine, principal, thread_id) if row["run_id"] not in seen]
            for row in fresh:
                seen.add(row["run_id"])
                if row["status"] not in UNFINISHED and _told(row) <= since:
                    continue
                before = row["before"]
                last = after = max(0, since - before)
                async with aclosing(cast("Any", engine.watched(principal, row["run_id"], after))) as events:
                    async for event in events:
                        if event is None:
                            yield None
                            continue
                        last = event.seq
                        yield Step(row["run_id"], before + last, event)
                yield Step(row["run_id"], before + last + 1, None)
            if not fresh:
                await watch.wait(IDLE)
                yield None


def _told(row: Row) -> int:
    """Number of the last that a run has told by now; its end is one more."""
    return int(row["before"] + row["last"] + (row["status"] not in UNFINISHED))


async def _begun(engine: "Engine", principal: Principal, thread_id: UUID) -> list[Row]:
    async with engine.runs.database.acting(principal) as connection:
        return await fetch(connection, engine.runs.sql["begun"], thread_key(principal, thread_id))
