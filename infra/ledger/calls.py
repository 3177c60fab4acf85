"""A port of a graph's own: any function of plain data, recorded like fiel's ports and served in a replay.

Clocks, ids, tools and what a person is asked (`langgraph.types.interrupt`) become effects of the hop that calls.
"""

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

import orjson

from fiel.infra.ledger.effects import record
from fiel.infra.ledger.encode import encode

PREFIX = "call:"
"""What the kinds of such effects begin with."""
Call = Callable[..., Awaitable[Any]]
HARMLESS: ContextVar[bool] = ContextVar("fiel_harmless", default=False)
"""Whether the function that is being called may be called by a replay."""


def recorded(name: str, function: Call, *, again: bool = False) -> Call:
    """`function`, which takes and returns what JSON can say, under a name of its own within the graph.

    It returns what a replay will: the answer as JSON gives it back, so a tuple is a list. `again`: it changes nothing
    outside, as a clock, so that a replay under a change may call it for what was not asked then. Raises NotRecordable.
    """

    async def answered(*values: Any, **named: Any) -> Any:
        return orjson.loads(encode(await function(*values, **named), name))

    async def call(*values: Any, **named: Any) -> Any:
        asked = encode({"values": list(values), "named": named}, name)
        harmless = HARMLESS.set(again)
        try:
            return await record.recorded(PREFIX + name, lambda: asked, answered(*values, **named), _value)
        finally:
            HARMLESS.reset(harmless)

    return call


def _value(answer: Any) -> bytes:
    return encode({"value": answer})
