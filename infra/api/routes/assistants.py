"""Assistants over HTTP."""

from dataclasses import asdict
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Response

from fiel.infra.api.auth.caller import Calling
from fiel.infra.api.routes.resources import assistants_of, threads_of
from fiel.infra.api.service import Service, Serving
from fiel.infra.api.wire.answers import PROBLEMS, chosen, page_headers, partial, reply
from fiel.infra.api.wire.assistants import (
    AssistantCount,
    AssistantCreate,
    AssistantOut,
    AssistantPatch,
    AssistantSearch,
    Version,
    VersionChange,
    VersionSearch,
)
from fiel.infra.api.wire.body import JsonRoute
from fiel.infra.runs.assistants import Assistant
from fiel.infra.runs.errors import BadRequest
from fiel.tools.principal import Principal

router = APIRouter(prefix="/assistants", tags=["assistants"], route_class=JsonRoute, responses=PROBLEMS)


@router.post("", response_model=AssistantOut)
async def create(body: AssistantCreate, caller: Calling, service: Serving) -> Response:
    """Create an assistant, in its first version."""
    do_nothing = body.if_exists == "do_nothing"
    return reply(await assistants_of(service).create(caller.principal, body.new(), do_nothing=do_nothing))


@router.post("/search", response_model=list[partial(AssistantOut)])  # type: ignore[misc]
async def search(caller: Calling, service: Serving, body: AssistantSearch | None = None) -> Response:
    """List assistants: the caller's, and one that the system makes of each graph."""
    body = body or AssistantSearch()
    page = await assistants_of(service).search(caller.principal, body.which(), body.window())
    return reply([chosen(asdict(one), body.select) for one in page.items], page_headers(page))


@router.post("/count", response_model=int)
async def count(caller: Calling, service: Serving, body: AssistantCount | None = None) -> Response:
    """Count assistants."""
    return reply(await assistants_of(service).count(caller.principal, (body or AssistantCount()).which()))


@router.get("/{assistant_id}", response_model=AssistantOut)
async def get(assistant_id: UUID, caller: Calling, service: Serving) -> Response:
    """One assistant."""
    return reply(await assistants_of(service).get(caller.principal, assistant_id))


@router.patch("/{assistant_id}", response_model=AssistantOut)
async def update(assistant_id: UUID, body: AssistantPatch, caller: Calling, service: Serving) -> Response:
    """Make a new version of an assistant, the latest."""
    return reply(await assistants_of(service).update(caller.principal, assistant_id, body.change()))


@router.delete("/{assistant_id}", status_code=204)
async def delete(assistant_id: UUID, caller: Calling, service: Serving, delete_threads: bool = False) -> Response:
    """Delete an assistant with its versions and crons, and the threads whose metadata name it if they are to go too."""
    assistants, principal = assistants_of(service), caller.principal
    await assistants.get(principal, assistant_id)
    if delete_threads:
        threads = threads_of(service)
        await threads.prune(principal, await threads.of_assistant(principal, assistant_id), "delete")
    await assistants.delete(principal, assistant_id)
    return Response(status_code=204)


@router.post("/{assistant_id}/versions", response_model=list[AssistantOut])
async def versions(
    assistant_id: UUID, caller: Calling, service: Serving, body: VersionSearch | None = None
) -> Response:
    """Versions of an assistant, the newest first."""
    body = body or VersionSearch()
    known = assistants_of(service)
    page = await known.versions(caller.principal, assistant_id, body.metadata or {}, body.window())
    return reply(page.items, page_headers(page))


@router.post("/{assistant_id}/latest", response_model=AssistantOut)
async def set_latest(
    assistant_id: UUID,
    caller: Calling,
    service: Serving,
    body: VersionChange | None = None,
    version: Annotated[Version | None, Query(description="In place of a body")] = None,
) -> Response:
    """Make an older version the latest again."""
    wanted = body.version if body else version
    if wanted is None:
        raise BadRequest("no version is given", where="version")
    return reply(await assistants_of(service).set_latest(caller.principal, assistant_id, wanted))


@router.get("/{assistant_id}/graph", response_model=dict[str, list[dict[str, Any]]])
async def graph(assistant_id: str, caller: Calling, service: Serving, xray: str = "false") -> Response:
    """The graph, drawn. `xray`: true, or how many levels of subgraphs."""
    found = await _resolved(service, caller.principal, assistant_id)
    return reply(await service.host.draw(found.graph_id, xray=_depth(xray), config=found.config))


@router.get("/{assistant_id}/schemas", response_model=dict[str, Any])
async def schemas(assistant_id: str, caller: Calling, service: Serving) -> Response:
    """JSON schemas of input, output, state, config and context."""
    found = await _resolved(service, caller.principal, assistant_id)
    return reply(await service.host.schemas(found.graph_id, config=found.config))


@router.get("/{assistant_id}/subgraphs", response_model=dict[str, Any])
async def subgraphs(assistant_id: str, caller: Calling, service: Serving, recurse: bool = False) -> Response:
    """Schemas of the subgraphs, by namespace."""
    found = await _resolved(service, caller.principal, assistant_id)
    return reply(await service.host.subgraphs(found.graph_id, recurse=recurse, config=found.config))


@router.get("/{assistant_id}/subgraphs/{namespace}", response_model=dict[str, Any])
async def subgraph(
    assistant_id: str, namespace: str, caller: Calling, service: Serving, recurse: bool = False
) -> Response:
    """Schemas of the subgraphs at one namespace."""
    found = await _resolved(service, caller.principal, assistant_id)
    shown = await service.host.subgraphs(found.graph_id, namespace=namespace, recurse=recurse, config=found.config)
    return reply(shown)


async def _resolved(service: Service, principal: Principal, name: str) -> Assistant:
    """An assistant by its id, or by its graph's."""
    async with service.database.acting(principal) as connection:
        return await assistants_of(service).resolve(connection, principal, name)


def _depth(text: str) -> bool | int:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    if text.isascii() and text.isdigit() and 0 < int(text[:9]) <= 1000:
        return int(text)
    raise BadRequest("xray is true, false, or a number of levels from 1 to 1000", where="xray")
