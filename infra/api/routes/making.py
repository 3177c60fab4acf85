"""From a request for a run to a run: what the routes of runs share."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

from fastapi import Request, Response

from fiel.infra.api.auth.caller import Caller
from fiel.infra.api.live import Gone, Held, server_sent, stay, wants, whitespace
from fiel.infra.api.routes.resources import assistants_of
from fiel.infra.api.service import Service
from fiel.infra.api.wire.runs import RunCreate
from fiel.infra.runs.engine import Engine
from fiel.infra.runs.errors import BadRequest, NotFound
from fiel.infra.runs.names import new_id, system_assistant
from fiel.infra.runs.runs import Run
from fiel.infra.runs.spec import Asker, Basis
from fiel.infra.runs.work import Work
from fiel.tools.errors import FielError

PROMPT = 0.2
"""Seconds within which a result is sent as one piece; later, headers go ahead of it."""


def engine_of(service: Service) -> Engine:
    return service.engine


def asking(caller: Caller) -> Asker:
    return Asker(caller.principal, dict(caller.user), caller.credential, caller.kind)


def valid_of(service: Service, caller: Caller) -> Callable[[], Awaitable[bool]]:
    """Whether the caller's credential is still good."""

    async def valid() -> bool:
        return await service.authenticator.still_valid(caller)

    return valid


async def basis(service: Service, caller: Caller, name: str) -> Basis:
    """What the assistant gives to a run; the system's without a query. Raises NotFound."""
    graphs = service.host.graph_ids()
    for graph in graphs:
        assistant_id = system_assistant(graph)
        if name in (graph, str(assistant_id)):
            return Basis(assistant_id=assistant_id, graph_id=graph, metadata={"created_by": "system"})
    try:
        assistant_id = UUID(name)
    except ValueError:
        hint = f"An assistant's id, or a graph: {', '.join(graphs)}"
        raise NotFound(f"there is no assistant {name[:100]!r}", hint=hint) from None
    found = await assistants_of(service).get(caller.principal, assistant_id)
    return Basis(
        assistant_id=found.assistant_id,
        graph_id=found.graph_id,
        config=found.config,
        context=found.context,
        metadata=found.metadata,
    )


@dataclass(frozen=True, slots=True)
class Made:
    """A run that was made, with its work where that is done here."""

    run: Run
    work: Work | None

    @property
    def place(self) -> str:
        return f"/threads/{self.run.spec.thread_id}/runs/{self.run.run_id}"


async def make(
    service: Service,
    caller: Caller,
    body: RunCreate,
    thread_id: UUID | None,
    *,
    recorded: bool = True,
    heard: bool = True,
) -> Made:
    """Make the run. Without a thread it gets one of its own. `heard`: whether whoever asks listens to it from now on.

    Raises NotFound, Conflict, BadRequest.
    """
    if thread_id is None and (body.command_of() or {}).get("resume") is not None:
        raise BadRequest("there is nothing to resume without a thread", where="command.resume")
    if thread_id is not None and body.on_completion == "delete":
        raise BadRequest("a thread that was there before the run does not go with it", where="on_completion")
    if not heard and body.on_disconnect == "cancel":
        raise BadRequest("nobody listens to a run that is only made", where="on_disconnect")
    engine = engine_of(service)
    spec = body.spec(
        await basis(service, caller, body.assistant_id),
        thread_id or new_id(),
        stateless=thread_id is None,
        recorded=recorded,
    )
    run, work = await engine.submit(asking(caller), spec)
    return Made(run, work)


def leaving(service: Service, caller: Caller, run: Run, on_disconnect: str | None) -> Gone:
    """What happens to a run whose listener leaves."""
    if on_disconnect != "cancel":
        return stay

    async def cancel() -> None:
        with suppress(FielError):
            await engine_of(service).cancel(
                caller.principal, "interrupt", thread_id=run.spec.thread_id, run_ids=[run.run_id]
            )

    return cancel


async def waited(
    service: Service,
    caller: Caller,
    request: Request,
    made: Made,
    on_disconnect: str | None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The result of a run, once it has ended."""
    engine = engine_of(service)
    place = {"Location": f"{made.place}/join", "Content-Location": made.place, **(headers or {})}
    result = asyncio.ensure_future(_body(engine, caller, made))
    done, _ = await asyncio.wait((result,), timeout=PROMPT)
    if done:
        return Response(result.result(), 200, place, media_type="application/json")
    gone = leaving(service, caller, made.run, on_disconnect)
    pieces = whitespace(result, valid_of(service, caller))
    return Held(pieces, gone, media_type="application/json", headers=place)


async def _body(engine: Engine, caller: Caller, made: Made) -> bytes:
    try:
        return (await engine.wait(caller.principal, made.run.run_id, made.work)).body
    except NotFound:
        return b"{}"  # rolled back or deleted meanwhile


def streamed(
    service: Service,
    caller: Caller,
    run: Run,
    *,
    after: int = 0,
    modes: list[str] | None = None,
    on_disconnect: str | None = None,
) -> Response:
    """The events of a run as they come."""
    place = f"/threads/{run.spec.thread_id}/runs/{run.run_id}"
    events = engine_of(service).watched(caller.principal, run.run_id, after)
    pieces = server_sent(events, wants(modes or []), valid_of(service, caller))
    gone = leaving(service, caller, run, on_disconnect)
    headers = {"Location": f"{place}/stream", "Content-Location": place}
    return Held(pieces, gone, media_type="text/event-stream", headers=headers)
