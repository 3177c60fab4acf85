"""Frames between a host and its child process: a JSON header, and bytes that are passed on unread."""

import asyncio
import contextlib
import struct
from typing import Any

import orjson

from fiel.infra.hosts.wire import dumps

_SIZES = struct.Struct("!II")
LARGEST = 512 * 2**20
"""Largest frame, bytes: beyond it one side has lost its place."""

Header = dict[str, Any]


def pack(header: Header, body: bytes = b"") -> bytes:
    """One frame."""
    head = dumps(header)
    return _SIZES.pack(len(head), len(body)) + head + body


async def unpack(reader: asyncio.StreamReader) -> tuple[Header, bytes]:
    """The next frame. Raises EOFError where the other side is gone."""
    try:
        head, body = _SIZES.unpack(await reader.readexactly(_SIZES.size))
        if head + body > LARGEST:
            raise EOFError(f"a frame of {head + body} bytes")
        data = await reader.readexactly(head + body)
    except (asyncio.IncompleteReadError, ConnectionError) as error:
        raise EOFError("the other side is gone") from error
    return orjson.loads(data[:head]), data[head:]


class Sender:
    """Writes frames; those of one turn of the event loop leave together."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._waiting: list[bytes] = []

    def send(self, header: Header, body: bytes = b"") -> None:
        """Send without waiting. Whoever sends much keeps to a window."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._flush)
        self._waiting.append(pack(header, body))

    def _flush(self) -> None:
        frames, self._waiting = self._waiting, []
        if not self._writer.is_closing():
            self._writer.write(b"".join(frames))

    async def close(self) -> None:
        """Close the connection; what has not left yet is dropped where the other side is gone."""
        self._waiting = []
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()


class Window:
    """How much of one run may be under way, bytes: beyond it the run waits for whoever reads it."""

    def __init__(self, size: int) -> None:
        self._left = size
        self._free = asyncio.Event()

    async def take(self, size: int) -> None:
        """Wait until there is room. One piece always fits, however large."""
        while self._left <= 0:
            self._free.clear()
            await self._free.wait()
        self._left -= size

    def give(self, size: int) -> None:
        """So much has been read."""
        self._left += size
        if self._left > 0:
            self._free.set()
