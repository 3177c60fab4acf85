"""Branches as LangGraph wants them, at the price of a function call."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast, get_args, get_type_hints

from langchain_core.runnables import Runnable, RunnableConfig
from langgraph.graph.state import CompiledStateGraph

from fiel.graphs.answer.state import State

Route = Callable[[Mapping[str, Any]], str]
G = TypeVar("G", bound=CompiledStateGraph[Any, Any, Any, Any])

_READ = "__pregel_read"
"""Where LangGraph keeps the function that reads channels: `(names, fresh)`; fresh: after the writes of this hop."""
_ROUTED = [channel for channel in get_type_hints(State) if channel != "messages"]
"""What a route may read: what a hop writes there replaces what stood there."""


class Branch(Runnable[State, str]):
    """A pure route.

    LangGraph would run a plain function in a thread, and a coroutine in a task of its own with callbacks around it;
    either costs more than the hop. A route decides from the state alone, so nobody needs to be told of it.
    """

    def __init__(self, route: Route) -> None:
        self._route = route
        self.name = route.__name__

    def invoke(self, input: State, config: RunnableConfig | None = None, **kwargs: Any) -> str:
        return self._route(state_after(input, config))

    async def ainvoke(self, input: State, config: RunnableConfig | None = None, **kwargs: Any) -> str:
        return self._route(state_after(input, config))


def state_after(written: Any, config: RunnableConfig | None) -> Mapping[str, Any]:
    """The state after a hop that has written `written`; of `messages` no more than what it wrote."""
    read = (config or {}).get("configurable", {}).get(_READ)
    if read is None:
        return cast("Mapping[str, Any]", written)
    if type(written) is dict:
        return {**read(_ROUTED, False), **written}
    return cast("Mapping[str, Any]", read(_ROUTED, True))  # an edit of the state may be a command


def ends(route: Route) -> list[str]:
    """Where a route may lead, from its annotation; the drawing needs to know."""
    return list(get_args(get_type_hints(route)["return"]))


def lightly(graph: G) -> G:
    """`graph`, each of whose branches reads what it needs itself.

    LangGraph would copy every channel before each branch, to apply to the copies what the hop has written. A version of
    it that keeps its readers elsewhere only makes that work again: a branch that is given the state reads the same.
    """
    for node in graph.nodes.values():
        for writer in node.writers:
            kept = getattr(writer, "kwargs", {})
            if "reader" in kept:
                kept["reader"] = None
    return graph
