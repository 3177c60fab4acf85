"""Graphs that say what they do; the test of lost words holds them up. They are also served from a process of their own.

A node whose name stands in the state as `held` says so in what it says first: whoever writes events may stop there.
"""

import asyncio
import operator
from pathlib import Path
from typing import Annotated, Any

from langgraph.config import get_stream_writer
from langgraph.graph import START, StateGraph
from langgraph.types import interrupt
from typing_extensions import TypedDict

MARK = "held!"
HELD = (MARK.encode(), b'"__interrupt__":[]')
"""What stands in the first word of the node that is held, and in what is said at a breakpoint."""
TICKS = 3


class Told(TypedDict, total=False):
    """Where a run has been."""

    held: str
    gate: str
    """A file for which the node `slow` waits."""
    done: Annotated[list[str], operator.add]


def _says(name: str) -> Any:
    async def say(state: Told) -> Told:
        write = get_stream_writer()
        for number in range(TICKS):
            write({"node": name, "tick": number, "mark": MARK if state.get("held") == name else ""})
        return {"done": [name]}

    return say


async def _ask(state: Told) -> Told:
    interrupt("go on?")
    return await _says("ask")(state)  # type: ignore[no-any-return]


async def _again(state: Told) -> Told:
    return {"done": [str(interrupt(MARK))]}


async def _twice(state: Told) -> Told:
    return {"done": [str(interrupt("go on?")), str(interrupt(MARK))]}


async def _slow(state: Told) -> Told:
    while not Path(state["gate"]).exists():  # noqa: ASYNC110, ASYNC240 - the test makes it
        await asyncio.sleep(0.02)
    return await _says("slow")(state)  # type: ignore[no-any-return]


_ASKING = {"ask": _ask, "again": _again, "twice": _twice}


def row(*names: str) -> StateGraph[Any]:
    """Nodes one after the other."""
    graph: StateGraph[Any] = StateGraph(Told)
    for before, name in zip((START, *names), names, strict=False):
        graph.add_node(name, _ASKING.get(name) or _says(name))
        graph.add_edge(before, name)
    return graph


def beside() -> StateGraph[Any]:
    """`quick` and `slow` side by side, then `last`."""
    graph: StateGraph[Any] = StateGraph(Told)
    graph.add_node("quick", _says("quick")).add_node("slow", _slow).add_node("last", _says("last"))
    graph.add_edge(START, "quick").add_edge(START, "slow")
    return graph.add_edge(["quick", "slow"], "last")


def around(*names: str) -> StateGraph[Any]:
    """A graph inside another."""
    graph: StateGraph[Any] = StateGraph(Told)
    graph.add_node("before", _says("before")).add_node("inner", row(*names).compile())
    return graph.add_edge(START, "before").add_edge("before", "inner")


GRAPHS = {
    "row": row("one", "two", "three"),
    "asks": row("ask", "one", "two"),
    "twice": row("twice"),
    "beside": beside(),
    "around": around("first", "second"),
    "deep": around("ask", "one", "again"),
}
row_graph, asks_graph, twice_graph, beside_graph, around_graph, deep_graph = GRAPHS.values()
