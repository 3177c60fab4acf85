"""Small graphs that both servers serve. They need langgraph only, and import nothing of fiel."""

import asyncio
import operator
from dataclasses import dataclass
from typing import Annotated, Any

from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig
from langgraph.config import get_stream_writer
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.runtime import Runtime
from langgraph.types import interrupt
from typing_extensions import TypedDict

WORDS = "So it is, and so it stays."


class Steps(TypedDict, total=False):
    """Where a run has been."""

    steps: Annotated[list[str], operator.add]
    topic: str
    mood: str


@dataclass
class Options:
    """The context of a run."""

    mood: str = "calm"


def _step(name: str) -> Any:
    async def work(state: Steps, runtime: Runtime[Options]) -> Steps:
        get_stream_writer()({"at": name})
        mood = runtime.context.mood if runtime.context else "none"
        return {"steps": [name], "mood": mood}

    return work


def _chain() -> StateGraph[Any, Any, Any, Any]:
    graph = StateGraph(Steps, context_schema=Options)
    for name in "abc":
        graph.add_node(name, _step(name))
    return graph.add_edge(START, "a").add_edge("a", "b").add_edge("b", "c")


chain = _chain().compile(name="chain")
"""Three nodes in a row: a, b, c."""


async def _speak(state: MessagesState) -> dict[str, Any]:
    model = GenericFakeChatModel(messages=iter([AIMessage(WORDS)]))
    return {"messages": [await model.ainvoke(state["messages"])]}


chat = StateGraph(MessagesState).add_node("speak", _speak).add_edge(START, "speak").compile(name="chat")
"""A model that says `WORDS`."""


async def _ask(state: Steps) -> Steps:
    return {"steps": [str(interrupt({"question": "go on?"}))]}


async def _after(state: Steps) -> Steps:
    return {"steps": ["after"]}


def _asks() -> StateGraph[Any, Any, Any, Any]:
    graph = StateGraph(Steps).add_node("ask", _ask).add_node("after", _after)
    return graph.add_edge(START, "ask").add_edge("ask", "after")


asks = _asks().compile(name="asks")
"""Interrupts once."""


def _asking(name: str) -> Any:
    async def work(state: Steps) -> Steps:
        return {"steps": [f"{name}: {interrupt(name)}"]}

    return work


both = (
    StateGraph(Steps)
    .add_node("left", _asking("left"))
    .add_node("right", _asking("right"))
    .add_edge(START, "left")
    .add_edge(START, "right")
    .compile(name="both")
)
"""Two nodes side by side, each with a question of its own."""


nested = StateGraph(Steps).add_node("inner", _asks().compile()).add_edge(START, "inner").compile(name="nested")
"""A graph in a graph; the inner one interrupts."""


class Pace(TypedDict, total=False):
    """How a run goes, and how far it came."""

    seconds: float
    ticks: int
    fails: bool
    done: Annotated[list[str], operator.add]


async def _first(state: Pace) -> Pace:
    return {"done": ["first"]}


async def _work(state: Pace) -> Pace:
    write, ticks = get_stream_writer(), max(1, state.get("ticks", 1))
    for number in range(ticks):
        write({"tick": number})
        await asyncio.sleep(state.get("seconds", 0) / ticks)
    if state.get("fails"):
        raise ValueError("the graph fails")
    return {"done": ["work"]}


pace = (
    StateGraph(Pace)
    .add_node("first", _first)
    .add_node("work", _work)
    .add_edge(START, "first")
    .add_edge("first", "work")
    .compile(name="pace")
)
"""`first` at once, then `work`, which takes as long as the input says."""


async def _keep(state: Steps, runtime: Runtime[Any]) -> Steps:
    assert runtime.store is not None
    place = ("conformance", state["topic"])
    found = await runtime.store.aget(place, "count")
    count = int(found.value["count"]) + 1 if found else 1
    await runtime.store.aput(place, "count", {"count": count})
    return {"steps": [str(count)]}


keeps = StateGraph(Steps).add_node("keep", _keep).add_edge(START, "keep").compile(name="keeps")
"""Counts its runs in the store."""


def make(config: RunnableConfig) -> Any:
    """A graph that is made for each run: its one node is called as the config says."""
    name = str(config.get("configurable", {}).get("called", "nobody"))
    return (
        StateGraph(Steps, context_schema=Options).add_node(name, _step(name)).add_edge(START, name).compile(name="made")
    )
