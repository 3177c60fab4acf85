"""Subgraphs that are nodes, worn like any other node: the entry of such a hop says what its graph was given of it.

Without that entry nothing in the record would say what a subgraph has left, and the next hop of the graph around it
would look as if somebody had edited the state.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.errors import ParentCommand
from langgraph.graph import START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.pregel import Pregel

from fiel.tools.record import Hop, Node, Recorder

Graph = CompiledStateGraph[Any, Any, Any, Any]
_SENT = "__pregel_push"


def with_subgraphs(graph: Graph, recorder: Recorder) -> Graph:
    """`graph`, in which `recorder` wears each node that is a subgraph, at every depth."""
    first, nodes = set(_begins(graph)), dict(graph.nodes)
    for name, node in graph.nodes.items():
        if isinstance(node.bound, Pregel):
            inner = with_subgraphs(node.bound, recorder) if isinstance(node.bound, CompiledStateGraph) else node.bound
            called = _runnable(name, _worn(name, inner, recorder, first=name in first))
            nodes[name] = node.copy({"bound": called, "subgraphs": [inner]})
    return graph.copy({"nodes": nodes})


def _begins(graph: Graph) -> Iterator[str]:
    """Nodes in which a run of the graph may begin."""
    yield from (end for start, end in graph.builder.edges if start == START)
    for branch in graph.builder.branches.get(START, {}).values():
        yield from (branch.ends or {}).values()


def _worn(name: str, inner: Any, recorder: Recorder, *, first: bool) -> Node:
    """A node that runs the subgraph; a command to the graph around it is what the node returns."""

    async def called(state: Any, runtime: Any, config: RunnableConfig) -> Any:
        try:
            return await inner.ainvoke(state, config)
        except ParentCommand as error:
            command, here = error.args[0], config["configurable"]["checkpoint_ns"]
            if command.graph not in (here, name):
                raise
            return replace(command, graph=None)

    state, sent = (
        recorder.wear(Hop(name, "CHAIN", first=first and not one, sent=one), called) for one in (False, True)
    )

    async def hop(state_or_sent: Any, runtime: Any, config: RunnableConfig) -> Any:
        path = config["metadata"].get("langgraph_path") or ("",)
        return await (sent if path[0] == _SENT else state)(state_or_sent, runtime, config)

    return hop


def _runnable(name: str, node: Node) -> Any:
    """The node as LangGraph runs it."""
    plain: StateGraph[Any, Any, Any, Any] = StateGraph(Any)
    return plain.add_node(name, node).nodes[name].runnable
