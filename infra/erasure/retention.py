"""Retention: contents go when their time is over, by age and collection, as those of an erased person do.

Contents lie under a key of their day and collection. Destroying the keys, the act that names them, and the removal of
spans and drafts are one transaction. Threads follow once nothing that was said on them can be read any more.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection

from fiel.infra.database.connect import Database
from fiel.infra.erasure.rows import Counts, checkpoints
from fiel.infra.ledger.acts import Act, record
from fiel.infra.ledger.subjects import destroy
from fiel.infra.runs.names import checkpoint_thread
from fiel.tools.errors import NotPermitted, SettingsError
from fiel.tools.principal import Principal
from fiel.tools.sql import load

_LOG = logging.getLogger("fiel.erasure")
BATCH = 1000
"""Keys that one act destroys."""
EVERY = 3600.0
"""Seconds between two looks of a process that serves."""
TABLES = ("spans", "drafts", "assessments")


@dataclass(frozen=True, slots=True)
class Rule:
    """How long contents are kept."""

    days: int
    collection: str | None = None
    """Of runs about this collection; None: of all."""

    def before(self) -> date:
        """Contents of earlier days (UTC) go: they are older than `days` whole days."""
        return datetime.now(UTC).date() - timedelta(days=self.days)


def rules(text: str) -> list[Rule]:
    """`365, hr=90`: days for everything, and for collections. Raises SettingsError."""
    found = []
    for part in filter(None, (one.strip() for one in text.split(","))):
        name, equals, days = part.rpartition("=")
        if not days.strip().isdigit() or not int(days) or (equals and not name.strip()):
            raise SettingsError(
                f"{part!r} is no rule of retention", where="FIEL_RETENTION", hint="Write days, or COLLECTION=days"
            )
        found.append(Rule(int(days), name.strip() or None))
    return found


@dataclass(frozen=True, slots=True)
class Retained:
    """What a rule destroyed; with a dry run, what it would."""

    before: str
    collection: str | None
    keys: int
    runs: int
    """Runs whose contents went."""
    removed: Counts
    acts: Sequence[str]

    def plain(self) -> dict[str, Any]:
        shown = {"before": self.before, "collection": self.collection, "keys": self.keys, "runs": self.runs}
        return {**shown, "removed": dict(self.removed), "acts": list(self.acts)}


async def retain(database: Database, by: Principal, rule: Rule, *, dry_run: bool = False) -> Retained:
    """Destroy what the rule lets go in the tenant of `by`. Raises NotPermitted, DatabaseUnavailable."""
    if not by.may("administrator"):
        raise NotPermitted("only administrators may let contents go", where="retention")
    before, removed, acts = rule.before(), dict.fromkeys(TABLES, 0), list[str]()
    values = {"tenant": by.tenant, "before": before, "collection": rule.collection, "limit": BATCH}
    if dry_run:
        async with database.acting(by) as connection:
            row = await (await connection.execute(load(__package__, "retention.sql")["count"], values)).fetchone()
        due, ran = row or (0, 0)
        return Retained(before.isoformat(), rule.collection, due, ran, {}, ())
    keys = runs = 0
    while (batch := await _batch(database, by, values)) is not None:
        act, count, ran, counts = batch
        acts.append(act)
        keys, runs = keys + count, runs + ran
        removed = {name: removed[name] + counts[name] for name in removed}
    removed |= await threads(database, by.tenant, before)
    return Retained(before.isoformat(), rule.collection, keys, runs, removed, acts)


async def _batch(database: Database, by: Principal, values: dict[str, Any]) -> tuple[str, int, int, Counts] | None:
    """Act, keys, runs and rows of one transaction; None where nothing is due."""
    sql = load(__package__, "retention.sql")
    async with database.acting(by) as connection:
        keys = [row[0] for row in await (await connection.execute(sql["due"], values)).fetchall()]
        if not keys:
            return None
        detail = {"before": values["before"].isoformat(), "keys": keys}
        act = await record(connection, Act(by, "retention", values["collection"] or "*", detail))
        await destroy(connection, by.tenant, keys, act)
        named = {"keys": keys}
        row = await (await connection.execute(sql["runs"], named)).fetchone()
        await connection.execute(load(__package__, "erasure.sql")["ship_alone"])
        counts = {name: (await connection.execute(sql[f"delete_{name}"], named)).rowcount for name in TABLES}
        await connection.execute(sql["queue_traces"], named)
    return act, len(keys), row[0] if row else 0, counts


async def threads(database: Database, tenant: str, before: date) -> Counts:
    """Remove threads that were not used since `before` and of which no run can be read any more; how many rows."""
    sql, removed = load(__package__, "retention.sql"), {"threads": 0, "checkpoints": 0}
    async with database.system() as connection:
        rows = await (await connection.execute(sql["threads"], {"tenant": tenant})).fetchall()
    for owner in sorted({row[0] for row in rows}):
        names = {thread for caller, thread in rows if caller == owner}
        async with database.acting(Principal(tenant, owner)) as connection:
            ids = await _own(connection, Principal(tenant, owner), before, names)
            removed["checkpoints"] += (await checkpoints(connection, sorted(names)))["checkpoints"]
            values = {"tenant": tenant, "owner": owner, "ids": ids}
            removed["threads"] += (await connection.execute(sql["delete_threads"], values)).rowcount
    return removed


async def _own(connection: AsyncConnection[Any], owner: Principal, before: date, names: set[str]) -> list[UUID]:
    """Rows of the API's threads whose checkpoints go. A thread that is used now keeps its own, taken from `names`."""
    values = {"tenant": owner.tenant, "owner": owner.id, "before": before}
    rows = await (await connection.execute(load(__package__, "retention.sql")["own_threads"], values)).fetchall()
    idle = {checkpoint_thread(owner, row[0]): row[0] for row in rows}
    every = await (
        await connection.execute(load(__package__, "erasure.sql")["threads"], {
            "tenant": owner.tenant, "subject": owner.id, "begun": datetime.now(UTC),
        })
    ).fetchall()  # fmt: skip
    names -= {checkpoint_thread(owner, row[0]) for row in every} - idle.keys()
    return [idle[name] for name in sorted(names & idle.keys())]


class Retention:
    """The rules of the settings, kept by the process that serves."""

    def __init__(self, database: Database, kept: Sequence[Rule]) -> None:
        self._database = database
        self._rules = kept
        self._looked = -EVERY

    async def look(self) -> int:
        """Do what is due in every tenant, once an hour; how many keys were destroyed."""
        if not self._rules or time.monotonic() - self._looked < EVERY:
            return 0
        self._looked, done = time.monotonic(), 0
        async with self._database.system() as connection:
            rows = await (await connection.execute(load(__package__, "retention.sql")["tenants"])).fetchall()
        for (tenant,) in rows:
            by = Principal(tenant, "retention", frozenset(), frozenset({"administrator"}))
            for rule in self._rules:
                found = await retain(self._database, by, rule)
                done += found.keys
                if found.keys:
                    _LOG.info("contents of %d runs before %s went", found.runs, found.before)
        return done
