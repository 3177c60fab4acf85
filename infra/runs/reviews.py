"""Reviews as rows: what the graph asks a person for, and reads as decided. What the person does is in `reviewing`."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

from fiel.infra.callers import KEY, RUN
from fiel.infra.database.connect import Database
from fiel.infra.runs.names import place
from fiel.infra.runs.rows import one
from fiel.infra.runs.sealed import Sealer
from fiel.tools.principal import Principal
from fiel.tools.review import Case, Decided, Ruling
from fiel.tools.sql import load

DECIDED: Mapping[str, Decided] = {"approved": "approve", "edited": "edit", "rejected": "reject", "expired": "expire"}
"""A row's status, as the graph reads it. What was withdrawn was never decided."""
STATUS: Mapping[Decided, str] = {decided: status for status, decided in DECIDED.items()}


class KeptReviews:
    """`fiel.tools.review.Reviews` in PostgreSQL."""

    def __init__(self, database: Database, sealer: Sealer, hours: float) -> None:
        self._database = database
        self._sealer = sealer
        self._hours = hours
        self._sql = load(__package__, "reviews.sql")

    async def ask(self, config: Mapping[str, Any], case: Case) -> str | None:
        """See the port. A run that no service has made has no row, and nobody is asked about it."""
        configurable = config.get("configurable", {})
        who, run = configurable.get(KEY), configurable.get(RUN)
        if not isinstance(who, Principal) or not isinstance(run, str):
            return None
        if case.roles is not None and not case.roles:
            return None
        review = UUID(replace(case, run=run).id)
        values = {
            "tenant": who.tenant,
            "owner": who.id,
            "review_id": review,
            "run_id": UUID(run),
            "hours": self._hours if case.hours is None else case.hours,
            "roles": None if case.roles is None else sorted(case.roles),
            "own": case.own,
            "dossier": self._sealer.seal_json("review", place(who, review), dict(case.dossier)),
            **{
                name: getattr(case, name) for name in ("stage", "subject", "reason", "policy", "collection", "language")
            },
        }
        async with self._database.acting(who) as connection:
            row = await one(connection, self._sql["ask"], values)
        return None if row is None else str(review)

    async def ruling(self, principal: Principal, review: str) -> Ruling | None:
        """See the port. Nothing that was decided too late counts: then it has expired."""
        values = {"tenant": principal.tenant, "owner": principal.id, "review_id": UUID(review)}
        async with self._database.acting(principal) as connection:
            row = await one(connection, self._sql["ruling"], values)
        if row is None:
            return None
        if row["status"] == "pending":
            return Ruling(row["subject"], "expire") if row["late"] else None
        if row["status"] not in DECIDED:
            return None
        told = {}
        if row["ruling"] is not None:
            told = self._sealer.open_json("ruling", place(principal, row["review_id"]), row["ruling"])
        at = row["decided_at"].isoformat() if row["decided_at"] else ""
        return Ruling(row["subject"], DECIDED[row["status"]], row["decided_by"] or "", at, row["why"] or "", **told)
