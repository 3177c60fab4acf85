"""States of threads over HTTP: the latest, any before it, and writing into one."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response

from fiel.infra.api.auth.caller import Calling
from fiel.infra.api.routes.resources import states_of
from fiel.infra.api.service import Serving
from fiel.infra.api.wire.answers import PROBLEMS, reply
from fiel.infra.api.wire.body import JsonRoute
from fiel.infra.api.wire.common import Limit
from fiel.infra.api.wire.state import (
    StateAtCheckpoint,
    StateHistory,
    StateOut,
    StateUpdate,
    StateUpdated,
    StorageOut,
    selected,
)

router = APIRouter(prefix="/threads/{thread_id}", tags=["threads"], route_class=JsonRoute, responses=PROBLEMS)

Select = Annotated[list[str] | None, Query(description="Fields of the state; `values.<key>` for one of its values")]


@router.get("/state", response_model=StateOut)
async def latest(
    thread_id: UUID, caller: Calling, service: Serving, subgraphs: bool = False, select: Select = None
) -> Response:
    """The latest state of a thread."""
    return reply(selected(await states_of(service).get(caller, thread_id, subgraphs=subgraphs), select))


@router.get("/state/{checkpoint_id}", response_model=StateOut)
async def at(
    thread_id: UUID,
    checkpoint_id: UUID,
    caller: Calling,
    service: Serving,
    subgraphs: bool = False,
    select: Select = None,
) -> Response:
    """The state of a thread at a checkpoint."""
    checkpoint = {"checkpoint_id": str(checkpoint_id)}
    return reply(selected(await states_of(service).get(caller, thread_id, checkpoint, subgraphs=subgraphs), select))


@router.post("/state/checkpoint", response_model=StateOut)
async def at_checkpoint(thread_id: UUID, body: StateAtCheckpoint, caller: Calling, service: Serving) -> Response:
    """The state of a thread at a checkpoint, also of a subgraph."""
    checkpoint = body.checkpoint.checkpoint(thread_id)
    state = await states_of(service).get(caller, thread_id, checkpoint or None, subgraphs=body.subgraphs)
    return reply(selected(state, body.select))


@router.post("/state", response_model=StateUpdated)
async def update(thread_id: UUID, body: StateUpdate, caller: Calling, service: Serving) -> Response:
    """Write into the state of a thread, as if a node had made it."""
    written = await states_of(service).update(caller, thread_id, body.updates(), body.at(thread_id))
    made = written["checkpoint"]
    return reply({**written, "configurable": made, "checkpoint_id": made.get("checkpoint_id")})


@router.get("/storage", response_model=StorageOut)
async def storage(thread_id: UUID, caller: Calling, service: Serving) -> Response:
    """Bytes that a thread's checkpoints take, as stored."""
    return reply(await states_of(service).storage(caller.principal, thread_id))


@router.get("/history", response_model=list[StateOut])
async def history(
    thread_id: UUID, caller: Calling, service: Serving, limit: Limit = 10, before: UUID | None = None
) -> Response:
    """States of a thread, the newest first."""
    earlier = {"checkpoint_id": str(before)} if before else None
    return reply(await states_of(service).history(caller, thread_id, limit=limit, before=earlier))


@router.post("/history", response_model=list[StateOut])
async def search_history(
    thread_id: UUID, caller: Calling, service: Serving, body: StateHistory | None = None
) -> Response:
    """States of a thread, or of one of its subgraphs, the newest first."""
    body = body or StateHistory()
    states = await states_of(service).history(
        caller,
        thread_id,
        limit=body.limit,
        before=body.earlier(thread_id),
        metadata=body.metadata,
        checkpoint=body.checkpoint.checkpoint(thread_id) or None if body.checkpoint else None,
    )
    return reply([selected(state, body.select) for state in states])
