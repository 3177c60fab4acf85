"""Erasure over HTTP, for administrators: what `fiel erase` does, for the caller's own tenant."""

from fastapi import APIRouter, Response

from fiel.infra.api.auth.caller import Calling
from fiel.infra.api.service import Serving
from fiel.infra.api.wire.answers import PROBLEMS, reply
from fiel.infra.api.wire.body import JsonRoute
from fiel.infra.api.wire.erasures import ErasedOut, ErasureCreate
from fiel.infra.erasure.erase import erase

router = APIRouter(prefix="/audit", tags=["audit"], route_class=JsonRoute, responses=PROBLEMS)


@router.post("/erasures", response_model=ErasedOut)
async def create(body: ErasureCreate, caller: Calling, service: Serving) -> Response:
    """Destroy a person's keys and remove their rows, now; whoever ships traces takes those away from MLflow."""
    return reply((await erase(service.database, caller.principal, body.subject)).plain())
