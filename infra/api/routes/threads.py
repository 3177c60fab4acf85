"""Threads over HTTP."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Header, Response

from fiel.infra.api.auth.caller import Calling
from fiel.infra.api.routes.resources import states_of, threads_of
from fiel.infra.api.service import Serving
from fiel.infra.api.wire.answers import PROBLEMS, chosen, page_headers, partial, reply
from fiel.infra.api.wire.body import JsonRoute
from fiel.infra.api.wire.threads import (
    FIELDS,
    Pruned,
    ThreadCount,
    ThreadCreate,
    ThreadOut,
    ThreadPatch,
    ThreadPrune,
    ThreadSearch,
    extracted,
    thread_json,
)
from fiel.infra.runs.errors import BadRequest
from fiel.infra.runs.extract import parse

router = APIRouter(prefix="/threads", tags=["threads"], route_class=JsonRoute, responses=PROBLEMS)


@router.post("", response_model=ThreadOut)
async def create(caller: Calling, service: Serving, body: ThreadCreate | None = None) -> Response:
    """Create a thread; with `supersteps`, one that has a past."""
    body = body or ThreadCreate()
    threads, principal, do_nothing = threads_of(service), caller.principal, body.if_exists == "do_nothing"
    if not body.supersteps:
        return reply(thread_json(await threads.create(principal, body.new(), do_nothing=do_nothing), ttl=True))
    if do_nothing:
        raise BadRequest("a thread with a past cannot be one that exists", where="if_exists", hint="Leave it out")
    supersteps = [[update.update() for update in step.updates] for step in body.supersteps]
    return reply(thread_json(await states_of(service).create(caller, body.new(), supersteps), ttl=True))


@router.post("/search", response_model=list[partial(ThreadOut)])  # type: ignore[misc]
async def search(caller: Calling, service: Serving, body: ThreadSearch | None = None) -> Response:
    """List the caller's threads."""
    body = body or ThreadSearch()
    paths = parse(body.extract or {}, FIELDS)
    page = await threads_of(service).search(caller.principal, body.which(), body.window(), opened=body.opens())
    shown = [chosen(thread_json(one), body.select) for one in page.items]
    if paths:
        for thread, one in zip(shown, page.items, strict=True):
            thread["extracted"] = extracted(one, paths)
    return reply(shown, page_headers(page))


@router.post("/count", response_model=int)
async def count(caller: Calling, service: Serving, body: ThreadCount | None = None) -> Response:
    """Count the caller's threads."""
    return reply(await threads_of(service).count(caller.principal, (body or ThreadCount()).which()))


@router.post("/prune", response_model=Pruned)
async def prune(body: ThreadPrune, caller: Calling, service: Serving) -> Response:
    """Delete threads, or all but the latest checkpoints of each."""
    done = await threads_of(service).prune(caller.principal, body.thread_ids, body.strategy)
    return reply({"pruned_count": done})


@router.get("/{thread_id}", response_model=ThreadOut)
async def get(thread_id: UUID, caller: Calling, service: Serving, include: str = "") -> Response:
    """One thread. `include`: ttl, to see how long it lives."""
    more = [name.strip() for name in include.split(",") if name.strip()]
    if unknown := [name for name in more if name != "ttl"]:
        raise BadRequest(f"a thread has no {unknown[0][:50]!r} to include", where="include", hint="ttl")
    return reply(thread_json(await threads_of(service).get(caller.principal, thread_id), ttl=bool(more)))


@router.patch("/{thread_id}", response_model=ThreadOut)
async def update(
    thread_id: UUID,
    body: ThreadPatch,
    caller: Calling,
    service: Serving,
    prefer: Annotated[str, Header(description="return=minimal: answer 204")] = "",
) -> Response:
    """Merge metadata, and give another time to live."""
    ttl = body.ttl.ttl_of() if body.ttl else None
    thread = await threads_of(service).update(caller.principal, thread_id, body.metadata or {}, ttl)
    return Response(status_code=204) if prefer == "return=minimal" else reply(thread_json(thread, ttl=True))


@router.delete("/{thread_id}", status_code=204)
async def delete(thread_id: UUID, caller: Calling, service: Serving) -> Response:
    """Delete a thread with its runs, checkpoints and crons."""
    await threads_of(service).delete(caller.principal, thread_id)
    return Response(status_code=204)


@router.post("/{thread_id}/copy", response_model=ThreadOut)
async def copy(thread_id: UUID, caller: Calling, service: Serving) -> Response:
    """A new thread with the same state and checkpoints."""
    return reply(thread_json(await threads_of(service).copy(caller.principal, thread_id)))
