"""The body of feedback on a run, and what answers it."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, Field

from fiel.infra.api.wire.body import Wire
from fiel.infra.api.wire.common import Text
from fiel.infra.runs.feedback import Given, Said

Label = Annotated[str, Field(min_length=1, max_length=80)]


class FeedbackCreate(Wire):
    """What a caller says about a run: from -1, bad, to 1, good."""

    score: Annotated[float, Field(ge=-1, le=1, allow_inf_nan=False)]
    comment: Text = ""
    labels: Annotated[list[Label], Field(max_length=20)] = Field(default_factory=list)

    def said(self) -> Said:
        return Said(self.score, self.comment, tuple(self.labels))


class FeedbackOut(BaseModel):
    """Feedback that was kept. What was written is not repeated."""

    feedback_id: UUID
    run_id: UUID
    created_at: datetime


def feedback_json(given: Given) -> dict[str, UUID | datetime]:
    """Feedback that was kept."""
    return {"feedback_id": given.feedback_id, "run_id": given.run_id, "created_at": given.created_at}
