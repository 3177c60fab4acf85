"""What a person does with what waits: looks, and decides. The decision and the run that goes on are one transaction."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from fiel.infra.database.connect import Database
from fiel.infra.ledger.acts import Act, record
from fiel.infra.runs.deadlines import Deadlines, Due
from fiel.infra.runs.errors import BadRequest, Conflict, NotFound
from fiel.infra.runs.names import new_id, place
from fiel.infra.runs.pages import Page, Window, cut, parameters
from fiel.infra.runs.reviews import STATUS
from fiel.infra.runs.rights import Now
from fiel.infra.runs.rows import Connection, Row, fetch, one, run
from fiel.infra.runs.runs import Run, Runs, thread_key
from fiel.infra.runs.sealed import Sealer
from fiel.infra.runs.spec import Spec
from fiel.infra.settings import Settings
from fiel.tools.errors import FielError, NotPermitted, SettingsError
from fiel.tools.principal import ROLES, Principal, Role
from fiel.tools.review import Decided
from fiel.tools.sql import load

_LOG = logging.getLogger("fiel.runs")
NEWER = 50
"""Newest runs of a thread among which a question is looked for that came after the one that waits."""

Readable = Callable[[Principal, str], Awaitable[bool]]
"""Whether a reviewer may read anything of a collection."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A review, as reviewers see it."""

    tenant: str
    owner: str
    """Who asked."""
    review_id: UUID
    thread_id: UUID
    run_id: UUID
    stage: str
    subject: str
    reason: str
    policy: str
    collection: str
    language: str
    status: str
    opened_at: datetime
    expires_at: datetime
    decided_by: str | None
    decided_at: datetime | None
    why: str | None
    roles: Sequence[str] | None = None
    """Who may decide, where the bundle says it."""
    own: bool | None = None
    dossier: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What a reviewer says."""

    decision: Decided
    subject: str
    """Digest of what they have seen: a decision about anything else is refused."""
    why: str
    comment: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class Rules:
    """Who may review where the bundle does not say it."""

    roles: frozenset[Role]
    own: bool = False
    """Whether who asked may decide too."""


def rules(settings: Settings) -> Rules:
    """Who may review, as the settings have it. Raises SettingsError."""
    named = {name.strip() for name in settings.review_roles.split(",") if name.strip()}
    roles = frozenset(role for role in ROLES if role in named)
    if not roles or len(roles) != len(named):
        hint = f"Roles by comma: {', '.join(ROLES)}"
        raise SettingsError(
            f"setting review_roles names no roles: {settings.review_roles!r}", where="FIEL_REVIEW_ROLES", hint=hint
        )
    return Rules(roles, settings.review_self > 0)


class Reviewing:
    """The reviews of a database. Every method may raise DatabaseUnavailable and KeyUnavailable."""

    def __init__(self, runs: Runs, sealer: Sealer, rules: Rules, rights: Now, readable: Readable | None = None) -> None:
        self._runs = runs
        self._database: Database = runs.database
        self._sealer = sealer
        self._rules = rules
        self._rights = rights
        self._readable = readable
        self._sql = load(__package__, "reviews.sql")

    async def list(self, principal: Principal, status: str | None, window: Window) -> Page[Waiting]:
        """What the caller may decide, or could have, in their tenant; without dossiers."""
        roles = {"usual": sorted(self._rules.roles), "mine": sorted(principal.roles)}
        values = {"tenant": principal.tenant, "status": status} | roles | parameters(window)
        async with self._database.acting(principal) as connection:
            rows = await fetch(connection, self._sql["list"], values)
        return cut([self._opened(row) for row in rows], window)

    async def get(self, principal: Principal, review_id: UUID) -> Waiting:
        """One review with what the reviewer must see; looking is an act. Raises NotPermitted, NotFound."""
        async with self._database.acting(principal) as connection:
            row = await one(connection, self._sql["get"], _key(principal, review_id))
            found = await self._seen(principal, row, review_id)
            await record(connection, Act(principal, "audit_read", str(found.run_id), {"review": str(review_id)}))
        return found

    async def decide(self, principal: Principal, review_id: UUID, said: Decision) -> tuple[Waiting, UUID]:
        """Write down a decision and let the run go on; the review, and the run that goes on.

        Raises NotPermitted, NotFound, BadRequest, Conflict where it is decided already, too late, about something else,
        or where nobody waits for it any more.
        """
        async with self._database.acting(principal) as connection:
            row = await one(connection, self._sql["lock"], _key(principal, review_id))
            found = await self._seen(principal, row, review_id)
            self._fits(principal, found, said)
            after = self._opened(await self._decided(connection, found, STATUS[said.decision], said, principal.id))
            detail = {"review": str(review_id), "decision": said.decision, "why": said.why, "subject": found.subject}
            await record(connection, Act(principal, "review", str(found.run_id), detail))
            return after, await self._go_on(connection, found)

    # The clock

    async def expire(self, limit: int = 100) -> int:
        """End what nobody has decided in time; how many were due."""
        due = await Deadlines(self._database).take("review", limit)
        for late in due:
            try:
                await self._expire(late)
            except FielError as error:  # one that fails must not keep the others; it is due again after the lease
                _LOG.warning("a review could not be ended", extra={"code": error.code, "review": str(late.id)})
        return len(due)

    async def _expire(self, due: Due) -> None:
        async with self._database.acting(due.owner) as connection:
            row = await one(connection, self._sql["lock"], _key(due.owner, due.id))
            if row is None or row["status"] != "pending" or row["expires_at"] > datetime.now(UTC):
                return
            found = self._opened(row)
            waits = await self._waits(connection, found)
            status = "withdrawn" if waits is None else "expired"
            await self._decided(connection, found, status, Decision("expire", found.subject, "late"), None)
            if waits is not None:
                await self._resume(connection, found, waits)

    # Parts

    def _may(self, principal: Principal, found: Waiting) -> None:
        roles = self._rules.roles if found.roles is None else found.roles
        if principal.roles.isdisjoint(roles):
            wanted = ", ".join(sorted(roles))
            raise NotPermitted("you may not review", where="reviews", hint=f"Ask for one of the roles: {wanted}")

    async def _seen(self, principal: Principal, row: Row | None, review_id: UUID) -> Waiting:
        if row is None or (self._readable and not await self._readable(principal, row["collection"])):
            raise NotFound(f"there is no review {review_id}")
        found = self._opened(row)
        self._may(principal, found)
        return found

    def _fits(self, principal: Principal, found: Waiting, said: Decision) -> None:
        if found.owner == principal.id and not (self._rules.own if found.own is None else found.own):
            raise NotPermitted("nobody decides about their own question", where="reviews")
        if found.status != "pending":
            raise Conflict(f"this review is {found.status} already", where="decision")
        if found.expires_at <= datetime.now(UTC):
            raise Conflict("the time for this review is over", where="decision")
        if said.subject != found.subject:
            raise Conflict("this is not what waits", where="digest", hint="Look at the review again")
        if (said.decision == "edit") != bool(said.text.strip()):
            raise BadRequest("an edit has a text, and nothing else has one", where="text")
        if said.decision == "edit" and found.stage != "output":
            raise BadRequest("only an answer can be edited", where="decision", hint="Reject the question instead")

    async def _decided(
        self, connection: Connection, found: Waiting, status: str, said: Decision, by: str | None
    ) -> Row:
        owner = Principal(found.tenant, found.owner)
        told = {"comment": said.comment, "text": said.text}
        values = {
            "tenant": found.tenant,
            "review_id": found.review_id,
            "status": status,
            "by": by,
            "why": said.why,
            "ruling": self._sealer.seal_json("ruling", place(owner, found.review_id), told),
        }
        row = await one(connection, self._sql["decide"], values)
        if row is None:
            raise Conflict("this review is decided already", where="decision")
        return row

    async def _go_on(self, connection: Connection, found: Waiting) -> UUID:
        """The run that takes the decision up. Raises Conflict, which undoes the decision, where nobody waits for it."""
        owner = Principal(found.tenant, found.owner)
        values = {"tenant": owner.tenant, "owner": owner.id, "grants": list(owner.grants)}
        await run(connection, self._sql["act_as"], values)
        waits = await self._waits(connection, found)
        if waits is None:
            raise Conflict("nobody waits for this any more", where="decision", hint="The thread has gone on")
        who = await self._rights(waits.asker)
        if who is None:
            raise Conflict("who asked has no right any more", where="decision")
        return await self._resume(connection, found, replace(waits, asker=who))

    async def _waits(self, connection: Connection, found: Waiting) -> Run | None:
        """The run that waits; None where it is gone, or something new was asked on its thread."""
        owner = Principal(found.tenant, found.owner)
        values = thread_key(owner, found.thread_id) | {"status": None, "limit": NEWER, "offset": 0}
        newest: Sequence[Run] = [
            self._runs.opened(owner, row) for row in await fetch(connection, self._runs.sql["list"], values)
        ]
        for one_run in newest:
            if one_run.run_id == found.run_id:
                return one_run
            if one_run.spec.input is not None:
                return None
        return None

    async def _resume(self, connection: Connection, found: Waiting, waits: Run) -> UUID:
        run_id = new_id()
        spec: Spec = replace(
            waits.spec,
            input=None,
            command={"resume": {"review": str(found.review_id)}},
            checkpoint=None,
            interrupt_before=None,
            interrupt_after=None,
            multitask="enqueue",
            create=False,
            after=0.0,
        )
        await self._runs.submit_in(connection, waits.asker, spec, run_id, None)
        return run_id

    def _opened(self, row: Row) -> Waiting:
        dossier = None
        if row["dossier"] is not None:
            at = place(Principal(row["tenant"], row["owner"]), row["review_id"])
            dossier = self._sealer.open_json("review", at, row["dossier"])
        return Waiting(**row | {"dossier": dossier})


def _key(principal: Principal, review_id: UUID) -> Row:
    return {"tenant": principal.tenant, "review_id": review_id}
