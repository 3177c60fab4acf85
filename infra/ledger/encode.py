"""Values of state channels as canonical bytes, and their digests. Always by value, never by identity."""

from typing import Any

import orjson

from fiel.tools.canonical import content_digest
from fiel.tools.errors import FielError


class NotRecordable(FielError):
    """A value has no canonical form, so it cannot be recorded."""

    code = "not_recordable"


def _message(message: Any) -> dict[str, Any]:
    """A LangChain message by the fields that carry facts; empty ones are left out, so that defaults may grow."""
    plain: dict[str, Any] = {"type": message.type, "content": message.content, "id": message.id}
    for name in ("name", "tool_calls", "invalid_tool_calls", "tool_call_id", "usage_metadata", "status"):
        if value := getattr(message, name, None):
            plain[name] = value
    for name in ("additional_kwargs", "response_metadata"):
        if value := getattr(message, name):
            plain[name] = value
    return plain


def plain(value: Any) -> Any:
    """What orjson does not know: LangChain messages; sets and bytes are not facts of a state."""
    if hasattr(value, "response_metadata") and hasattr(value, "content"):
        return _message(value)
    raise TypeError(type(value).__name__)


SORTED = orjson.OPT_SORT_KEYS


def encode(value: Any, where: str = "") -> bytes:
    """The canonical JSON of a channel's value. Raises NotRecordable."""
    try:
        return orjson.dumps(value, plain, SORTED)
    except TypeError as error:
        raise NotRecordable(f"the value cannot be written as canonical JSON: {error}", where=where) from error


digest = content_digest
"""64 hexadecimal digits, under the key of the run's subject where it has one."""
