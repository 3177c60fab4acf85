"""The floor: a bare LangGraph with as many empty nodes as an answered question has hops."""

from collections.abc import Awaitable, Callable
from typing import Any

from langgraph.graph import END, START, StateGraph

from fiel.graphs.answer.state import State

ANSWERED = (
    "guard_input",
    "rewrite",
    "retrieve",
    "rerank",
    "guard_context",
    "generate",
    "judge",
    "guard_output",
    "release",
)


def routed() -> Any:
    """The bare graph with the answer graph's branches: a conditional edge that reads the state behind each node."""

    async def nothing(state: State) -> dict[str, Any]:
        return {"attempt": 1}

    graph: StateGraph[State, None, State, State] = StateGraph(State)
    graph.add_edge(START, ANSWERED[0])
    for name, after in zip(ANSWERED, (*ANSWERED[1:], END), strict=True):
        graph.add_node(name, nothing)
        graph.add_conditional_edges(name, _always(after), [after, ANSWERED[0]])
    return graph.compile()


def _always(target: str) -> Callable[[State], Awaitable[str]]:
    async def route(state: State) -> str:
        return target

    return route


def bare() -> Any:
    """A compiled graph over the same state whose nodes do nothing."""

    async def nothing(state: State) -> dict[str, Any]:
        return {"attempt": 1}

    graph: StateGraph[State, None, State, State] = StateGraph(State)
    before = START
    for name in ANSWERED:
        graph.add_node(name, nothing)
        graph.add_edge(before, name)
        before = name
    graph.add_edge(before, END)
    return graph.compile()
