"""Operation: is it alive, is it ready, what is it, how does it fare, what does it offer."""

from importlib import metadata
from typing import Any

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import HTMLResponse

from fiel.infra.api.auth.authenticator import is_loopback
from fiel.infra.api.auth.caller import authenticated
from fiel.infra.api.docs import page
from fiel.infra.api.metrics import Metrics
from fiel.infra.api.service import Serving
from fiel.infra.api.wire.answers import PROBLEMS
from fiel.tools.errors import NotPermitted, Unavailable


class NotReady(Unavailable):
    """The process cannot run graphs yet."""

    code = "not_ready"


router = APIRouter(tags=["System"], responses=PROBLEMS)
POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip")


@router.head("/ok", include_in_schema=False)
@router.get("/ok")
async def ok(service: Serving, check_db: bool = False) -> dict[str, bool]:
    """The process answers; with `check_db` PostgreSQL does too."""
    if check_db:
        await _database(service)
    return {"ok": True}


@router.head("/ready", include_in_schema=False)
@router.get("/ready")
async def ready(service: Serving) -> dict[str, Any]:
    """The process can run graphs: PostgreSQL answers, and the graphs are loaded. 503 where it cannot."""
    await _database(service)
    if not service.loaded():
        raise NotReady("the graphs are being loaded")
    return {"ready": True, "graphs": list(service.host.graph_ids())}


@router.get("/info")
async def info() -> dict[str, Any]:
    """What this server is, as SDKs and Studio ask it."""
    return {
        "version": metadata.version("fiel"),
        "langgraph_py_version": metadata.version("langgraph"),
        "flags": {"assistants": True, "crons": True, "langsmith": False, "langsmith_tracing_replicas": False},
        "host": {"kind": "self-hosted", "name": "fiel"},
    }


@router.get("/metrics", response_class=Response)
async def metrics(request: Request, service: Serving) -> Response:
    """Prometheus metrics: for this machine, and for administrators, auditors and developers elsewhere."""
    if not _from_here(request):
        caller = await authenticated(request)
        if not caller.principal.may("administrator", "auditor", "developer"):
            raise NotPermitted("metrics are for administrators, auditors and developers", where="/metrics")
    told: Metrics = request.app.state.metrics
    told.runs.set(len(service.engine.works))
    told.ready.set(service.loaded())
    if (chores := service.engine.chores) is not None:
        told.unsealed.set(chores.sealing.age)
    if service.house is not None:
        told.search_widened.set(service.house.corpus.index.widened)
        told.search_short.set(service.house.corpus.index.short)
    if service.house is not None and service.house.reloader is not None:
        told.policies_stale.set(service.house.reloader.problem is not None)
        told.policies_reloads.set(service.house.reloader.reloads)
    return Response(generate_latest(told.registry), media_type=CONTENT_TYPE_LATEST)


@router.get("/docs", response_class=HTMLResponse, include_in_schema=False)
async def docs(request: Request) -> HTMLResponse:
    """What the service offers, for a person."""
    return HTMLResponse(page(request.app.openapi()), headers={"Content-Security-Policy": POLICY})


def _from_here(request: Request) -> bool:
    """Whether this machine asks on its own behalf: a proxy on it asks for others."""
    host = request.client.host if request.client else ""
    return is_loopback(host) and not any(name in request.headers for name in FORWARDED)


async def _database(service: Serving) -> None:
    async with service.database.single() as connection:
        await connection.execute("SELECT 1")
