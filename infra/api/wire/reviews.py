"""Bodies of requests about reviews, and how a review looks."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field

from fiel.infra.api.wire.body import Wire
from fiel.infra.api.wire.common import Json
from fiel.infra.runs.reviewing import Decision, Waiting

Status = Literal["pending", "approved", "edited", "rejected", "expired", "withdrawn"]
Code = Annotated[str, Field(pattern=r"^[a-z0-9_.:-]{1,80}$")]
"""A reason code of the reviewers' own."""


class ReviewOut(BaseModel):
    """What waits for a person, or was decided."""

    review_id: UUID
    status: Status
    stage: Literal["input", "output"]
    reason: str
    policy: str
    collection: str
    language: str
    asked_by: str
    thread_id: UUID
    run_id: UUID
    digest: str
    opened_at: datetime
    expires_at: datetime
    decided_by: str | None
    decided_at: datetime | None
    why: str | None


class DossierOut(ReviewOut):
    """The same with what the reviewer must see; null once it is decided."""

    dossier: Json | None


class DecidedOut(ReviewOut):
    """A decision, and the run of the asker that takes it up."""

    resumed_run: UUID


class ReviewDecide(Wire):
    """A decision. `digest` names what the reviewer has seen; an edit has the answer's new text."""

    decision: Literal["approve", "edit", "reject"]
    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    why: Code = "reviewed"
    comment: Annotated[str, Field(max_length=10_000)] = ""
    text: Annotated[str, Field(max_length=100_000)] = ""

    def said(self) -> Decision:
        return Decision(self.decision, self.digest, self.why, self.comment, self.text)


def review_json(one: Waiting) -> dict[str, Any]:
    """A review without its dossier."""
    told = {name: getattr(one, name) for name in ReviewOut.model_fields if name not in ("asked_by", "digest")}
    return {**told, "asked_by": one.owner, "digest": one.subject}
