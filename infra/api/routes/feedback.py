"""Feedback over HTTP: what a caller says about a run."""

from uuid import UUID

from fastapi import APIRouter, Response

from fiel.infra.api.auth.caller import Calling
from fiel.infra.api.routes.resources import feedback_of
from fiel.infra.api.service import Serving
from fiel.infra.api.wire.answers import PROBLEMS, reply
from fiel.infra.api.wire.body import JsonRoute
from fiel.infra.api.wire.feedback import FeedbackCreate, FeedbackOut, feedback_json

router = APIRouter(prefix="/runs", tags=["feedback"], route_class=JsonRoute, responses=PROBLEMS)


@router.post("/{run_id}/feedback", response_model=FeedbackOut)
async def give(run_id: UUID, body: FeedbackCreate, caller: Calling, service: Serving) -> Response:
    """Say how good a run was: one's own, or any of the tenant for administrators, auditors and developers."""
    return reply(feedback_json(await feedback_of(service).give(caller.principal, run_id, body.said())))
