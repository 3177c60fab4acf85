"""Canonical JSON and digests: the one byte form in which fiel compares, hashes and stores facts.

The form is RFC 8785 (JSON Canonicalization Scheme) in a restricted profile, so that a fast encoder gives equal bytes:
keys are ASCII strings, integers lie within ±(2^53 - 1), and there are no floats (scores are decimal strings, see
`score`). `canonical` refuses whatever lies outside the profile instead of writing bytes that another
implementation would not.
"""

import hashlib
import hmac
from contextvars import ContextVar
from typing import Any

import orjson

MAX_INTEGER = 2**53 - 1
_OPTIONS = orjson.OPT_SORT_KEYS


def _check(value: Any, path: str = "$") -> None:
    if value is None or isinstance(value, bool | str):
        return
    if isinstance(value, int):
        if abs(value) > MAX_INTEGER:
            raise ValueError(f"{path}: {value} lies outside ±(2^53 - 1)")
        return
    if isinstance(value, dict):
        for key, item in value.items():
            if not (isinstance(key, str) and key.isascii()):
                raise ValueError(f"{path}: key {key!r} is not an ASCII string")
            _check(item, f"{path}.{key}")
        return
    if isinstance(value, list | tuple):
        for index, item in enumerate(value):
            _check(item, f"{path}[{index}]")
        return
    raise ValueError(f"{path}: a {type(value).__name__} has no canonical form here")


def canonical(value: Any) -> bytes:
    """The canonical JSON of `value` (UTF-8). Raises ValueError for what lies outside the profile."""
    _check(value)
    return orjson.dumps(value, option=_OPTIONS)


def canonical_trusted(value: Any) -> bytes:
    """`canonical` without the walk over the value, for facts whose types the caller has just built itself."""
    return orjson.dumps(value, option=_OPTIONS)


def digest(data: bytes) -> str:
    """SHA-256 of `data`, 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def digest_of(value: Any) -> str:
    """SHA-256 of the canonical form of `value`."""
    return digest(canonical(value))


def digest_trusted(value: Any) -> str:
    """SHA-256 of `canonical_trusted(value)`: for facts whose form a recorder or a hop has fixed already."""
    return digest(canonical_trusted(value))


class Mac(bytes):
    """A key of digests, at most 64 bytes, from which HMAC-SHA256 (RFC 2104) is ready to begin: of short data, it takes
    a third of what the library takes with the bare bytes. What it has ready goes with it."""

    def __init__(self, key: bytes) -> None:
        if len(key) > 64:
            raise ValueError(f"a key of digests has at most 64 bytes, this one {len(key)}")
        block = key.ljust(64, b"\0")
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block))
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in block))

    def __reduce__(self) -> tuple[type["Mac"], tuple[bytes]]:
        return Mac, (bytes(self),)  # what is ready cannot be sent to another process, and is made there anew

    def of(self, data: bytes) -> str:
        """The digest of `data`, 64 hexadecimal digits."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(data)
        outer.update(inner.digest())
        return outer.hexdigest()


CONTENT_KEY: ContextVar[bytes] = ContextVar("fiel_content_key", default=b"")
"""Key of the digests of contents in the hop that runs; empty where nothing records it."""


def content_digest(data: bytes, key: bytes | None = None) -> str:
    """Digest of what somebody asked, read or wrote: HMAC-SHA256 under `key`, or that of the hop; SHA-256 without one.

    Under a key that can be destroyed, so that nobody can guess short texts from their digests afterwards.
    """
    key = CONTENT_KEY.get() if key is None else key
    if type(key) is Mac:
        return key.of(data)
    return hmac.digest(key, data, "sha256").hex() if key else hashlib.sha256(data).hexdigest()


def content_digest_trusted(value: Any) -> str:
    """`content_digest` of `canonical_trusted(value)`."""
    return content_digest(canonical_trusted(value))


def score(value: float) -> str:
    """A score as a decimal string with six places: `0.983112`. The same number gives the same bytes everywhere."""
    text = f"{value:.6f}"
    return "0.000000" if text == "-0.000000" else text
