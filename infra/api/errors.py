"""Errors over HTTP: `{"detail", "code", "where", "hint"}`, in OpenAI's shape under /v1; never a text of users."""

import logging
from collections.abc import Mapping
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from fiel.tools.errors import FielError, NotPermitted, Unavailable, UsageError

LOG = logging.getLogger("fiel.api")

STATUS: dict[str, int] = {
    "not_authenticated": 401,
    "collection_not_found": 404,
    "unknown_graph": 404,
    "unknown_checkpoint": 404,
    "not_found": 404,
    "user_not_found": 404,
    "group_not_found": 404,
    "target_not_found": 404,
    "conflict": 409,
    "bad_request": 400,
    "too_large": 413,
    "too_slow": 408,
    "too_many": 429,
    "spend_reached": 429,
    "graph_failed": 500,
    "document_not_found": 404,
    "key_erased": 410,
    "key_unavailable": 503,
    "run_not_found": 404,
    "not_replayable": 409,
}
"""Status by the error's code, where its class does not say it."""
REFUSALS = (401, 403, 429)
"""Statuses that are counted by code: who watches the service wants to see them rise."""
BUSY = "1"
"""Retry-After of a service that is unavailable, in seconds."""


class TooLarge(UsageError):
    """The body of the request exceeds the limit."""

    code = "too_large"


class TooSlow(UsageError):
    """The body of the request did not come in time."""

    code = "too_slow"


class TooMany(FielError):
    """A limit of rate or spend is reached."""

    code = "too_many"

    def __init__(
        self, what: str, *, retry_after: int, where: str = "", hint: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(what, where=where, hint=hint)
        self.retry_after = retry_after
        self.headers = dict(headers or {})


def status_of(error: FielError) -> int:
    """HTTP status of an error."""
    own = getattr(error, "status", None)
    if isinstance(own, int):
        return own
    if error.code in STATUS:
        return STATUS[error.code]
    if isinstance(error, NotPermitted):
        return 403
    if isinstance(error, UsageError):
        return 422
    return 503 if isinstance(error, Unavailable) else 500


def headers_of(error: FielError, status: int) -> dict[str, str]:
    """Headers that say what to do about it."""
    if isinstance(error, TooMany):
        return {"Retry-After": str(error.retry_after), **error.headers}
    if status == 401:
        return {"WWW-Authenticate": "Bearer"}
    return {"Retry-After": BUSY} if status == 503 else {}


def body_of(error: FielError) -> dict[str, Any]:
    """An error as clients of the protocol read it."""
    public = error.public()
    return {"detail": public.pop("what"), **public}


_TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}


def openai_body(status: int, what: str, code: str | None, param: str | None = None) -> dict[str, Any]:
    """An error as OpenAI's clients read it."""
    kind = _TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    return {"error": {"message": what, "type": kind, "param": param, "code": code}}


def answer(request: Request, status: int, body: Mapping[str, Any], headers: Mapping[str, str]) -> JSONResponse:
    """The error in the shape of the client that asks."""
    if request.url.path.startswith("/v1/"):
        body = openai_body(status, str(body["detail"]), body.get("code"), body.get("where") or None)
    return JSONResponse(dict(body), status, dict(headers))


async def fiel_error(request: Request, error: Exception) -> JSONResponse:
    """An error that fiel raised on purpose."""
    assert isinstance(error, FielError)  # noqa: S101 - registered for these
    status = status_of(error)
    if status >= 500:
        LOG.warning("request failed", extra={"code": error.code})
    elif status in REFUSALS:
        request.app.state.metrics.refused.labels(error.code).inc()
    return answer(request, status, body_of(error), headers_of(error, status))


async def http_error(request: Request, error: Exception) -> JSONResponse:
    """No such path, no such method, and what a route raised as such."""
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for these
    body = {"detail": error.detail, "code": "http", "where": "", "hint": ""}
    headers = dict(error.headers or {}) | (_allowed(request) if error.status_code == 405 else {})
    return answer(request, _known(request, error.status_code), body, headers)


def _allowed(request: Request) -> dict[str, str]:
    """All methods of a path (RFC 9110, 15.5.6): each is a route of its own, and the first one knows only its own."""
    path = request.scope["path"]
    routes = [route for route in request.app.state.routes if route.path_regex.match(path)]
    return {
        "Allow": ", ".join(sorted({method for route in routes for method in getattr(route, "methods", None) or ()}))
    }


async def invalid(request: Request, error: Exception) -> JSONResponse:
    """A request that does not fit: which field, and why; what stood there is not repeated."""
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for these
    faults = [{"where": _place(fault["loc"]), "what": fault["msg"]} for fault in error.errors()]
    first = faults[0] if faults else {"where": "", "what": "the request is not valid"}
    body = {"detail": f"{first['where']}: {first['what']}", "code": "invalid", "where": first["where"], "hint": ""}
    return answer(request, _known(request, 422), {**body, "errors": faults}, {})


def _known(request: Request, status: int) -> int:
    """OpenAI's clients know 400 where others know 422."""
    return 400 if status == 422 and request.url.path.startswith("/v1/") else status


def _place(loc: tuple[Any, ...] | list[Any]) -> str:
    return ".".join(str(part) for part in loc)


def crashed(path: str) -> JSONResponse:
    """The answer to an error nobody foresaw, whose text may hold a user's: it names none."""
    what, hint = "fiel failed", "The log has more under the request's id"
    if path.startswith("/v1/"):
        return JSONResponse(openai_body(500, f"{what}. {hint}", "internal"), 500)
    return JSONResponse({"detail": what, "code": "internal", "where": "", "hint": hint}, 500)


def register(app: Any) -> None:
    """Answer errors of `app` in these shapes."""
    app.add_exception_handler(FielError, fiel_error)
    app.add_exception_handler(HTTPException, http_error)
    app.add_exception_handler(RequestValidationError, invalid)
