"""The rows of a person, wherever they lie beside the ledger: removed as often as it takes, each time all of them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection

from fiel.infra.database.connect import Database
from fiel.infra.runs.names import checkpoint_thread
from fiel.tools.principal import Principal
from fiel.tools.sql import load

Counts = dict[str, int]
OWN = ("crons", "items", "assistants", "threads", "claimed", "rulings")
"""What is the person's own, in the order in which it goes: rows with an owner, what tokens said of the person, and what
the person wrote into reviews of others."""
OTHERS = ("spans", "drafts", "assessments")
"""What hangs on the person's runs. Assessments go while the feedback still says whose they are."""
CHECKPOINTS = ("checkpoint_writes", "checkpoint_blobs", "checkpoints")


@dataclass(frozen=True, slots=True)
class Person:
    """Whose rows go: those that were there when the erasure began. What the person does afterwards is new."""

    tenant: str
    subject: str
    begun: datetime
    act: UUID
    again: bool = False
    """Whether this is the second look, for what runs under way had still written."""

    @property
    def values(self) -> dict[str, Any]:
        return {
            "tenant": self.tenant,
            "subject": self.subject,
            "begun": self.begun,
            "act": self.act,
            "again": self.again,
        }


async def remove(database: Database, person: Person) -> Counts:
    """Remove every row of a person; how many of each kind there were.

    What is under way for the person loses its thread, and stops. Raises DatabaseUnavailable.
    """
    sql, values, owner = load(__package__, "erasure.sql"), person.values, Principal(person.tenant, person.subject)
    counts: Counts = {}
    async with database.acting(owner) as connection:
        made = await (await connection.execute(sql["threads"], values)).fetchall()
        recorded = await (await connection.execute(sql["recorded_threads"], values)).fetchall()
        # What the checkpointer calls them: those of the API have a row, of others only the ledger knows.
        threads = {checkpoint_thread(owner, UUID(str(row[0]))) for row in made} | {row[0] for row in recorded}
        counts |= await checkpoints(connection, sorted(threads))
        for table in OWN:
            counts[table] = (await connection.execute(sql[f"delete_{table}"], values)).rowcount
    async with database.acting(owner) as connection:
        await connection.execute(sql["ship_alone"])
        for table in OTHERS:
            counts[table] = (await connection.execute(sql[f"delete_{table}"], values)).rowcount
        row = await (await connection.execute(sql["delete_feedback"], values)).fetchone()
        counts["feedback"] = row[0] if row else 0
        await connection.execute(sql["queue_traces"], values)
    return counts


async def checkpoints(connection: AsyncConnection[Any], threads: list[str]) -> Counts:
    """Remove all checkpoints of threads, by the checkpointer's names for them."""
    sql = load(__package__, "erasure.sql")
    there = await (await connection.execute(sql["has_checkpoints"])).fetchone()
    if not (there and there[0]):
        return dict.fromkeys(CHECKPOINTS, 0)
    return {
        table: (await connection.execute(sql[f"delete_{table}"], {"threads": threads})).rowcount
        for table in CHECKPOINTS
    }
