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
from fiel.infra.hosts.again import INTERRUPT, Again, pause, paused
from fiel.infra.hosts.marks import NEEDS, Ended, Marks, internal
from fiel.infra.hosts.parts import Part, parts
from fiel.infra.hosts.plan import Graph, Plan, command, place, plan
from fiel.infra.hosts.port import (
    PROTOCOL,
    BadOrder,
    HostEnd,
    HostEvent,
    HostItem,
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


@dataclass(slots=True)
class _Seen:
    """What a run has shown so far, as far as its end needs it."""

    apart: bool
    """Whether the graph's output is not its state: then its checkpoints tell the state."""
    output: Any = None
    interrupted: bool = False
    full: Any = None
    """All channels, where the graph's output is not all of them."""

    def note(self, part: Part) -> None:
        if part.space:
            return
        if part.mode == "values" and not (isinstance(part.data, dict) and set(part.data) == {INTERRUPT}):
            self.output = part.data
        elif part.mode == "updates" and isinstance(part.data, dict) and INTERRUPT in part.data:
            self.interrupted = True
        elif part.mode == "checkpoints" and self.apart:
            self.full = part.data["values"]


@dataclass(frozen=True, slots=True)
class Hosted:
    """One graph with its checkpointer, seen through one view."""

    graph: Graph
    view: View
    more: Mapping[str, Any] = field(default_factory=dict)
    """What goes into `configurable` beside what the client set: the caller."""

    # Runs

    async def run(self, order: RunOrder) -> AsyncGenerator[HostItem, None]:
        """See `fiel.infra.hosts.port.GraphHost.run`."""
        planned = plan(self.graph, order, self.more)
        wire = Wire(order.thread)
        if order.checkpoint and order.checkpoint.get("checkpoint_id"):
            await self._must_exist(planned.config)
        seen = _Seen(self.graph.output_channels != self.graph.stream_channels_asis)
        stream = self._parts(planned, order, seen)
        if order.goes_on and await paused(self.graph, order, {"configurable": planned.config["configurable"]}):
            stream = pause()
        try:
            async with aclosing(stream), aclosing(self._items(stream, order, seen, wire)) as items:
                async for item in items:
                    yield item
            end = await self._end(order, seen, wire)
        except Exception as error:
            raise self._failure(error) from error
        yield end

    def _parts(self, planned: Plan, order: RunOrder, seen: _Seen) -> AsyncGenerator[Part, None]:
        needs: tuple[str, ...] = ("values", "updates", *self.view.needs)
        if seen.apart:
            needs += ("checkpoints",)
        if order.marks and PROTOCOL not in order.stream_modes:
            needs += NEEDS
        return parts(self.graph, planned, order, needs, (Ended,) if order.marks else ())

    async def _items(
        self, stream: AsyncGenerator[Part, None], order: RunOrder, seen: _Seen, wire: "Wire"
    ) -> AsyncGenerator[HostItem, None]:
        """What is shown of the parts, and marks between."""
        shape, marks = Shape(order.stream_modes), Marks(order.stream_modes) if order.marks else None
        again = Again() if order.goes_on else None
        async for part in stream:
            if again is not None and again.repeats(part):
                continue
            seen.note(part)
            if marks is not None:
                for mark in marks.before(part):
                    yield mark
            for name, data in self._shown(part, shape):
                yield HostEvent(name, wire.dumps(data))
            if marks is not None:
                for mark in marks.after(part):
                    yield mark
        for mark in marks.end() if marks is not None else ():
            yield mark

    def _shown(self, part: Part, shape: Shape) -> Iterator[tuple[str, Any]]:
        if internal(part):
            return
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
            output = {**output, INTERRUPT: [one for several in waiting.values() for one in several]}
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
