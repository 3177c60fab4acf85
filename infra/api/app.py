"""The application: routes, the layers around them, and the service that lives as long as it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from importlib import import_module, metadata
from typing import Any

from fastapi import APIRouter, Depends, FastAPI
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import BaseRoute

from fiel.infra.api import cors, errors
from fiel.infra.api.auth.gate import gate
from fiel.infra.api.edge import Edge
from fiel.infra.api.limits import BodyLimit
from fiel.infra.api.metrics import Metrics
from fiel.infra.api.routes import NAMES
from fiel.infra.api.service import Opening
from fiel.infra.settings import Settings


def create(settings: Settings, opening: Opening) -> FastAPI:
    """The application over the service that `opening` opens when it starts and closes when it ends."""

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        async with opening() as service:
            app.state.service = service
            yield

    metrics = Metrics()
    app = FastAPI(
        title="fiel",
        version=metadata.version("fiel"),
        description="LangGraph Agent Server protocol, OpenAI's shapes, and fiel's own operations.",
        lifespan=life,
        docs_url=None,  # its page loads scripts from elsewhere: fiel serves one of its own
        redoc_url=None,
        middleware=layers(settings, metrics),
        routes=list(_gated()),
    )
    app.state.metrics = metrics
    errors.register(app)
    app.state.routes = [route for router in _routers() for route in router.routes]
    return app


@cache
def _gated() -> tuple[BaseRoute, ...]:
    """Every route, behind the gate. FastAPI works out a route when it is first asked for, which takes a process half a
    second for them all: whatever applications it makes share them.
    """
    whole = APIRouter(strict_content_type=False)  # Studio sends JSON as text/plain; `Door` keeps other pages out
    for router in _routers():
        whole.include_router(router, dependencies=[Depends(gate)])
    return tuple(whole.routes)


def _routers() -> list[APIRouter]:
    return [import_module(f"fiel.infra.api.routes.{name}").router for name in NAMES]


def layers(settings: Settings, metrics: Metrics) -> list[Middleware]:
    """What a request passes, outermost first."""
    origins = [origin.strip() for origin in settings.cors_origins.split(",") if origin.strip()]
    factories: list[tuple[Any, dict[str, Any]]] = [
        (Edge, {"metrics": metrics}),
        (cors.Door, {"origins": origins, "open_door": settings.auth == "none"}),
        (CORSMiddleware, cors.options(origins)),
        (BodyLimit, {"limit": settings.max_body_mb * 2**20}),
    ]
    return [Middleware(factory, **arguments) for factory, arguments in factories]
