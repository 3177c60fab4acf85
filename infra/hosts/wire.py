"""What graphs hold, as JSON: messages, interrupts, dataclasses, errors, and whatever else stands in a state."""

import base64
import re
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from datetime import timedelta, tzinfo
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
from langgraph.types import Send

_OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS
_SURROGATE = re.compile("[\ud800-\udfff]")
_DEEPEST = 200
"""Levels of nesting that are written where a value needs taming; what lies deeper is null."""


def dumps(value: Any) -> bytes:
    """JSON of any value of a graph. What has no JSON is null; it never raises for what a graph may hold."""
    try:
        return orjson.dumps(value, default=_plain, option=_OPTIONS)
    except (TypeError, RecursionError):
        # Surrogates, integers beyond 64 bits, odd keys, cycles: rare, so only then is all of it walked.
        return orjson.dumps(_tame(value, 0), option=_OPTIONS)


def _plain(value: Any) -> Any:
    """What orjson cannot write itself, in terms of what it can; None for what has no JSON."""
    if isinstance(value, type):
        return None
    for method in ("model_dump", "dict", "_asdict"):
        if callable(found := getattr(value, method, None)):
            return found()
    for kind, convert in _CONVERSIONS:
        if isinstance(value, kind):
            return convert(value)
    return str(value) if type(value).__module__ == "ipaddress" else None


def _error(error: BaseException) -> dict[str, str]:
    return {"error": type(error).__name__, "message": str(error)}


def _decimal(value: Decimal) -> int | float:
    return int(value) if value.is_finite() and value == value.to_integral_value() else float(value)


_CONVERSIONS: tuple[tuple[Any, Callable[[Any], Any]], ...] = (
    (Send, lambda send: {"node": send.node, "input": send.arg}),
    (BaseException, _error),
    ((set, frozenset, deque), list),
    (Mapping, dict),
    (timedelta, timedelta.total_seconds),
    (Decimal, _decimal),
    ((bytes, bytearray, memoryview), lambda data: base64.b64encode(data).decode()),
    (re.Pattern, lambda pattern: pattern.pattern),
    (tzinfo, lambda zone: zone.tzname(None)),
    (Path, str),
)


def _tame(value: Any, depth: int) -> Any:
    """`value` as plain data that orjson surely writes."""
    if depth > _DEEPEST:
        return None
    if value is None or isinstance(value, bool | float | UUID):
        return value
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", value)
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**64 else str(value)
    if isinstance(value, Enum):
        return _tame(value.value, depth + 1)
    if isinstance(value, Mapping):
        return {_SURROGATE.sub("\ufffd", str(key)): _tame(one, depth + 1) for key, one in value.items()}
    if isinstance(value, list | tuple) and not hasattr(value, "_asdict"):
        return [_tame(one, depth + 1) for one in value]
    if is_dataclass(value) and not isinstance(value, type):
        return {one.name: _tame(getattr(value, one.name), depth + 1) for one in fields(value)}
    try:
        return orjson.loads(orjson.dumps(value, option=_OPTIONS))
    except (TypeError, RecursionError):
        return _tame(_plain(value), depth + 1)
