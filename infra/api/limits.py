"""Limits: requests a minute a principal, bytes a body.

A principal's allowance is a token bucket in this process: with several API processes each grants it on its own.
"""

import math
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fiel.infra.api.errors import TooLarge, TooMany, body_of, openai_body
from fiel.tools.principal import Principal

MINUTE = 60.0
KEPT = 10_000
"""Principals whose buckets are remembered; a forgotten one is full."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left to a principal, as response headers say it."""

    limit: int
    remaining: int
    reset: int
    """Seconds until all of it is back."""

    def headers(self) -> dict[str, str]:
        return {
            "RateLimit-Limit": str(self.limit),
            "RateLimit-Remaining": str(self.remaining),
            "RateLimit-Reset": str(self.reset),
        }


@dataclass(slots=True)
class Limits:
    """Requests a minute. `rate` 0: as many as they like."""

    rate: int
    clock: Callable[[], float] = time.monotonic
    _buckets: OrderedDict[tuple[str, str], tuple[float, float]] = field(default_factory=OrderedDict)
    """(tenant, id) to what was left, and when."""

    def take(self, principal: Principal) -> Allowance | None:
        """Count one request. Raises TooMany where nothing is left; None where there is no limit."""
        if not self.rate:
            return None
        who, now = (principal.tenant, principal.id), self.clock()
        left, then = self._buckets.pop(who, (float(self.rate), now))
        left = min(float(self.rate), left + (now - then) * self.rate / MINUTE)
        spent = left - 1.0 if left >= 1.0 else left
        self._buckets[who] = (spent, now)
        if len(self._buckets) > KEPT:
            self._buckets.popitem(last=False)
        allowance = Allowance(self.rate, int(spent), math.ceil((self.rate - spent) * MINUTE / self.rate))
        if left < 1.0:
            wait = math.ceil((1.0 - left) * MINUTE / self.rate)
            raise TooMany(
                f"more than {self.rate} requests a minute",
                retry_after=wait,
                hint=f"Try again in {wait} s",
                headers=allowance.headers(),
            )
        return allowance


class _Cut(Exception):
    """The body has grown over the limit."""


class BodyLimit:
    """ASGI middleware: a body over the limit is refused by its announced length, or cut while it is read."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        if not announced.isdigit() or int(announced) > self._limit:
            await self._refuse(scope, send)
            return
        started = False

        async def watch(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, self._counting(receive), watch)
        except _Cut:
            if not started:
                await self._refuse(scope, send)

    def _counting(self, receive: Receive) -> Callable[[], Awaitable[Message]]:
        size = 0

        async def count() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > self._limit:
                raise _Cut
            return message

        return count

    async def _refuse(self, scope: Scope, send: Send) -> None:
        from starlette.responses import JSONResponse

        error = TooLarge(f"the body exceeds {self._limit} bytes", hint="FIEL_MAX_BODY_MB is the limit")
        body = openai_body(413, error.what, error.code) if scope["path"].startswith("/v1/") else body_of(error)
        # What is left of the body is not read: the connection ends with the answer.
        response = JSONResponse(body, 413, {"Connection": "close"})
        await response(scope, _nothing, send)


async def _nothing() -> Message:
    return {"type": "http.disconnect"}
