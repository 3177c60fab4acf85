"""Many runs at once: what a change would have done to all of a stretch of time."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fiel.infra.database.connect import Database
from fiel.infra.replay.change import Change
from fiel.infra.replay.record import Record
from fiel.infra.replay.replays import Replays
from fiel.infra.replay.spent import Spent
from fiel.infra.replay.summary import InOrder, Seen, Summary
from fiel.tools.canonical import MAX_INTEGER
from fiel.tools.errors import FielError, Unavailable
from fiel.tools.principal import Principal
from fiel.tools.sql import load

AT_ONCE = 4
Progress = Callable[[int, int], None]
"""`(done, of)`."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Which runs. Times in microseconds since 1970."""

    since: int = 0
    until: int = MAX_INTEGER
    collection: str = ""
    """Empty: any."""


async def runs_in(database: Database, tenant: str, stretch: Stretch) -> Sequence[str]:
    """Ids of the tenant's runs that began in the stretch, oldest first. Raises DatabaseUnavailable."""
    values = {"tenant": tenant, "since": stretch.since, "until": stretch.until}
    async with database.system() as connection:
        cursor = await connection.execute(load(__package__, "many.sql")["runs"], values)
        return [row[0] for row in await cursor.fetchall()]


async def many(
    replays: Replays,
    by: Principal,
    runs: Sequence[str],
    change: Change,
    stretch: Stretch,
    *,
    at_once: int = AT_ONCE,
    progress: Progress = lambda done, of: None,
) -> Summary:
    """Replay `runs`, so many at once. What cannot be replayed is counted under its error's code.

    Raises NotPermitted, UsageError, and Unavailable where the database or a model is not there.
    """
    replays.check(by, change)
    summary, waiting, begun = Summary(change), iter(enumerate(runs)), time.monotonic()
    spent, ordered = Spent.within(change), InOrder(summary)

    async def worker() -> None:
        for place, run in waiting:
            ordered.put(place, await seen_of(replays, by, run, change, stretch.collection, spent))
            progress(summary.done, len(runs))

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(at_once, len(runs))):
                group.create_task(worker())
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from errors
    summary.seconds = time.monotonic() - begun
    return summary


async def seen_of(
    replays: Replays, by: Principal, run: str, change: Change, collection: str, spent: Spent
) -> Seen | None:
    """What became of one run; None where it is of another collection."""
    try:
        record = await replays.record(by, run)
        if collection and record.options.collection != collection:
            return None
        value = await replays.of(by, record, change, spent)
    except Unavailable:
        raise
    except FielError as error:
        return Seen(run, "failed", None, None, {"code": error.code, "what": error.what})
    question = None if value.get("masked") else _question(record)
    return Seen(run, "", value, question)


def _question(record: Record) -> str | None:
    """The question as it passed the checks, of the line's first run; None where none did."""
    for one in (*record.origin.entries, *record.entries):
        if (digest := one.entry.writes.get("question")) and (text := record.value(digest)):
            return str(text)
    return None
