"""What of a context and of `configurable` reaches a graph."""

from dataclasses import dataclass
from typing import Any

import pytest
from langgraph.graph import START, StateGraph
from typing_extensions import TypedDict

from fiel.infra.hosts.plan import context_of
from fiel.infra.hosts.port import BadOrder


class State(TypedDict, total=False):
    said: str


@dataclass
class Options:
    mood: str = "calm"


@pytest.fixture
def graph() -> Any:
    return StateGraph(State, context_schema=Options).add_node("a", lambda state: state).add_edge(START, "a").compile()


def test_what_an_assistant_keeps_in_both_is_no_unknown_option(graph: Any) -> None:
    configurable = {"called": "ada", "mood": "gay"}
    assert context_of(graph, configurable, dict(configurable)) == Options("gay")
    assert configurable["called"] == "ada"


@pytest.mark.parametrize("configurable", [{}, {"called": "eve"}])
def test_an_option_that_the_graph_does_not_have_is_refused(graph: Any, configurable: dict[str, Any]) -> None:
    with pytest.raises(BadOrder, match="called"):
        context_of(graph, configurable, {"called": "ada"})
