"""Grants on collections and single documents: given, taken back, explained. Allow only; nothing is embedded again."""

import uuid
from dataclasses import dataclass
from typing import Any, Literal

import psycopg

from fiel.infra.corpus.names import checked_readers
from fiel.infra.database.connect import Database
from fiel.infra.ledger.acts import Act, record
from fiel.tools.errors import FielError, UsageError
from fiel.tools.principal import Principal
from fiel.tools.sql import load

RETRIES = 5


class TargetNotFound(FielError):
    """No such collection or document, or none that the caller may grant: which of them is not told."""

    code = "target_not_found"


@dataclass(frozen=True, slots=True)
class Changed:
    """What a grant or its end did."""

    changed: bool
    """False: the grant stood already, or there was none to end."""
    chunks: int
    """Chunks whose readers changed."""


@dataclass(frozen=True, slots=True)
class Path:
    """One reason why a document can be read."""

    name: str
    """A name of the caller's that opens it: a group, `everyone`, `user:…` or `role:…`."""
    by: str
    """`ingest`, `collection` or `document`: where that name was let in."""


def grantee_of(text: str) -> str:
    """The name in ACLs that `group:X`, `user:Y` or `everyone` stands for. Raises UsageError."""
    kind, colon, rest = text.partition(":")
    if kind == "group" and colon and ":" not in rest:
        return checked_readers([rest])[0]
    if text == "everyone" or (kind == "user" and rest):
        return checked_readers([text])[0]
    raise UsageError(f"{text!r} is nobody to grant to", hint="Write group:NAME, user:NAME or everyone")


class Grants:
    """The grants of a tenant."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sql = load("fiel.infra.corpus", "grants.sql")

    async def grant(self, by: Principal, target: str, to: str) -> Changed:
        """Let `to` read `target`: a collection by name or a document by id. Raises TargetNotFound, UsageError."""
        return await self._change(by, "grant", target, grantee_of(to))

    async def revoke(self, by: Principal, target: str, to: str) -> Changed:
        """End that grant; what an ingest or another grant allows stays. Raises TargetNotFound, UsageError."""
        return await self._change(by, "revoke", target, grantee_of(to))

    async def explain(self, by: Principal, reader: Principal, document: str) -> tuple[Path, ...]:
        """By which paths `reader` may read `document`; none: not at all. Raises TargetNotFound."""
        _entitled(by, document)
        async with self._database.acting(by) as connection:
            _, found = await self._found(connection, document, documents_only=True)
            rows = await (await connection.execute(self._sql["paths"], {"document": found})).fetchall()
        held = set(reader.grants) if reader.tenant == by.tenant else set()
        return tuple(Path(name, path) for name, path in rows if name in held)

    async def _change(self, by: Principal, kind: Literal["grant", "revoke"], target: str, grantee: str) -> Changed:
        _entitled(by, target)
        for attempt in range(RETRIES):
            try:
                return await self._once(by, kind, target, grantee)
            except psycopg.errors.DeadlockDetected:
                # An ingest held a document that the grant wants while it waited for the grant; nothing was written.
                if attempt == RETRIES - 1:
                    raise
        raise AssertionError("the last attempt returns or raises")

    async def _once(self, by: Principal, kind: Literal["grant", "revoke"], target: str, grantee: str) -> Changed:
        async with self._database.acting(by) as connection:
            collection, document = await self._found(connection, target)
            values = {"collection": collection, "document": document, "grantee": grantee}
            await connection.execute(self._sql["lock"], values)
            if (await connection.execute(self._sql[kind], values)).rowcount == 0:
                return Changed(False, 0)
            apply = self._sql["apply_collection" if document is None else "apply_document"]
            ((moved,),) = await (await connection.execute(apply, values)).fetchall()
            await record(connection, Act(by, kind, str(document or collection), {"to": grantee, "chunks": moved}))
            return Changed(True, moved)

    async def _found(
        self, connection: Any, target: str, *, documents_only: bool = False
    ) -> tuple[uuid.UUID, uuid.UUID | None]:
        """Ids of collection and document (None: the collection itself)."""
        try:
            name, value = "document", str(uuid.UUID(target))
        except ValueError:
            if documents_only:
                raise _missing(target) from None
            name, value = "collection", target
        row = await (await connection.execute(self._sql[name], {"target": value})).fetchone()
        if row is None:
            raise _missing(target)
        return row[0], row[1]


def _entitled(by: Principal, target: str) -> None:
    """To everybody else each target looks like one that does not exist."""
    if not by.may("curator", "administrator"):
        raise _missing(target)


def _missing(target: str) -> TargetNotFound:
    return TargetNotFound(f"there is no collection or document {target!r}", hint="Documents go by their id")
