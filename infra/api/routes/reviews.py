"""Reviews over HTTP: what waits for a person, and what the person decides. For fiel's own graph."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Response

from fiel.infra.api.auth.caller import Calling
from fiel.infra.api.routes.resources import reviewing_of
from fiel.infra.api.service import Serving
from fiel.infra.api.wire.answers import PROBLEMS, page_headers, reply
from fiel.infra.api.wire.body import JsonRoute
from fiel.infra.api.wire.common import Limit, Offset
from fiel.infra.api.wire.reviews import DecidedOut, DossierOut, ReviewDecide, ReviewOut, Status, review_json
from fiel.infra.runs.pages import Window

router = APIRouter(prefix="/reviews", tags=["reviews"], route_class=JsonRoute, responses=PROBLEMS)


@router.get("", response_model=list[ReviewOut])
async def listed(
    caller: Calling,
    service: Serving,
    status: Status | Literal["any"] = "pending",
    limit: Annotated[Limit, Query()] = 20,
    offset: Annotated[Offset, Query()] = 0,
) -> Response:
    """What waits for a person in the caller's tenant, the newest first; with `status`, what was decided."""
    page = await reviewing_of(service).list(
        caller.principal, None if status == "any" else status, Window(limit, offset)
    )
    return reply([review_json(one) for one in page.items], page_headers(page))


@router.get("/{review_id}", response_model=DossierOut)
async def get(review_id: UUID, caller: Calling, service: Serving) -> Response:
    """One review with the question, the draft and what was found."""
    found = await reviewing_of(service).get(caller.principal, review_id)
    return reply({**review_json(found), "dossier": found.dossier})


@router.post("/{review_id}", response_model=DecidedOut)
async def decide(review_id: UUID, body: ReviewDecide, caller: Calling, service: Serving) -> Response:
    """Approve, edit or reject what waits; the run goes on at once, in the name of who asked."""
    found, run_id = await reviewing_of(service).decide(caller.principal, review_id, body.said())
    return reply({**review_json(found), "resumed_run": run_id})
