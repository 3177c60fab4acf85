"""Crons over HTTP."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Response

from fiel.infra.api.auth.caller import Caller, Calling
from fiel.infra.api.routes.resources import crons_of
from fiel.infra.api.service import Service, Serving
from fiel.infra.api.wire.answers import PROBLEMS, chosen, page_headers, partial, reply
from fiel.infra.api.wire.body import JsonRoute
from fiel.infra.api.wire.crons import (
    CronCount,
    CronCreate,
    CronOut,
    CronPatch,
    CronSearch,
    ThreadCronCreate,
    cron_json,
)
from fiel.infra.runs.errors import BadRequest

router = APIRouter(tags=["crons"], route_class=JsonRoute, responses=PROBLEMS)


@router.post("/runs/crons", response_model=CronOut)
async def create(body: CronCreate, caller: Calling, service: Serving) -> Response:
    """Create a cron whose runs have a thread each."""
    await _callable(service, body.webhook)
    cron = await crons_of(service).create(caller.principal, body.new(asker_of(caller)))
    return reply(cron_json(cron, caller.principal.id))


@router.post("/threads/{thread_id}/runs/crons", response_model=CronOut)
async def create_for_thread(thread_id: UUID, body: ThreadCronCreate, caller: Calling, service: Serving) -> Response:
    """Create a cron whose runs share a thread."""
    await _callable(service, body.webhook)
    cron = await crons_of(service).create(caller.principal, body.new(asker_of(caller), thread_id))
    return reply(cron_json(cron, caller.principal.id))


@router.post("/runs/crons/search", response_model=list[partial(CronOut)])  # type: ignore[misc]
async def search(caller: Calling, service: Serving, body: CronSearch | None = None) -> Response:
    """List the caller's crons."""
    body = body or CronSearch()
    page = await crons_of(service).search(caller.principal, body.which(), body.window())
    shown = [chosen(cron_json(cron, caller.principal.id), body.select) for cron in page.items]
    return reply(shown, page_headers(page))


@router.post("/runs/crons/count", response_model=int)
async def count(caller: Calling, service: Serving, body: CronCount | None = None) -> Response:
    """Count the caller's crons."""
    return reply(await crons_of(service).count(caller.principal, (body or CronCount()).which()))


@router.get("/runs/crons/{cron_id}", response_model=CronOut)
async def get(cron_id: UUID, caller: Calling, service: Serving) -> Response:
    """One cron."""
    return reply(cron_json(await crons_of(service).get(caller.principal, cron_id), caller.principal.id))


@router.patch("/runs/crons/{cron_id}", response_model=CronOut)
async def update(cron_id: UUID, body: CronPatch, caller: Calling, service: Serving) -> Response:
    """Change a cron. From now on it runs with the rights that the caller has now."""
    if not body.model_fields_set:
        raise BadRequest("nothing is to be changed", where="body")
    await _callable(service, body.webhook)
    cron = await crons_of(service).update(caller.principal, cron_id, body.change(asker_of(caller)))
    return reply(cron_json(cron, caller.principal.id))


@router.delete("/runs/crons/{cron_id}", status_code=204)
async def delete(cron_id: UUID, caller: Calling, service: Serving) -> Response:
    """Delete a cron; its runs stay."""
    await crons_of(service).delete(caller.principal, cron_id)
    return Response(status_code=204)


async def _callable(service: Service, webhook: str | None) -> None:
    """Refuses an address now that would be refused at each run, when nobody looks. Raises WebhookRefused."""
    if webhook is not None:
        await service.engine.webhooks.check(webhook)


def asker_of(caller: Caller) -> dict[str, Any]:
    """Who asks, as it is kept beside what they ask for: the rights that later runs have, and what they came with."""
    return {
        "groups": sorted(caller.principal.groups),
        "roles": sorted(caller.principal.roles),
        "user": dict(caller.user),
        "credential": caller.credential,
        "kind": caller.kind,
    }
