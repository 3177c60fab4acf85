"""OpenTelemetry's wire form for spans, written by hand: a span costs a fifth of what the generated classes take.

Field numbers are those of opentelemetry-proto's `trace/v1/trace.proto`, `common/v1/common.proto` and
`resource/v1/resource.proto`. Two serialised `TracesData` put one after the other are one `TracesData`.
"""

import struct
from collections.abc import Mapping, Sequence
from functools import lru_cache

Value = str | bool | int | float
Attributes = Mapping[str, Value]

_TIMES = struct.Struct("<BQBQ")
_DOUBLE = struct.Struct("<d")
_SHORT = [bytes((number,)) for number in range(0x80)]


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _block(tag: bytes, data: bytes) -> bytes:
    """A length-delimited field: `tag` is the encoded field number with wire type 2."""
    size = len(data)
    return tag + (_SHORT[size] if size < 0x80 else _varint(size)) + data


@lru_cache(maxsize=1024)
def _key(name: str) -> bytes:
    return _block(b"\x0a", name.encode())


def _any(value: Value) -> bytes:
    if isinstance(value, str):
        return _block(b"\x0a", value.encode("utf-8", "replace"))
    if isinstance(value, bool):
        return b"\x10\x01" if value else b"\x10\x00"
    if isinstance(value, int):
        return b"\x18" + _varint(value & 0xFFFFFFFFFFFFFFFF)
    return b"\x21" + _DOUBLE.pack(value)


def _pair(tag: bytes, name: str, value: Value) -> bytes:
    return _block(tag, _key(name) + _block(b"\x12", _any(value)))


_recurring = lru_cache(maxsize=8192, typed=True)(_pair)
"""Names, versions, outcomes, ids of a run: most short values come again."""


def attributes(tag: bytes, values: Attributes) -> bytes:
    """Repeated KeyValue fields under `tag`."""
    return b"".join(
        [
            _pair(tag, name, value) if type(value) is str and len(value) > 64 else _recurring(tag, name, value)
            for name, value in values.items()
        ]
    )


_OK = _block(b"\x7a", b"\x18\x01")


@lru_cache(maxsize=1024)
def _named(name: str) -> bytes:
    """Name and kind (internal)."""
    return _block(b"\x2a", name.encode()) + b"\x30\x01"


def span(
    *, trace: bytes, id: bytes, parent: bytes, name: str, start: int, end: int, values: Attributes, error: str | None
) -> bytes:
    """One serialised Span of kind *internal*. Times in nanoseconds since 1970; `error` a code, None where it is ok."""
    status = _OK if error is None else _block(b"\x7a", _block(b"\x12", error.encode()) + b"\x18\x02")
    return b"".join(
        (
            b"\x0a\x10", trace,
            b"\x12\x08", id,
            b"\x22\x08" + parent if parent else b"",
            _named(name),
            _TIMES.pack(0x39, start, 0x41, end),
            attributes(b"\x4a", values),
            status,
        )
    )  # fmt: skip


def identity(data: bytes) -> tuple[str, str]:
    """Id (16 hexadecimal digits) and name of what `span` gave."""
    at = 38 if data[28:30] == b"\x22\x08" else 28  # behind trace and id, and behind the parent where there is one
    size, at, shift = 0, at + 1, 0
    while data[at] & 0x80:
        size, at, shift = size | (data[at] & 0x7F) << shift, at + 1, shift + 7
    size |= data[at] << shift
    return data[20:28].hex(), data[at + 1 : at + 1 + size].decode()


@lru_cache(maxsize=8)
def _head(resource: tuple[tuple[str, str], ...], scope: str) -> tuple[bytes, bytes]:
    return _block(b"\x0a", attributes(b"\x0a", dict(resource))), _block(b"\x0a", _block(b"\x0a", scope.encode()))


def traces(spans: Sequence[bytes], *, resource: tuple[tuple[str, str], ...], scope: str = "fiel") -> bytes:
    """A serialised TracesData with `spans`."""
    described, scoped = _head(resource, scope)
    inner = scoped + b"".join([_block(b"\x12", one) for one in spans])
    return _block(b"\x0a", described + _block(b"\x12", inner))
