"""A graph that takes as long as its input says, and can be watched from outside."""

import asyncio
import operator
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from langchain_core.runnables import RunnableConfig
from langgraph.config import get_stream_writer
from langgraph.graph import START, StateGraph
from typing_extensions import TypedDict

from tests.api.graphs import PlainHost, plain_host
from tests.conftest import Urls


class Pace(TypedDict, total=False):
    """How a run goes, and how far it came."""

    seconds: float
    ticks: int
    size: int
    fails: str
    done: Annotated[list[str], operator.add]


ACTIVE: list[str] = []
"""Threads on which a node runs in this process at this moment."""
OVERLAPS: list[str] = []
"""Threads on which two did."""


async def _work(state: Pace, config: RunnableConfig) -> Pace:
    thread = config["configurable"]["thread_id"]
    if thread in ACTIVE:
        OVERLAPS.append(thread)
    ACTIVE.append(thread)
    write = get_stream_writer()
    try:
        ticks = state.get("ticks", 0)
        for number in range(ticks):
            write({"tick": number, "text": "x" * state.get("size", 0)})
            await asyncio.sleep(state.get("seconds", 0) / ticks)
        if not ticks:
            await asyncio.sleep(state.get("seconds", 0))
        if state.get("fails"):
            raise RuntimeError(state["fails"])
    finally:
        ACTIVE.remove(thread)
    return {"done": ["work"]}


async def _first(state: Pace) -> Pace:
    return {"done": ["first"]}


def slow() -> StateGraph[Any]:
    """`first` at once, then `work`."""
    graph: StateGraph[Any] = StateGraph(Pace)
    graph.add_node("first", _first).add_node("work", _work)
    return graph.add_edge(START, "first").add_edge("first", "work")


@asynccontextmanager
async def slow_host(urls: Urls) -> AsyncIterator[PlainHost]:
    """The plain host, which serves `slow` too."""
    async with plain_host(urls) as host:
        host.graphs["slow"] = slow().compile(checkpointer=host._saver, name="slow")
        yield host
