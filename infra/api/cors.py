"""Which pages may call: LangGraph Studio, pages on this machine, and those that FIEL_CORS_ORIGINS names.

Browsers send `Origin` along; a page that may not call is refused before anything is done, also where a request needs
no preflight. Under FIEL_AUTH=none a page needs no token, so there the name of the host must be this machine's too: a
foreign name that resolves to it (DNS rebinding) is refused.
"""

import re
from collections.abc import Sequence
from typing import Any

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from fiel.infra.api.auth.authenticator import is_loopback

STUDIO = ("https://smith.langchain.com", "https://eu.smith.langchain.com", "https://studio.langchain.com")
LOCAL = r"https?://(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?"
EXPOSED = (
    *("Content-Location", "Location", "X-Request-ID", "X-Pagination-Total", "X-Pagination-Next"),
    *("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset", "Retry-After"),
)


def options(origins: Sequence[str]) -> dict[str, Any]:
    """Arguments of `CORSMiddleware`."""
    return {
        "allow_origins": ["*"] if "*" in origins else [*STUDIO, *origins],
        "allow_origin_regex": LOCAL,
        "allow_methods": ["*"],
        "allow_headers": ["*"],
        "expose_headers": list(EXPOSED),
        "allow_private_network": True,
        "max_age": 600,
    }


class Door:
    """ASGI middleware: refuses pages that may not call, and, without authentication, foreign names of this host."""

    def __init__(self, app: ASGIApp, origins: Sequence[str], open_door: bool) -> None:
        self._app = app
        self._allowed = {*STUDIO, *origins}
        self._open = open_door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refusal = self._refusal(headers)
        if not refusal:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            body = {"detail": refusal, "code": "origin_refused", "where": "", "hint": "See FIEL_CORS_ORIGINS"}
            await JSONResponse(body, 403)(scope, receive, send)

    def _refusal(self, headers: Headers) -> str:
        if self._open and not is_loopback(_name(headers.get("host", ""))):
            return "without authentication fiel answers to names of this machine only"
        origin = headers.get("origin")
        if origin is None or "*" in self._allowed or origin in self._allowed or re.fullmatch(LOCAL, origin):
            return ""
        return "pages of this origin may not call"


def _name(host: str) -> str:
    """The name in a Host header."""
    match = re.fullmatch(r"\[([0-9a-fA-F:.]+)\](:\d+)?|([^:]*)(:\d+)?", host)
    return (match[1] or match[3] or "") if match else ""
