"""fiel's own answer graph, in this process, seen through the projector."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from langgraph.checkpoint.base import BaseCheckpointSaver

from fiel.graphs.answer.graph import NAME
from fiel.infra.callers import KEY, RUN
from fiel.infra.hosts import describe, keep
from fiel.infra.hosts.hosted import Hosted
from fiel.infra.hosts.plan import Graph
from fiel.infra.hosts.port import (
    BadOrder,
    EditRefused,
    GraphBroken,
    HostItem,
    Json,
    RunOrder,
    Said,
    StateQuery,
    ThreadRef,
    UnknownGraph,
    Update,
)
from fiel.infra.hosts.project import view_of

DESCRIPTION = "Answers questions from your documents, or says that it cannot, and can prove why."

_ASKED = ("messages", "question")
"""Channels that a caller fills. The rest of the state is written by hops."""
_SPEAKERS = frozenset(("human", "user", "ai", "assistant"))


@dataclass(frozen=True, slots=True)
class OwnHost:
    """`fiel.infra.hosts.port.GraphHost` over the answer graph."""

    graph: Callable[[], Awaitable[Any]]
    """The compiled graph with its checkpointer: `House.threads`."""

    def graph_ids(self) -> Sequence[str]:
        return (NAME,)

    def description(self, graph_id: str) -> str | None:
        return DESCRIPTION

    async def draw(self, graph_id: str, *, xray: bool | int = False, config: Mapping[str, Any] | None = None) -> Json:
        return await describe.draw(await self._graph(graph_id), xray)

    async def schemas(self, graph_id: str, *, config: Mapping[str, Any] | None = None) -> Json:
        return {"graph_id": graph_id, **describe.schemas(await self._graph(graph_id))}

    async def subgraphs(
        self,
        graph_id: str,
        *,
        namespace: str | None = None,
        recurse: bool = False,
        config: Mapping[str, Any] | None = None,
    ) -> Json:
        return await describe.subgraphs(await self._graph(graph_id), namespace, recurse)

    async def run(self, order: RunOrder) -> AsyncGenerator[HostItem, None]:
        _may(order)
        graph = _unshared(await self._graph(order.graph_id))
        principal = order.caller.principal
        hosted = Hosted(graph, view_of(principal, order.stream_modes), {KEY: principal, RUN: order.run_id})
        stream = hosted.run(order)
        async with aclosing(stream):
            async for event in stream:
                yield event

    async def state(self, query: StateQuery, *, subgraphs: bool = False) -> Json:
        return await (await self._read(query)).state(query, subgraphs=subgraphs)

    async def history(
        self,
        query: StateQuery,
        *,
        limit: int = 10,
        before: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> list[Json]:
        return await (await self._read(query)).history(query, limit=limit, before=before, metadata=metadata)

    async def update(self, query: StateQuery, updates: Sequence[Update]) -> Json:
        return await self.update_many(query, [updates])

    async def update_many(self, query: StateQuery, supersteps: Sequence[Sequence[Update]]) -> Json:
        if not query.caller.principal.may("developer"):
            raise EditRefused("editing a thread needs the role developer", where="state")
        return await (await self._read(query)).update(query, supersteps)

    async def copy_thread(self, source: ThreadRef, target: ThreadRef) -> None:
        await keep.copy_thread(await self._saver(), source, target)

    async def delete_thread(self, thread: ThreadRef) -> None:
        await (await self._saver()).adelete_thread(thread.checkpoint_thread)

    async def prune(self, thread: ThreadRef) -> None:
        await keep.prune(await self._saver(), thread)

    async def forget_run(self, thread: ThreadRef, run_id: str) -> None:
        await keep.forget_run(await self._saver(), thread, run_id)

    async def rewind(self, thread: ThreadRef, run_id: str, said: Said | None, *, deep: bool) -> None:
        await keep.rewind(await self._saver(), thread, run_id, said, deep=deep)

    async def _read(self, query: StateQuery) -> Hosted:
        graph = _unshared(await self._graph(query.graph_id))
        principal = query.caller.principal
        return Hosted(graph, view_of(principal), {KEY: principal})

    async def _graph(self, graph_id: str) -> Graph:
        if graph_id != NAME:
            raise UnknownGraph(f"there is no graph {graph_id!r}", where="graph_id", hint=f"Served: {NAME}")
        found: Graph = await self.graph()
        return found

    async def _saver(self) -> BaseCheckpointSaver[Any]:
        saver = (await self._graph(NAME)).checkpointer
        if not isinstance(saver, BaseCheckpointSaver):
            raise GraphBroken("the graph keeps no threads", where=NAME)
        return keep.alone(saver)


def _unshared(graph: Graph) -> Graph:
    """The graph with a checkpointer of its own."""
    saver = graph.checkpointer
    return graph.copy({"checkpointer": keep.alone(saver)}) if isinstance(saver, BaseCheckpointSaver) else graph


def _may(order: RunOrder) -> None:
    """What an ordinary caller may ask of a run: a question, or to go on. Raises EditRefused, BadOrder."""
    if order.caller.principal.may("developer"):
        return
    command = order.command or {}
    if any(command.get(key) for key in ("update", "goto")):
        raise EditRefused("a command that edits or jumps needs the role developer", where="command")
    if order.checkpoint and order.checkpoint.get("checkpoint_id"):
        raise EditRefused("running from an earlier checkpoint needs the role developer", where="checkpoint")
    if order.input is not None:
        _question(order.input)


def _question(given: Any) -> None:
    if not isinstance(given, Mapping):
        raise BadOrder("the input is an object", where="input")
    for name in given:
        if name not in _ASKED:
            raise EditRefused(f"writing the channel {name!r} needs the role developer", where=f"input.{name}")
    messages = given.get("messages") or []
    for message in messages if isinstance(messages, list | tuple) else [messages]:
        _spoken(message)


def _spoken(message: Any) -> None:
    """A message that a conversation may hold; one that removes others would edit the thread."""
    if isinstance(message, str):
        return
    if isinstance(message, list | tuple) and len(message) == 2:
        kind = message[0]
    elif isinstance(message, Mapping):
        kind = message.get("role") or message.get("type")
    else:
        kind = getattr(message, "type", None)
    if kind not in _SPEAKERS:
        raise EditRefused("only questions and answers may be given as messages", where="input.messages")


__all__ = ["DESCRIPTION", "OwnHost"]
