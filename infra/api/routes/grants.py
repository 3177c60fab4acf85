"""Grants over HTTP, for curators and administrators: to everybody else each collection and document is not there."""

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Query, Response

from fiel.infra.api.auth.caller import Calling
from fiel.infra.api.service import Service, Serving
from fiel.infra.api.wire.answers import PROBLEMS, reply
from fiel.infra.api.wire.body import JsonRoute
from fiel.infra.api.wire.people import ChangedOut, ExplainedOut, GrantPut, Name
from fiel.infra.callers import group_name
from fiel.infra.corpus.grants import Grants
from fiel.infra.people.people import People
from fiel.tools.principal import Principal

router = APIRouter(prefix="/grants", tags=["grants"], route_class=JsonRoute, responses=PROBLEMS)


@router.put("", response_model=ChangedOut)
async def grant(body: GrantPut, caller: Calling, service: Serving) -> Response:
    """Let a group or a user read a collection or a document, from the next search on."""
    return reply(asdict(await Grants(service.database).grant(caller.principal, body.target, body.to)))


@router.delete("", response_model=ChangedOut)
async def revoke(
    caller: Calling, service: Serving, target: Annotated[Name, Query()], to: Annotated[Name, Query()]
) -> Response:
    """End a grant, from the next search on. Whoever an ingest or another grant allows still reads."""
    return reply(asdict(await Grants(service.database).revoke(caller.principal, target, to)))


@router.get("/explain", response_model=ExplainedOut)
async def explain(
    caller: Calling,
    service: Serving,
    user: Annotated[Name, Query()],
    document: Annotated[Name, Query()],
    group: Annotated[list[Name], Query()] = [],  # noqa: B006 - FastAPI copies defaults
) -> Response:
    """By which names a user, in the groups kept and named, may read a document, and where each was let in."""
    named = frozenset(group_name(one) for one in group)
    reader = await _as_kept(service, caller.principal, user, named)
    paths = await Grants(service.database).explain(caller.principal, reader, document)
    return reply({"readable": bool(paths), "paths": [asdict(path) for path in paths]})


async def _as_kept(service: Service, by: Principal, user: str, groups: frozenset[str]) -> Principal:
    """A reader of the caller's tenant, with what is kept of them."""
    return await People(service.database).as_kept(Principal(by.tenant, user, groups, frozenset({"reader"})))
