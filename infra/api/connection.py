"""One connection: whoever does not say what they want in time, or at too great a length, is cut off.

uvicorn alone waits for ever for a request that never comes, and keeps a head of any length that has no end.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_SECONDS = 75.0
"""How long a client may take until its request's head is whole: also how long a silent connection is kept."""
HEAD_BYTES = 64 * 2**10
"""Bytes of a head after the piece in which it began; a piece has 256 KiB at most."""


class Connection(HttpToolsProtocol):
    """HTTP/1.1, and the way to WebSocket. `cut_off` in a request's state drops the connection at once."""

    _deadline: asyncio.TimerHandle | None = None
    _in_head = False
    _size = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._deadline = self.loop.call_later(HEAD_SECONDS, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        self._in_time()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        begun = self._in_head
        super().data_received(data)
        if begun and self._in_head:
            self._size += len(data)
            if self._size > HEAD_BYTES and not self.transport.is_closing():
                self.send_400_response("The head of the request is too long.")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head, self._size = True, 0
        if self._deadline is None:
            self._deadline = self.loop.call_later(HEAD_SECONDS, self.transport.abort)

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._in_time()
        state: dict[str, Any] = self.scope["state"]
        state["cut_off"] = self.transport.abort
        super().on_headers_complete()

    def handle_websocket_upgrade(self) -> None:
        self.app_state = {**self.app_state, "cut_off": self.transport.abort}
        super().handle_websocket_upgrade()

    def _in_time(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
