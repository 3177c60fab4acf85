"""Frames: the distinct contents of a run, once each by digest, packed into one blob a flush."""

from collections.abc import Iterator, Mapping
from struct import Struct

_LENGTH = Struct("<I")


def pack(contents: Mapping[str, bytes]) -> bytes:
    """Digest (32 bytes), length (4, little endian), content; one after the other."""
    parts: list[bytes] = []
    for digest, content in contents.items():
        parts += (bytes.fromhex(digest), _LENGTH.pack(len(content)), content)
    return b"".join(parts)


def unpack(data: bytes) -> Iterator[tuple[str, bytes]]:
    """What `pack` was given, in order."""
    at = 0
    while at < len(data):
        (length,) = _LENGTH.unpack_from(data, at + 32)
        yield data[at : at + 32].hex(), data[at + 36 : at + 36 + length]
        at += 36 + length
