"""Bodies of requests to the audit interface, and how its answers look."""

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, Field

from fiel.infra.api.wire.body import Wire
from fiel.infra.api.wire.common import Json, Name
from fiel.infra.ledger.export import Part
from fiel.infra.replay.change import Change
from fiel.tools.canonical import MAX_INTEGER


def _written(value: Any) -> Any:
    """pydantic alone would take numbers, and texts of numbers, for times."""
    if isinstance(value, datetime) or (isinstance(value, str) and re.match(r"\d{4}-\d\d-\d\d[Tt ]", value)):
        return value
    raise ValueError("this is to be a date and a time, such as 2026-01-31T12:00:00Z")


Instant = Annotated[datetime, BeforeValidator(_written)]


class RunOut(BaseModel):
    """A run of the tenant: who asked, when, and what it goes on from."""

    run: UUID
    caller: str
    thread: str
    resumes: UUID | None
    started: int
    """Microseconds since 1970."""


class ActOut(BaseModel):
    """An administrative act: its columns, and the body that its hash covers."""

    act: UUID
    principal: str
    kind: str
    subject: str
    at: int
    """Microseconds since 1970."""
    hash: str
    body: Json


class HeadOut(BaseModel):
    """The last seal of the chain."""

    seal: int
    hash: str
    signed: int
    """Number of the last seal that was signed."""
    public_key: str


class VerifiedOut(BaseModel):
    """What a check of the whole chain found. It holds where `broken_total` is 0."""

    entries: int
    broken: list[Json]
    broken_total: int
    erased: int
    lost: int
    unsealed: int
    head: HeadOut
    places: list[Json]
    """Second places of signed heads: how many lie there, or why that is not known."""


class ExportAsk(Wire):
    """What is wanted: one run, or what there is since a time, or everything."""

    run: UUID | None = None
    since: Instant | None = None
    """With an offset; without one UTC is meant."""

    def part(self) -> Part:
        return Part(str(self.run) if self.run else None, micros(self.since))


class ReplayAsk(Wire):
    """What a replay changes; an empty body asks for a strict one."""

    policy: Name | None = None
    prompt: Name | None = None
    chat: Name | None = None
    options: Json = Field(default_factory=dict)
    """Other options of the graph and their values."""
    again: Annotated[list[Name], Field(max_length=20)] = Field(default_factory=list)
    """Kinds of effects that are asked anew although the record has them."""
    live: bool = True
    """Whether models and the index may be asked for what the record does not hold."""
    max_live: Annotated[int, Field(ge=0)] | None = None
    """So many live calls at most."""
    max_cost: Annotated[Decimal, Field(ge=0, max_digits=15, decimal_places=6, allow_inf_nan=False)] | None = None
    """Once live calls have cost so much, no further one begins."""
    then: bool = False
    """Under the bundle and the prompts of then."""
    now: bool = False
    """Under the bundle and the prompts of now, to an end of its own."""

    def change(self) -> Change:
        named = {"policy": self.policy, "prompt": self.prompt, "chat": self.chat}
        options = {name: value for name, value in named.items() if value is not None}
        return Change(
            {**self.options, **options},
            frozenset(self.again),
            self.live,
            self.then,
            self.now,
            self.max_live,
            self.max_cost,
        )


def micros(at: datetime | None) -> int:
    """Microseconds since 1970; 0 for None and for times before; at most what the ledger can write, in 2255."""
    if at is None:
        return 0
    since = int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1_000_000)
    return min(max(0, since), MAX_INTEGER)


def plain(value: dict[str, Any], limit: int, offset: int) -> dict[str, Any]:
    """A verification with the asked part of what is broken."""
    return {**value, "broken": value["broken"][offset : offset + limit], "broken_total": len(value["broken"])}
