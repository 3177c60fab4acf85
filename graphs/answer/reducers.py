"""How what comes in joins the state: as text that can be hashed, stored and sent.

Half a surrogate pair has no UTF-8, and PostgreSQL stores no NUL. Either would end the run with an error of the ledger
or of the checkpointer, before a check has seen it; so each becomes SUB, which says *a character was lost* and which the
checks refuse as a control character.
"""

import re
from typing import Any

from langchain_core.messages import AnyMessage
from langgraph.graph.message import add_messages

_LOST = re.compile("[\x00\ud800-\udfff]")
_FIELDS = ("content", "id", "name", "additional_kwargs", "response_metadata")


def merged(left: Any, right: Any) -> list[AnyMessage]:
    """`add_messages`, of messages whose text can be read."""
    return [_readable(message) for message in add_messages(left, right)]


def replaced(left: str, right: str) -> str:
    """The new text, readable."""
    return str(readable(right))


def readable(value: Any) -> Any:
    """`value` with every lost character as SUB; the very same object where there is none."""
    if isinstance(value, str):
        return _LOST.sub("\x1a", value) if _LOST.search(value) else value
    if isinstance(value, dict):
        entries = {readable(key): readable(item) for key, item in value.items()}
        return value if entries == value else entries
    if isinstance(value, list):
        items = [readable(item) for item in value]
        return value if items == value else items
    return value


def _readable(message: Any) -> Any:
    changed = {}
    for name in _FIELDS:
        before = getattr(message, name, None)
        if before and (after := readable(before)) is not before:
            changed[name] = after
    return message.model_copy(update=changed) if changed else message
