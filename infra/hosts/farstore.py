"""The store that a hosted graph is given: every operation is done by the host, for the run's own caller."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime
from typing import Any

from langgraph.store.base import (
    BaseStore,
    GetOp,
    Item,
    ListNamespacesOp,
    MatchCondition,
    Op,
    PutOp,
    Result,
    SearchItem,
    SearchOp,
)

Ask = Callable[[list[Any]], Awaitable[list[Any]]]
"""Sends operations to the host and waits for their results."""


class FarStore(BaseStore):
    """LangGraph's store over a connection to the host."""

    supports_ttl = True

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._loop = asyncio.get_running_loop()

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        return [result_in(one) for one in await self._ask([op_out(op) for op in ops])]

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        try:
            running = asyncio.get_running_loop()
        except RuntimeError:
            running = None
        if running is self._loop:
            raise asyncio.InvalidStateError("in a coroutine, await the store's methods whose names begin with a")
        return asyncio.run_coroutine_threadsafe(self.abatch(ops), self._loop).result()


_OPS: dict[str, Any] = {kind.__name__: kind for kind in (GetOp, PutOp, SearchOp, ListNamespacesOp)}


def op_out(op: Op) -> list[Any]:
    """An operation as JSON."""
    return [type(op).__name__, op._asdict()]


def op_in(given: list[Any]) -> Op:
    """An operation from JSON."""
    name, fields = given
    for key in ("namespace", "namespace_prefix"):
        if fields.get(key) is not None:
            fields[key] = tuple(fields[key])
    if name == "ListNamespacesOp" and fields.get("match_conditions"):
        fields["match_conditions"] = tuple(_condition(one) for one in fields["match_conditions"])
    op: Op = _OPS[name](**fields)
    return op


def _condition(given: Any) -> MatchCondition:
    fields = given if isinstance(given, dict) else dict(zip(("match_type", "path"), given, strict=True))
    return MatchCondition(fields["match_type"], tuple(fields["path"]))


def result_out(result: Result) -> Any:
    """A result as JSON."""
    if isinstance(result, Item):
        kind = "found" if isinstance(result, SearchItem) else "item"
        return [kind, {**result.dict(), "score": getattr(result, "score", None)}]
    if isinstance(result, list):
        return ["list", [result_out(one) if isinstance(one, Item) else ["namespace", one] for one in result]]
    return ["nothing", None]


def result_in(given: Any) -> Any:
    """A result from JSON."""
    kind, value = given
    if kind == "nothing":
        return None
    if kind == "list":
        return [result_in(one) for one in value]
    if kind == "namespace":
        return tuple(value)
    dates = {key: datetime.fromisoformat(value[key]) for key in ("created_at", "updated_at")}
    space = tuple(value["namespace"])
    if kind == "item":
        return Item(value=value["value"], key=value["key"], namespace=space, **dates)
    return SearchItem(namespace=space, key=value["key"], value=value["value"], score=value["score"], **dates)
