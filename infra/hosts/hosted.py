"""A compiled graph as its host serves it: runs, state, history, edits, through the view of whoever asks."""

from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import orjson
import psycopg
from langgraph.errors import InvalidUpdateError
from langgraph.types import StateSnapshot, StateUpdate
from psycopg_pool import PoolTimeout

from fiel.infra.hosts import snapshot
from fiel.infra.hosts.parts import Part, parts
from fiel.infra.hosts.plan import Graph, command, place, plan
from fiel.infra.hosts.port import (
    PROTOCOL,
    BadOrder,
    HostEnd,
    HostEvent,
    Json,
    RunOrder,
    StateQuery,
    ThreadRef,
    UnknownCheckpoint,
    Update,
)
from fiel.infra.hosts.shape import Shape, checkpoint
from fiel.infra.hosts.view import View
from fiel.infra.hosts.wire import dumps
from fiel.infra.ledger.keys import KeyUnavailable
from fiel.tools.errors import DatabaseUnavailable, Unavailable, UsageError

_INTERRUPT = "__interrupt__"


@dataclass(slots=True)
class _Seen:
    """What a run has shown so far, as far as its end needs it."""

    output: Any = None
    interrupted: bool = False
    full: Any = None
    """All channels, where the graph's output is not all of them."""

    def note(self, part: Part) -> None:
        if part.space:
            return
        if part.mode == "values" and not (isinstance(part.data, dict) and set(part.data) == {_INTERRUPT}):
            self.output = part.data
        elif part.mode == "updates" and isinstance(part.data, dict) and _INTERRUPT in part.data:
            self.interrupted = True
        elif part.mode == "checkpoints":
            self.full = part.data["values"]


@dataclass(frozen=True, slots=True)
class Hosted:
    """One graph with its checkpointer, seen through one view."""

    graph: Graph
    view: View
    more: Mapping[str, Any] = field(default_factory=dict)
    """What goes into `configurable` beside what the client set: the caller."""

    # Runs

    async def run(self, order: RunOrder) -> AsyncGenerator[HostEvent | HostEnd, None]:
        """See `fiel.infra.hosts.port.GraphHost.run`."""
        planned = plan(self.graph, order, self.more)
        wire = Wire(order.thread)
        if order.checkpoint and order.checkpoint.get("checkpoint_id"):
            await self._must_exist(planned.config)
        shape, seen = Shape(order.stream_modes), _Seen()
        stream = parts(self.graph, planned, order, ("values", "updates", *self._extra(), *self.view.needs))
        try:
            async with aclosing(stream):
                async for part in stream:
                    seen.note(part)
                    for name, data in self._shown(part, shape):
                        yield HostEvent(name, wire.dumps(data))
            end = await self._end(order, seen, wire)
        except Exception as error:
            raise self._failure(error) from error
        yield end

    def _extra(self) -> tuple[str, ...]:
        """Where the graph's output is not its state, its checkpoints tell the state."""
        return () if self.graph.output_channels == self.graph.stream_channels_asis else ("checkpoints",)

    def _shown(self, part: Part, shape: Shape) -> Iterator[tuple[str, Any]]:
        for shown in self.view.parts(part):
            yield from shape.events(shown)

    async def _end(self, order: RunOrder, seen: _Seen, wire: "Wire") -> HostEnd:
        """A run that was not interrupted ended with its last values; else the checkpointer knows where it stands."""
        if not seen.interrupted and seen.output is not None and PROTOCOL not in order.stream_modes:
            output = self.view.values(seen.output)
            values = output if seen.full is None else self.view.values(seen.full)
            return HostEnd("success", wire.dumps(values), wire.dumps(output))
        found = await self.graph.aget_state({"configurable": place(order.thread, None)})
        values = self.view.values(found.values)
        output = values if seen.output is None else self.view.values(seen.output)
        shown = self.view.state(snapshot.thread_state(found))
        waiting = {task["id"]: task["interrupts"] for task in shown["tasks"] if task["interrupts"]}
        if waiting and isinstance(output, dict):
            output = {**output, _INTERRUPT: [one for several in waiting.values() for one in several]}
        return HostEnd(
            "interrupted" if found.next else "success",
            wire.dumps(values),
            wire.dumps(output),
            wire.plain(waiting),
            tuple(found.next),
            (checkpoint(found.config) or {}).get("checkpoint_id"),
        )

    async def _must_exist(self, config: Mapping[str, Any]) -> None:
        saver = self.graph.checkpointer
        if not saver or isinstance(saver, bool):
            raise UnknownCheckpoint("this graph keeps no checkpoints", where="checkpoint")
        if await saver.aget_tuple({"configurable": dict(config["configurable"])}) is None:
            raise UnknownCheckpoint("the thread has no such checkpoint", where="checkpoint")

    def _failure(self, error: Exception) -> Exception:
        """What the run's caller is told: our own refusals as they are, the rest as the view says it."""
        if isinstance(error, UsageError | Unavailable | KeyUnavailable):
            return error
        if isinstance(error, psycopg.OperationalError | PoolTimeout):
            return DatabaseUnavailable("the checkpoints of threads cannot be reached")
        return self.view.failure(error)

    # State

    async def state(self, query: StateQuery, *, subgraphs: bool) -> Json:
        """See the port."""
        found = await self.graph.aget_state(self._config(query), subgraphs=subgraphs)
        asked = (query.checkpoint or {}).get("checkpoint_id")
        if asked and found.created_at is None:
            raise UnknownCheckpoint("the thread has no such checkpoint", where="checkpoint")
        return self._state(query, found)

    async def history(
        self, query: StateQuery, *, limit: int, before: Mapping[str, Any] | None, metadata: Mapping[str, Any] | None
    ) -> list[Json]:
        """See the port."""
        earlier: Any = {"configurable": place(query.thread, before)} if before else None
        found = self.graph.aget_state_history(
            self._config(query), limit=limit, before=earlier, filter=dict(metadata) if metadata else None
        )
        async with aclosing(found):  # type: ignore[type-var]
            return [self._state(query, one) async for one in found]

    def _state(self, query: StateQuery, found: StateSnapshot) -> Json:
        shown: Json = Wire(query.thread).plain(self.view.state(snapshot.thread_state(found)))
        return shown

    def _config(self, query: StateQuery) -> Any:
        configurable = query.config.get("configurable") or {}
        return {"configurable": {**configurable, **self.more, **place(query.thread, query.checkpoint)}}

    async def update(self, query: StateQuery, supersteps: Sequence[Sequence[Update]]) -> Json:
        """See the port: every superstep, and the checkpoint that the last one made."""
        config = self._config(query)
        if (query.checkpoint or {}).get("checkpoint_id"):
            await self._must_exist(config)
        config["metadata"] = {"graph_id": query.graph_id, "thread_id": query.thread.public_id}
        steps = [[_update(one) for one in step] for step in supersteps]
        try:
            made = await self.graph.abulk_update_state(config, steps)
        except (InvalidUpdateError, ValueError, TypeError, KeyError) as error:
            raise BadOrder(f"the state cannot take this: {error}", where="values") from error
        place_made = Wire(query.thread).plain(checkpoint(made))
        return {"checkpoint": place_made}


def _update(given: Update) -> StateUpdate:
    values = command(given.command) if given.command else given.values
    return StateUpdate(values, given.as_node, given.task_id)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Wire:
    """JSON in which a thread has its public name: what the checkpointer calls it never leaves the host."""

    thread: ThreadRef

    def dumps(self, value: Any) -> bytes:
        """JSON as bytes."""
        inner, outer = self.thread.checkpoint_thread, self.thread.public_id
        data = dumps(value)
        return data if inner == outer else data.replace(inner.encode(), dumps(outer)[1:-1])

    def plain(self, value: Any) -> Any:
        """JSON as plain data."""
        return orjson.loads(self.dumps(value))
