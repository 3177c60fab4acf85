"""Frames: the distinct contents of a run, once each, packed into one blob a flush.

A frame has no digests: whoever reads it computes them anew under the key of the run, so that no content can stand under
a digest that is not its own. Frames of older versions have them, and are held to them.
"""

from collections.abc import Iterable, Iterator
from struct import Struct

from fiel.tools.canonical import content_digest

_LENGTH = Struct("<I")
_MARK = bytes(36)
"""Begins a frame without digests; no digest is nothing but zeros."""


def pack(contents: Iterable[bytes]) -> bytes:
    """A mark, then the length (4 bytes, little endian) and the bytes of each content."""
    parts = [_MARK]
    for content in contents:
        parts += (_LENGTH.pack(len(content)), content)
    return b"".join(parts)


def unpack(data: bytes, mac: bytes) -> Iterator[tuple[str, bytes]]:
    """Contents with their digests under `mac`, the key of the run's digests (empty: SHA-256), in order."""
    bare = data.startswith(_MARK)
    at = len(_MARK) if bare else 0
    while at < len(data):
        said = b"" if bare else data[at : at + 32]
        start = at + len(said) + 4
        (length,) = _LENGTH.unpack_from(data, start - 4)
        content = data[start : start + length]
        digest = content_digest(content, mac)
        if bare or digest == said.hex():
            yield digest, content
        at = start + length
