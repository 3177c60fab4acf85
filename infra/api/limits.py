"""Limits: requests a minute a principal, bytes a body.

A principal's allowance is a token bucket in this process: with several API processes each grants it on its own.
"""

import asyncio
import json
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fiel.infra.api.errors import TooLarge, TooMany, TooSlow, body_of, openai_body, status_of
from fiel.tools.errors import FielError
from fiel.tools.principal import Principal

MINUTE = 60.0
SLOWEST = 300.0
"""Seconds until a body must be there."""
LINGER = 10.0
THROWN = 128 * 2**20
"""Seconds and bytes for which a body that was refused is read and thrown away."""
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


class BodyLimit:
    """ASGI middleware: a body over the limit is refused by its announced length, or cut while it is read.

    One that does not come to its end in time is refused too.
    """

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        if not announced.isdigit() or int(announced) > self._limit:
            await self._refuse(scope, receive, send)
            return
        body = _Body(self._limit, receive, send)
        await self._app(scope, body.receive, body.send)
        if body.late and not body.started:
            await self._refuse(scope, receive, send, TooSlow(f"the body did not come within {SLOWEST:g} s"))
        elif body.cut and not body.started:
            await self._refuse(scope, receive, send)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send, why: FielError | None = None) -> None:
        error = why or TooLarge(f"the body exceeds {self._limit} bytes", hint="FIEL_MAX_BODY_MB is the limit")
        status = status_of(error)
        told = openai_body(status, error.what, error.code) if scope["path"].startswith("/v1/") else body_of(error)
        text = json.dumps(told).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(text)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": [*headers, (b"connection", b"close")]})
        await send({"type": "http.response.body", "body": text, "more_body": True})
        # A client that still writes would be cut off before it reads this: what it sends is thrown away for a while.
        with suppress(TimeoutError):
            await asyncio.wait_for(_discard(receive), LINGER)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


class _Body:
    """One request's body as it is read: over the limit it ends as if the client had gone, and no answer leaves."""

    def __init__(self, limit: int, receive: Receive, send: Send) -> None:
        self._limit = limit
        self._receive = receive
        self._send = send
        self._size = 0
        self._whole = False
        self._until = asyncio.get_running_loop().time() + SLOWEST
        self.cut = False
        self.late = False
        self.started = False

    async def receive(self) -> Message:
        if self.cut:
            return {"type": "http.disconnect"}
        message = await self._receive() if self._whole else await self._in_time()
        self._whole = not message.get("more_body")
        self._size += len(message.get("body", b""))
        self.cut = self.late or self._size > self._limit
        return {"type": "http.disconnect"} if self.cut else message

    async def _in_time(self) -> Message:
        try:
            async with asyncio.timeout_at(self._until):
                return await self._receive()
        except TimeoutError:
            self.late = True
            return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if self.started or not self.cut:
            self.started = True
            await self._send(message)


async def _discard(receive: Receive) -> None:
    thrown = 0
    while thrown < THROWN:
        message = await receive()
        thrown += len(message.get("body", b""))
        if message["type"] == "http.disconnect" or not message.get("more_body"):
            return
