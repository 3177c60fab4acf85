"""What is due: threads, items and reviews whose time is over, crons that fire.

Ids only; whoever takes one acts as its owner.

Triggers keep the table: a thing that was dealt with loses its deadline or gets the next one.
"""

from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from fiel.infra.database.connect import Database
from fiel.infra.runs.rows import fetch, run
from fiel.tools.principal import Principal
from fiel.tools.sql import load

Kind = Literal["thread", "cron", "item", "review"]

LEASE = 60.0
"""Seconds after which what was taken and not dealt with is due again."""


@dataclass(frozen=True, slots=True)
class Due:
    """Something that is due."""

    kind: Kind
    owner: Principal
    """Tenant and id; without roles: enough for their own rows, and for nothing else."""
    id: UUID


class Deadlines:
    """Hands out what is due; several processes that ask at once get different things.

    Every method may raise DatabaseUnavailable.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sql = load(__package__, "deadlines.sql")

    async def take(self, kind: Kind, limit: int = 100, lease: float = LEASE) -> list[Due]:
        """What is due now, the oldest first; ours for `lease` seconds."""
        async with self._database.system() as connection:
            rows = await fetch(connection, self._sql["take"], {"kind": kind, "limit": limit, "lease": lease})
        return [Due(kind, Principal(row["tenant"], row["owner"]), row["id"]) for row in rows]

    async def forget(self, due: Due) -> None:
        """The thing is not there."""
        values = {"kind": due.kind, "tenant": due.owner.tenant, "owner": due.owner.id, "id": due.id}
        async with self._database.system() as connection:
            await run(connection, self._sql["forget"], values)
