"""Erasing a person: an act and the destruction of the keys in one transaction, then the rows, however often it takes.

From the first transaction on, what the person asked and was told can neither be read nor guessed from the ledger, and
its chain verifies. Removing the rows elsewhere can be repeated: whoever is killed over it leaves a row that says so.
"""

import logging
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fiel.infra.database.connect import Database
from fiel.infra.erasure.rows import Counts, Person, remove
from fiel.infra.ledger.acts import Act, record
from fiel.infra.ledger.subjects import FRESH, destroy
from fiel.infra.people.people import People
from fiel.tools.errors import FielError, NotPermitted, UsageError
from fiel.tools.principal import Principal
from fiel.tools.sql import load

_LOG = logging.getLogger("fiel.erasure")
SETTLED = 2 * FRESH
"""Seconds after which no process uses a destroyed key any more, and no run goes on with it."""


@dataclass(frozen=True, slots=True)
class Erased:
    """What an erasure did."""

    subject: str
    act: str
    """The act of the ledger that says so."""
    keys: int
    """Data keys that were destroyed."""
    removed: Counts
    """Rows that went, by kind."""

    def plain(self) -> dict[str, Any]:
        return {"subject": self.subject, "act": self.act, "keys": self.keys, "removed": dict(self.removed)}


async def erase(database: Database, by: Principal, subject: str) -> Erased:
    """Destroy the keys of a person, end their account, and remove their rows.

    Goes on with an erasure that was not finished. Raises NotPermitted, UsageError, DatabaseUnavailable.
    """
    if not by.may("administrator"):
        raise NotPermitted("only administrators may erase a person", where="erase")
    if not subject.strip() or "\0" in subject:
        raise UsageError("whom to erase is not said", where="--subject", hint="Name the user as `fiel trace` does")
    before = await _rows(database, "open", {"tenant": by.tenant, "subject": subject})
    keys, users, begun = await _begin(database, by, subject, before)
    removed = {"users": users} | await remove(database, Person(by.tenant, subject, begun[3], begun[0]))
    await _mark(database, "finish", [row[0] for row in (*before, begun)])
    return Erased(subject, str(begun[0]), keys, removed)


Begun = tuple[uuid.UUID, str, str, datetime]
"""Act, tenant, subject, and when."""


async def _begin(database: Database, by: Principal, subject: str, before: Sequence[Begun]) -> tuple[int, int, Begun]:
    """Destroy what keys there are, and keep the person as a user no longer; how many of both.

    An erasure that was begun and has nothing new to destroy needs no second act.
    """
    sql, values = load(__package__, "erasure.sql"), {"tenant": by.tenant, "subject": subject}
    async with database.acting(by) as connection:
        keys = [row[0] for row in await (await connection.execute(sql["live"], values)).fetchall()]
        gone = await People(database).drop(connection, by, subject)
        if before and not keys:
            return 0, int(gone is not None), before[-1]
        act = uuid.UUID(await record(connection, Act(by, "erase", subject, {"keys": keys})))
        await destroy(connection, by.tenant, keys, str(act))
        row = await (await connection.execute(sql["begin"], values | {"act": act})).fetchone()
    assert row is not None  # noqa: S101 - an insertion without a condition
    return len(keys), int(gone is not None), (act, by.tenant, subject, row[0])


async def resume(database: Database, settled: float = SETTLED) -> int:
    """Finish what other processes have begun, and look once more where a run under way may have written since.

    How many erasures there were. For the process that serves; several may do it at once.
    """
    done = 0
    for query, mark in (("open", "finish"), ("settling", "settle")):
        values = {"tenant": None, "subject": None, "seconds": settled}
        for act, tenant, subject, begun in await _rows(database, query, values):
            try:
                await remove(database, Person(tenant, subject, begun, act, again=mark == "settle"))
                await _mark(database, mark, [act])
                done += 1
            except FielError as error:
                _LOG.warning("an erasure waits", extra={"act": str(act), "code": error.code})
    return done


async def _rows(database: Database, query: str, values: dict[str, Any]) -> list[Begun]:
    async with database.system() as connection:
        cursor = await connection.execute(load(__package__, "erasure.sql")[query], values)
        return [(act, tenant, subject, begun) for act, tenant, subject, begun in await cursor.fetchall()]


async def _mark(database: Database, how: str, acts: Sequence[uuid.UUID]) -> None:
    async with database.system() as connection:
        for act in acts:
            await connection.execute(load(__package__, "erasure.sql")[how], {"act": act})
