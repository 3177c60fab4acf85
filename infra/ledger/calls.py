"""A port of a graph's own: any function of plain data, recorded like fiel's ports and served in a replay.

Clocks, ids, tools and what a person is asked (`langgraph.types.interrupt`) become effects of the hop that calls.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import orjson

from fiel.infra.ledger.effects import record
from fiel.infra.ledger.encode import encode

PREFIX = "call:"
"""What the kinds of such effects begin with."""
Call = Callable[..., Awaitable[Any]]


def recorded(name: str, function: Call) -> Call:
    """`function`, which takes and returns what JSON can say, under a name of its own within the graph.

    It returns what a replay will: the answer as JSON gives it back, so a tuple is a list. Raises NotRecordable.
    """

    async def answered(*values: Any, **named: Any) -> Any:
        return orjson.loads(encode(await function(*values, **named), name))

    async def call(*values: Any, **named: Any) -> Any:
        asked = encode({"values": list(values), "named": named}, name)
        return await record.recorded(PREFIX + name, lambda: asked, answered(*values, **named), _value)

    return call


def _value(answer: Any) -> bytes:
    return encode({"value": answer})
