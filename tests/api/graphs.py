"""Graphs to serve in tests, and a host that serves them in this process."""

import operator
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import interrupt
from typing_extensions import TypedDict

from fiel.infra.hosts import describe, keep
from fiel.infra.hosts.hosted import Hosted
from fiel.infra.hosts.port import HostItem, Json, RunOrder, Said, StateQuery, ThreadRef, UnknownGraph, Update
from fiel.infra.hosts.view import Everything
from fiel.infra.ledger.keys import Cipher, key_of
from fiel.infra.threads import open_saver
from tests.conftest import Urls


class Steps(TypedDict, total=False):
    """Where a run has been."""

    steps: Annotated[list[str], operator.add]
    topic: str


def _step(name: str) -> Any:
    async def work(state: Steps) -> Steps:
        return {"steps": [name]}

    return work


def chain() -> StateGraph[Any]:
    """Three nodes in a row: a, b, c."""
    graph: StateGraph[Any] = StateGraph(Steps)
    for name in "abc":
        graph.add_node(name, _step(name))
    graph.add_edge(START, "a")
    graph.add_edge("a", "b")
    graph.add_edge("b", "c")
    return graph.add_edge("c", END)


def asks() -> StateGraph[Any]:
    """Interrupts once."""

    async def ask(state: Steps) -> Steps:
        return {"steps": [str(interrupt({"question": "go on?"}))]}

    return StateGraph(Steps).add_node("ask", ask).add_edge(START, "ask")


def nested() -> StateGraph[Any]:
    """Has `chain` as the node `inner`."""
    return StateGraph(Steps).add_node("inner", chain().compile()).add_edge(START, "inner")


class PlainHost:
    """`GraphHost` over the graphs above."""

    def __init__(self, saver: BaseCheckpointSaver[Any]) -> None:
        self._saver = saver
        builders = {"chain": chain, "asks": asks, "nested": nested}
        self.graphs = {name: make().compile(checkpointer=saver, name=name) for name, make in builders.items()}

    def graph_ids(self) -> Sequence[str]:
        return tuple(self.graphs)

    def description(self, graph_id: str) -> str | None:
        return None

    async def draw(self, graph_id: str, *, xray: bool | int = False, config: Mapping[str, Any] | None = None) -> Json:
        return await describe.draw(self.graphs[graph_id], xray)

    async def schemas(self, graph_id: str, *, config: Mapping[str, Any] | None = None) -> Json:
        return {"graph_id": graph_id, **describe.schemas(self.graphs[graph_id])}

    async def subgraphs(
        self,
        graph_id: str,
        *,
        namespace: str | None = None,
        recurse: bool = False,
        config: Mapping[str, Any] | None = None,
    ) -> Json:
        return await describe.subgraphs(self.graphs[graph_id], namespace, recurse)

    async def run(self, order: RunOrder) -> AsyncGenerator[HostItem, None]:
        async for event in self._hosted(order.graph_id).run(order):
            yield event

    async def state(self, query: StateQuery, *, subgraphs: bool = False) -> Json:
        return await self._hosted(query.graph_id).state(query, subgraphs=subgraphs)

    async def history(
        self,
        query: StateQuery,
        *,
        limit: int = 10,
        before: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> list[Json]:
        return await self._hosted(query.graph_id).history(query, limit=limit, before=before, metadata=metadata)

    async def update(self, query: StateQuery, updates: Sequence[Update]) -> Json:
        return await self.update_many(query, [updates])

    async def update_many(self, query: StateQuery, supersteps: Sequence[Sequence[Update]]) -> Json:
        return await self._hosted(query.graph_id).update(query, supersteps)

    async def copy_thread(self, source: ThreadRef, target: ThreadRef) -> None:
        await keep.copy_thread(self._saver, source, target)

    async def delete_thread(self, thread: ThreadRef) -> None:
        await self._saver.adelete_thread(thread.checkpoint_thread)

    async def prune(self, thread: ThreadRef) -> None:
        await keep.prune(self._saver, thread)

    async def forget_run(self, thread: ThreadRef, run_id: str) -> None:
        await keep.forget_run(self._saver, thread, run_id)

    async def rewind(self, thread: ThreadRef, run_id: str, said: Said | None, *, deep: bool) -> None:
        await keep.rewind(self._saver, thread, run_id, said, deep=deep)

    def _hosted(self, graph_id: str) -> Hosted:
        if graph_id not in self.graphs:
            raise UnknownGraph(f"there is no graph {graph_id!r}")
        return Hosted(self.graphs[graph_id].copy({"checkpointer": keep.alone(self._saver)}), Everything())


@asynccontextmanager
async def plain_host(urls: Urls) -> AsyncIterator[PlainHost]:
    """The host, with the checkpointer that fiel uses."""
    async with open_saver(urls.runtime, urls.owner, Cipher(key_of(b"k" * 32))) as saver:
        yield PlainHost(saver)
