"""OpenTelemetry's JSON as MLflow gives it back: values of attributes, and ids."""

import base64
from collections.abc import Callable, Mapping
from typing import Any


def _as_it_is(text: str) -> Any:
    return text


def value_of(value: Mapping[str, Any], text: Callable[[str], Any] = _as_it_is) -> Any:
    """A value. Lists and mappings are spelled out in OpenTelemetry's way; `text` reads a string."""
    found: tuple[str, Any] = next(iter(value.items()), ("", None))
    kind, inner = found
    if kind in ("array_value", "arrayValue"):
        return [value_of(one, text) for one in inner.get("values", ())]
    if kind in ("kvlist_value", "kvlistValue"):
        return {one["key"]: value_of(one.get("value", {}), text) for one in inner.get("values", ())}
    if kind in ("int_value", "intValue"):
        return int(inner)
    return text(inner) if isinstance(inner, str) else inner


def id_of(text: str) -> str:
    """Hexadecimal digits of an id of a span (16) or a trace (32): protobuf's JSON has it in base64."""
    if len(text) in (16, 32):
        return text
    return base64.b64decode(text).hex() if text else ""
