"""Runs without a thread over HTTP: each gets one of its own, which goes when the run has ended, unless it is kept."""

import asyncio
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from fiel.infra.api.auth.caller import Calling
from fiel.infra.api.routes.making import engine_of, make, streamed, waited
from fiel.infra.api.routes.runs import STREAM
from fiel.infra.api.service import Serving
from fiel.infra.api.wire.answers import PROBLEMS, reply
from fiel.infra.api.wire.body import JsonRoute
from fiel.infra.api.wire.runs import RunCreate, RunInBatch, RunOut, RunsCancel, run_json
from fiel.infra.runs.spec import UNFINISHED

router = APIRouter(prefix="/runs", tags=["runs"], route_class=JsonRoute, responses=PROBLEMS)
MOST = 100
"""Runs of one batch."""


@router.post("", response_model=RunOut)
async def create(body: RunCreate, caller: Calling, service: Serving) -> Response:
    """Make a run and do not wait for it."""
    made = await make(service, caller, body, None, heard=False)
    return reply(run_json(made.run), {"Content-Location": made.place})


@router.post("/batch", response_model=list[RunOut])
async def batch(
    body: Annotated[list[RunInBatch], Field(min_length=1, max_length=MOST)], caller: Calling, service: Serving
) -> Response:
    """Make several runs and do not wait for them."""
    made = await asyncio.gather(*(make(service, caller, one, None, heard=False) for one in body))
    return reply([run_json(one.run) for one in made])


@router.post("/stream", responses=STREAM)
async def stream(body: RunCreate, caller: Calling, service: Serving) -> Response:
    """Make a run and see its events."""
    made = await make(service, caller, body, None)
    return streamed(service, caller, made.run, on_disconnect=body.on_disconnect)


@router.post("/wait")
async def wait(body: RunCreate, caller: Calling, service: Serving, request: Request) -> Response:
    """Make a run and wait for what it leaves."""
    made = await make(service, caller, body, None, recorded=False)
    return await waited(service, caller, request, made, body.on_disconnect)


@router.post("/cancel", status_code=204)
async def cancel(
    body: RunsCancel,
    caller: Calling,
    service: Serving,
    action: Annotated[Literal["interrupt", "rollback"], Query()] = "interrupt",
) -> Response:
    """Cancel several of the caller's runs."""
    statuses = UNFINISHED if body.status in (None, "all") else (body.status,)
    await engine_of(service).cancel(
        caller.principal, action, thread_id=body.thread_id, run_ids=body.run_ids, statuses=statuses
    )
    return Response(status_code=204)
