"""Lineage over HTTP, both ways. Everybody sees what their own runs used; other runs are for those who may see them."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Response

from fiel.infra.api.auth.caller import Calling
from fiel.infra.api.service import Serving
from fiel.infra.api.wire.answers import PROBLEMS, Problem, page_headers, reply
from fiel.infra.api.wire.body import JsonRoute
from fiel.infra.api.wire.common import Limit, Offset
from fiel.infra.api.wire.lineage import DocumentLineage, RunLineage
from fiel.infra.ledger.subjects import SubjectKeys
from fiel.infra.lineage.documents import Used, answers
from fiel.infra.lineage.runs import sources
from fiel.infra.runs.pages import Window

GONE: dict[int | str, dict[str, Any]] = {
    410: {"model": Problem, "description": "What was asked for was erased by right"}
}
router = APIRouter(prefix="/lineage", tags=["lineage"], route_class=JsonRoute, responses={**PROBLEMS, **GONE})


@router.get("/documents", response_model=DocumentLineage)
async def documents(
    document: Annotated[str, Query(min_length=1, max_length=4000)],
    caller: Calling,
    service: Serving,
    used: Used = "read",
    version: UUID | None = None,
    limit: Annotated[Limit, Query()] = 100,
    offset: Annotated[Offset, Query()] = 0,
) -> Response:
    """Which answers used a document, given by id or address; `used`: those that cite it, read it, or any outcome."""
    window, asked = Window(limit, offset), str(version) if version else None
    found, page = await answers(service.database, caller.principal, document, window, used, asked)
    return reply({**found, "runs": page.items}, page_headers(page))


@router.get("/runs/{run_id}", response_model=RunLineage)
async def run(
    run_id: UUID, caller: Calling, service: Serving, sentence: Annotated[int | None, Query(ge=1, le=10_000)] = None
) -> Response:
    """Where each sentence of an answer came from; what the caller may not read is there by its ids alone."""
    keys = SubjectKeys(service.database.system, service.cipher)
    return reply(await sources(service.database, keys, caller.principal, str(run_id), sentence))
