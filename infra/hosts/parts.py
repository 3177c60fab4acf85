"""What a compiled graph streams, mode by mode, before anybody has looked at it."""

import warnings
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from langchain_core._api import LangChainBetaWarning
from langgraph.stream import (
    CheckpointsTransformer,
    CustomTransformer,
    ProtocolEvent,
    StreamChannel,
    StreamTransformer,
    UpdatesTransformer,
)

from fiel.infra.hosts.plan import Graph, Plan
from fiel.infra.hosts.port import PROTOCOL, RunOrder

_HIDDEN = "langsmith:hidden"
_CHANNELS = (UpdatesTransformer, CustomTransformer, CheckpointsTransformer)
"""What the newer transport streams beside values, messages and lifecycle."""


TASKS = "custom:host_tasks"
"""Method of events in which the newer transport tells of the graph's own tasks, for a host that asks for them."""


class _Tasks(StreamTransformer):
    """LangGraph folds tasks into `lifecycle`, which tells of subgraphs only: here they are once more, begin and end."""

    required_stream_modes = ("tasks",)

    def init(self) -> dict[str, Any]:
        self._tasks: StreamChannel[Any] = StreamChannel(TASKS.removeprefix("custom:"))
        return {"host_tasks": self._tasks}

    def process(self, event: ProtocolEvent) -> bool:
        if event["method"] == "tasks" and not event["params"]["namespace"]:
            self._tasks.push(event["params"]["data"])
        return True


@dataclass(frozen=True, slots=True)
class Part:
    """One thing that a graph said."""

    mode: str
    """LangGraph's own: `values`, `updates`, `messages`, `custom`, `debug`, `tasks`, `checkpoints`; `events`; or
    `protocol`."""
    data: Any
    space: tuple[str, ...] = ()
    """Namespace of the subgraph that said it; empty for the graph itself."""


def meant(part: Part) -> tuple[str, Any]:
    """Mode and data of a part; of the newer transport's events, what they wrap."""
    if part.mode != PROTOCOL:
        return part.mode, part.data
    return str(part.data.get("method")), part.data["params"].get("data")


def langgraph_modes(modes: Sequence[str], always: Sequence[str]) -> list[str]:
    """The modes to ask LangGraph for: those of the client and those that the host itself needs."""
    wanted = {"messages" if mode == "messages-tuple" else mode for mode in modes} | set(always)
    return sorted(wanted - {"events", PROTOCOL})


async def parts(
    graph: Graph, plan: Plan, order: RunOrder, always: Sequence[str], more: Sequence[type[StreamTransformer]] = ()
) -> AsyncGenerator[Part, None]:
    """Run the graph. `more`: what else the newer transport streams. What the graph raises passes through."""
    how: dict[str, Any] = {
        "context": plan.context,
        "interrupt_before": order.interrupt_before,
        "interrupt_after": order.interrupt_after,
        # What the graph declares as its output, as LangGraph's servers stream it.
        "output_keys": graph.output_channels,
        "durability": order.durability if graph.checkpointer else None,
    }
    if PROTOCOL in order.stream_modes:
        stream = _protocol(graph, plan, how, (*_CHANNELS, *((_Tasks,) if "tasks" in always else ()), *more))
    else:
        how |= {"stream_mode": langgraph_modes(order.stream_modes, always), "subgraphs": order.subgraphs}
        stream = (_events if "events" in order.stream_modes else _plain)(graph, plan, how)
    async with aclosing(stream):
        async for part in stream:
            yield part


async def _plain(graph: Graph, plan: Plan, how: Any) -> AsyncGenerator[Part, None]:
    run: Any = graph  # its overloads want literal modes
    stream = run.astream(plan.input, plan.config, **how)
    async with aclosing(stream):
        async for chunk in stream:
            yield _part(chunk, how["subgraphs"])


def _part(chunk: Any, subgraphs: bool) -> Part:
    if subgraphs:
        space, mode, data = chunk
        return Part(mode, data, tuple(space))
    mode, data = chunk
    return Part(mode, data)


async def _events(graph: Graph, plan: Plan, how: Any) -> AsyncGenerator[Part, None]:
    """LangChain's events; what the graph itself streams lies inside them and is taken out again."""
    run: Any = graph
    stream = run.astream_events(plan.input, plan.config, version="v2", **how)
    root = str(plan.config["run_id"])
    async with aclosing(stream):
        async for event in stream:
            if _HIDDEN in (event.get("tags") or ()):
                continue
            if event["event"] == "on_chain_stream" and event["run_id"] == root:
                yield _part(event["data"]["chunk"], how["subgraphs"])
            else:
                yield Part("events", event)


async def _protocol(
    graph: Graph, plan: Plan, how: Any, channels: Sequence[type[StreamTransformer]]
) -> AsyncGenerator[Part, None]:
    run: Any = graph
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LangChainBetaWarning)
        stream = await run.astream_events(plan.input, plan.config, version="v3", transformers=channels, **how)
    async with stream:
        async for event in stream:
            yield Part(PROTOCOL, event, tuple(event["params"].get("namespace") or ()))
