"""What the tests of graph hosts share: callers, orders, and reading a run to its end."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fiel.infra.hosts.port import GraphHost, HostEnd, HostEvent, RunOrder, StateQuery, ThreadRef
from fiel.tools.principal import Principal

READER = Principal("default", "ana", frozenset(), frozenset({"reader"}))
DEVELOPER = Principal("default", "dev", frozenset(), frozenset({"developer"}))


@dataclass(frozen=True, slots=True)
class Caller:
    """A caller as authentication would have found it."""

    principal: Principal = READER
    user: Mapping[str, Any] = field(default_factory=dict)


def new_thread() -> ThreadRef:
    return ThreadRef(str(uuid.uuid4()), str(uuid.uuid4()))


def order(graph_id: str, thread: ThreadRef, principal: Principal = READER, **more: Any) -> RunOrder:
    run_id = more.pop("run_id", None) or str(uuid.uuid4())
    user = more.pop("user", {})
    return RunOrder(graph_id, run_id, thread, Caller(principal, user), **more)


def query(graph_id: str, thread: ThreadRef, principal: Principal = READER, **more: Any) -> StateQuery:
    return StateQuery(graph_id, thread, Caller(principal), **more)


async def read(host: GraphHost, given: RunOrder) -> tuple[list[HostEvent], HostEnd]:
    """The events of a run and its end, which must be the last thing."""
    events: list[HostEvent] = []
    end: HostEnd | None = None
    async for one in host.run(given):
        assert end is None, "nothing may follow the end"
        if isinstance(one, HostEnd):
            end = one
        else:
            events.append(one)
    assert end is not None
    return events, end


def named(events: list[HostEvent], name: str) -> list[Any]:
    """The data of the events of that name."""
    return [event.value() for event in events if event.event == name]
