"""Three nodes without a model: the graph that every server of the benchmark `api` serves a copy of.

Where the input says so, the second node takes its time: that is how a stream is held open.
"""

import asyncio
from typing import Any, TypedDict

from langgraph.graph import START, StateGraph


class State(TypedDict, total=False):
    question: str
    seconds: float
    found: list[str]
    answer: str


async def look(state: State) -> State:
    return {"found": [state["question"]] * 3, "answer": ""}


async def think(state: State) -> State:
    if seconds := state.get("seconds"):
        await asyncio.sleep(seconds)
    return {"found": [text.upper() for text in state["found"]]}


async def say(state: State) -> State:
    return {"answer": ", ".join(state["found"])}


def made() -> StateGraph[Any, Any, Any, Any]:
    """The graph, not yet compiled."""
    graph = StateGraph(State)
    for node in (look, think, say):
        graph.add_node(node.__name__, node)
    return graph.add_edge(START, "look").add_edge("look", "think").add_edge("think", "say")


graph = made().compile()
