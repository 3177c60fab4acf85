"""The floor: a bare LangGraph with as many empty nodes as an answered question has hops."""

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
