"""Runs on threads over HTTP."""

from contextlib import suppress
from typing import Annotated, Any, Literal
from uuid import UUID

import orjson
from fastapi import APIRouter, Header, Query, Request, Response

from fiel.infra.api.auth.caller import Calling
from fiel.infra.api.routes.making import Made, engine_of, make, streamed, waited
from fiel.infra.api.service import Serving
from fiel.infra.api.wire.answers import PROBLEMS, chosen, partial, reply
from fiel.infra.api.wire.body import JsonRoute
from fiel.infra.api.wire.common import Limit, Offset
from fiel.infra.api.wire.runs import Mode, RunCreate, RunField, RunOut, run_json
from fiel.infra.runs.errors import BadRequest, NotFound
from fiel.infra.runs.names import thread_ref
from fiel.infra.runs.spec import UNFINISHED, Status

router = APIRouter(prefix="/threads/{thread_id}/runs", tags=["runs"], route_class=JsonRoute, responses=PROBLEMS)
Action = Annotated[Literal["interrupt", "rollback"], Query(description="rollback: as if the run had never been")]
STREAM: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/event-stream": {}}, "description": "Server-sent events"}
}


@router.post("", response_model=RunOut)
async def create(thread_id: UUID, body: RunCreate, caller: Calling, service: Serving) -> Response:
    """Make a run and do not wait for it."""
    made = await make(service, caller, body, thread_id, heard=False)
    return reply(run_json(made.run), {"Content-Location": made.place})


@router.post("/stream", responses=STREAM)
async def stream(thread_id: UUID, body: RunCreate, caller: Calling, service: Serving) -> Response:
    """Make a run and see its events."""
    made = await make(service, caller, body, thread_id)
    return streamed(service, caller, made.run, on_disconnect=body.on_disconnect)


@router.post("/wait")
async def wait(thread_id: UUID, body: RunCreate, caller: Calling, service: Serving, request: Request) -> Response:
    """Make a run and wait for what it leaves."""
    made = await make(service, caller, body, thread_id, recorded=False)
    return await waited(service, caller, request, made, body.on_disconnect)


@router.get("", response_model=list[partial(RunOut)])  # type: ignore[misc]
async def search(
    thread_id: UUID,
    caller: Calling,
    service: Serving,
    limit: Limit = 10,
    offset: Offset = 0,
    status: Status | None = None,
    select: Annotated[list[RunField] | None, Query()] = None,
) -> Response:
    """List a thread's runs, the newest first."""
    runs = await engine_of(service).runs.of_thread(
        caller.principal, thread_id, limit=limit, offset=offset, status=status
    )
    return reply([chosen(run_json(run), select) for run in runs])


@router.get("/{run_id}", response_model=RunOut)
async def get(thread_id: UUID, run_id: UUID, caller: Calling, service: Serving) -> Response:
    """One run."""
    return reply(run_json(await engine_of(service).runs.get(caller.principal, run_id, thread_id)))


@router.delete("/{run_id}", status_code=204)
async def delete(thread_id: UUID, run_id: UUID, caller: Calling, service: Serving) -> Response:
    """Delete a run with its checkpoints; one that goes on is cancelled first."""
    engine = engine_of(service)
    run = await engine.runs.get(caller.principal, run_id, thread_id)
    gone = False
    if run.status in UNFINISHED:
        with suppress(NotFound):  # it may have ended by itself meanwhile, or end so before it hears of this
            await engine.cancel(caller.principal, "rollback", thread_id=thread_id, run_ids=[run_id])
        await engine.ended(caller.principal, run_id)
        gone = await engine.runs.status(caller.principal, run_id) is None
    if not gone:
        await engine.runs.remove(caller.principal, thread_id, run_id)
        await service.host.forget_run(thread_ref(caller.principal, thread_id), str(run_id))
    return Response(status_code=204)


@router.get("/{run_id}/join")
async def join(
    thread_id: UUID,
    run_id: UUID,
    caller: Calling,
    service: Serving,
    request: Request,
    cancel_on_disconnect: bool = False,
) -> Response:
    """Wait for what a run leaves."""
    run = await engine_of(service).runs.get(caller.principal, run_id, thread_id)
    on_disconnect = "cancel" if cancel_on_disconnect else None
    return await waited(service, caller, request, Made(run, None), on_disconnect)


@router.get("/{run_id}/stream", responses=STREAM)
async def join_stream(
    thread_id: UUID,
    run_id: UUID,
    caller: Calling,
    service: Serving,
    stream_mode: Annotated[list[str] | None, Query()] = None,
    cancel_on_disconnect: bool = False,
    last_event_id: Annotated[str, Header(description="The last event that is not to be sent again")] = "",
) -> Response:
    """See the events of a run: from its first one, or after the last that the client has seen."""
    run = await engine_of(service).runs.get(caller.principal, run_id, thread_id)
    on_disconnect = "cancel" if cancel_on_disconnect else None
    modes, after = _modes(stream_mode or []), seen(last_event_id)
    return streamed(service, caller, run, after=after, modes=modes, on_disconnect=on_disconnect)


@router.post("/{run_id}/cancel", status_code=202)
async def cancel(
    thread_id: UUID,
    run_id: UUID,
    caller: Calling,
    service: Serving,
    request: Request,
    wait: bool = False,
    action: Action = "interrupt",
) -> Response:
    """Cancel a run. `wait`: answer when it has ended, with what it leaves."""
    engine = engine_of(service)
    run = await engine.runs.get(caller.principal, run_id, thread_id)
    await engine.cancel(caller.principal, action, thread_id=thread_id, run_ids=[run_id])
    if not wait:
        return Response(status_code=202)
    return await waited(service, caller, request, Made(run, None), None)


def seen(last_event_id: str) -> int:
    """Number of the last event that a client has seen. Raises BadRequest."""
    if last_event_id in ("", "-1"):
        return 0
    if not last_event_id.isdecimal() or len(last_event_id) > 18:
        raise BadRequest("this is no id of an event", where="Last-Event-ID", hint="Send the id of the last event seen")
    return int(last_event_id)


def _modes(given: list[str]) -> list[str]:
    """Stream modes of a query: repeated, or as one JSON array. Raises BadRequest."""
    modes: list[str] = []
    for text in filter(None, given):  # the Python SDK sends an empty one for none
        try:
            several = orjson.loads(text) if text.startswith("[") else [text]
        except orjson.JSONDecodeError as error:
            raise BadRequest("this is no list of stream modes", where="stream_mode") from error
        modes += several
    if unknown := [mode for mode in modes if mode not in Mode.__args__]:  # type: ignore[attr-defined]
        raise BadRequest(f"there is no stream mode {str(unknown[0])[:50]!r}", where="stream_mode")
    return modes
