"""Answers that take their time: held open, kept alive, cut where the client does not read or may not any more."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, cast

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from fiel.infra.runs.events import Event
from fiel.tools.errors import DatabaseUnavailable, FielError

LOG = logging.getLogger("fiel.api")
HEARTBEAT = 5.0
"""Seconds of silence after which something is sent that clients ignore."""
CHECK = 3.0
"""Seconds after which a caller's right to listen is looked at again."""
STALLED = 30.0
"""Seconds that a client may take to read what was sent, before it is cut off."""

Valid = Callable[[], Awaitable[bool]]
"""Whether the caller may still listen."""
Gone = Callable[[], Awaitable[None]]
"""What happens where the client leaves before the end."""


class Cut(Exception):
    """The answer ends here, although there is more."""


@dataclass(slots=True)
class Watchful:
    """Says from time to time whether the caller may go on listening."""

    valid: Valid
    checked: float = 0.0

    async def look(self) -> None:
        """Raises Cut. A database that does not answer leaves the right as it was last seen."""
        now = time.monotonic()
        if not self.checked:
            self.checked = now
        if now - self.checked < CHECK:
            return
        self.checked = now
        with contextlib.suppress(DatabaseUnavailable):
            if not await self.valid():
                raise Cut("the caller's right was revoked")


class Held(Response):
    """An answer whose body comes in pieces. The client may leave; then `gone` is called."""

    def __init__(
        self,
        pieces: AsyncIterator[bytes],
        gone: Gone,
        *,
        media_type: str,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._pieces = pieces
        self._gone = gone
        self._stalled = False
        self.media_type = media_type
        self.status_code = 200
        self.background = None
        self.body = b""
        self.init_headers({"Cache-Control": "no-store", "X-Accel-Buffering": "no", **(headers or {})})
        self.raw_headers = [pair for pair in self.raw_headers if pair[0] != b"content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        start = {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
        await send(start)
        pump = asyncio.create_task(self._pump(send))
        left = asyncio.create_task(_left(receive))
        try:
            await asyncio.wait((pump, left), return_when=asyncio.FIRST_COMPLETED)
            ended = pump.done() and not pump.cancelled() and pump.exception() is None and pump.result()
        finally:
            for task in (pump, left):
                task.cancel()
            await asyncio.gather(pump, left, return_exceptions=True)
        if self._stalled:
            cut_off(scope)
        if not ended:
            await self._gone()

    async def _pump(self, send: Send) -> bool:
        """Send everything; False where the answer was cut short."""
        try:
            async with aclosing(cast("Any", self._pieces)) as pieces:
                async for piece in pieces:
                    async with asyncio.timeout(STALLED):
                        await send({"type": "http.response.body", "body": piece, "more_body": True})
        except (Cut, TimeoutError, FielError) as error:
            self._stalled = isinstance(error, TimeoutError)
            LOG.info("an answer was cut short", extra={"why": type(error).__name__})
            return False
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        return True


def cut_off(scope: Scope) -> None:
    """Drop the connection: one that is closed politely stays until the client has read what was sent."""
    if (drop := scope.get("state", {}).get("cut_off")) is not None:
        drop()


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def stay() -> None:
    """The run goes on without its listener."""


async def server_sent(
    events: AsyncIterator[Event | None], wanted: Callable[[str], bool], valid: Valid
) -> AsyncIterator[bytes]:
    """Events as server-sent ones, with comments where nothing comes for a while."""
    watch, said = Watchful(valid), time.monotonic()
    async with aclosing(cast("Any", events)) as coming:
        async for event in coming:
            await watch.look()
            if event is not None and wanted(event.event):
                said = time.monotonic()
                yield encoded(event)
            elif time.monotonic() - said > HEARTBEAT:
                said = time.monotonic()
                yield b": heartbeat\r\n\r\n"


def encoded(event: Event) -> bytes:
    """One server-sent event. Data is JSON in one line."""
    return b"event: %b\r\ndata: %b\r\nid: %d\r\n\r\n" % (event.event.encode(), event.data, event.seq)


async def whitespace(result: "asyncio.Future[bytes]", valid: Valid) -> AsyncIterator[bytes]:
    """The result, with line ends before it where it takes long: JSON does not mind."""
    watch, said = Watchful(valid), time.monotonic()
    while not result.done():
        await asyncio.wait((result,), timeout=1.0)
        await watch.look()
        if not result.done() and time.monotonic() - said > HEARTBEAT:
            said = time.monotonic()
            yield b"\n"
    yield result.result()


def wants(modes: list[str]) -> Callable[[str], bool]:
    """Which events a listener of some stream modes gets; all without a choice."""
    if not modes:
        return lambda event: True

    def wanted(event: str) -> bool:
        base = event.partition("|")[0]
        if base in ("metadata", "error", "end"):
            return True
        if base == "messages":
            return "messages-tuple" in modes
        return base.partition("/")[0] in modes

    return wanted
