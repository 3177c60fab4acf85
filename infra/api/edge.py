"""The edge: what every request passes, outermost: its id, its log line, its metrics, and the last net for errors."""

import logging
import re
import time
import uuid

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fiel.infra.api.errors import crashed
from fiel.infra.api.logs import REQUEST, RUN
from fiel.infra.api.metrics import Metrics

LOG = logging.getLogger("fiel.api")
_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_QUIET = ("/ok", "/ready", "/metrics")
"""Asked every few seconds by whoever watches: not logged while they are answered well."""


class Edge:
    """ASGI middleware of one application."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        watch = _Watch(scope, send, self._metrics)
        tokens = (REQUEST.set(watch.id), RUN.set(""))
        self._metrics.open.inc()
        try:
            await self._app(scope, receive, watch.send)
        except Exception as error:  # the edge: its text may hold a user's and goes nowhere
            LOG.error("request crashed", exc_info=error)
            self._metrics.crashes.inc()
            if scope["type"] == "http" and not watch.status:
                await crashed(scope["path"])(scope, receive, watch.send)
        finally:
            self._metrics.open.dec()
            watch.finish()
            REQUEST.reset(tokens[0])
            RUN.reset(tokens[1])


class _Watch:
    """Looks at one answer as it leaves."""

    def __init__(self, scope: Scope, send: Send, metrics: Metrics) -> None:
        self._scope = scope
        self._send = send
        self._metrics = metrics
        self._began = time.perf_counter()
        self.id = request_id(scope)
        self.status = 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["X-Request-ID"] = self.id
            allowance = self._scope.get("state", {}).get("allowance")
            if allowance is not None:
                headers.update(allowance.headers())
            self._first(headers.get("Content-Location", ""))
        elif message["type"] == "websocket.accept":
            self.status = 101
            self._first("")
        await self._send(message)

    def _first(self, location: str) -> None:
        """The answer begins."""
        run = re.search(r"/runs/([0-9a-f-]{36})", location) or re.search(r"/runs/([0-9a-f-]{36})", self._scope["path"])
        if run:
            RUN.set(run[1])
        method = self._scope.get("method", "WEBSOCKET")
        self._metrics.seconds.labels(method, route_of(self._scope)).observe(time.perf_counter() - self._began)

    def finish(self) -> None:
        """The answer has ended."""
        method, route = self._scope.get("method", "WEBSOCKET"), route_of(self._scope)
        self._metrics.requests.labels(method, route, str(self.status or "none")).inc()
        if route in _QUIET and self.status == 200:
            return
        caller = self._scope.get("state", {}).get("caller")
        LOG.info(
            "request",
            extra={
                "method": method,
                "route": route,
                "status": self.status,
                "ms": round((time.perf_counter() - self._began) * 1000, 1),
                "caller": caller.principal.id if caller else None,
                "tenant": caller.principal.tenant if caller else None,
            },
        )


def request_id(scope: Scope) -> str:
    """The client's own id, if it is one that may stand in a log; else a new one."""
    given = dict(scope["headers"]).get(b"x-request-id", b"").decode("latin-1")
    return given if _ID.fullmatch(given) else str(uuid.uuid4())


def route_of(scope: Scope) -> str:
    """Template of the route: a path may hold what a user wrote."""
    return str(getattr(scope.get("route"), "path", "(none)"))
