"""Runs of the newer transport: what is written for them is what `POST …/stream/events` sends, event by event.

The host says what the graph said; here the run's own life is told (`lifecycle`), interrupts become requests for input,
and payloads get the shapes of the protocol (`langchain_protocol`).
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from fiel.infra.hosts.port import PROTOCOL, HostEvent
from fiel.infra.runs.spec import Spec

Told = tuple[str, bytes]
"""Name in the journal, and the event as JSON, still without `seq` and `event_id`."""
_INTERRUPT = "__interrupt__"
_MARK = "protocol/"
"""Before the names of these events in the journal: no stream mode of the older transport begins so."""


def speaks(spec: Spec) -> bool:
    """Whether a run's events are those of the newer transport."""
    return PROTOCOL in spec.stream_modes


@dataclass(slots=True)
class Protocol:
    """Tells of one run."""

    graph_id: str
    _asked: set[str] = field(default_factory=set)
    """Interrupts that were told."""

    def life(self, status: str, error: str | None = None) -> Told:
        """The run as a whole: running, completed, interrupted, failed."""
        data = {"event": status, "graph_name": self.graph_id}
        return _told("lifecycle", [], data | ({"error": error} if error else {}))

    def events(self, said: HostEvent) -> Iterator[Told]:
        """What one event of the host becomes."""
        event = said.value()
        method, params = str(event.get("method")), event.get("params") or {}
        space, data = list(params.get("namespace") or ()), params.get("data")
        if method in ("values", "updates"):
            yield from self._state(method, space, data, params)
        elif method == "lifecycle":
            yield from _deeper(space, data)
        elif method == "checkpoints":
            if isinstance(data, Mapping) and (saved := _checkpoint(data)) is not None:
                yield _told(method, space, saved)
        elif method == "custom" or method.startswith("custom:"):
            yield _told("custom", space, _custom(method, data))
        elif method != "debug":
            node = data.pop("__node", None) if isinstance(data, dict) else None
            yield _told(method, space, data, node=params.get("node") or node)

    def _state(self, method: str, space: list[str], data: Any, params: Mapping[str, Any]) -> Iterator[Told]:
        waiting = [*(params.get("interrupts") or ())]
        if isinstance(data, dict):
            waiting += data.pop(_INTERRUPT, None) or ()
        for one in waiting:
            if isinstance(one, Mapping) and isinstance(one.get("id"), str) and one["id"] not in self._asked:
                self._asked.add(one["id"])
                asked = {"interrupt_id": one["id"], "payload": one.get("value"), "value": one.get("value")}
                yield _told("input.requested", space, asked)
        if method == "values":
            yield _told(method, space, data)
        elif isinstance(data, Mapping):
            for node, update in data.items():
                shown = update if isinstance(update, Mapping) else {"value": update}
                yield _told(method, space, {"node": node, "values": shown}, node=node)


def method_of(name: str) -> str | None:
    """The method of an event in the journal; None for one of the older transport."""
    return name.removeprefix(_MARK) if name.startswith(_MARK) else None


def finished(data: bytes, seq: int, event_id: str) -> bytes:
    """An event as it is sent."""
    return data[:-1] + b',"seq":%d,"event_id":"%b"}' % (seq, event_id.encode())


def _told(method: str, space: Sequence[str], data: Any, *, node: Any = None) -> Told:
    params: dict[str, Any] = {"namespace": list(space), "timestamp": time.time_ns() // 1_000_000, "data": data}
    if isinstance(node, str) and node:
        params["node"] = node
    return _MARK + method, orjson.dumps({"type": "event", "method": method, "params": params})


def _deeper(space: list[str], data: Any) -> Iterator[Told]:
    """LangGraph tells of subgraphs at the root; the protocol does where they are. The root's own life is ours."""
    inner = data.get("namespace") if isinstance(data, Mapping) else None
    where = list(inner) if isinstance(inner, list) and len(inner) > len(space) else space
    if where and isinstance(data, Mapping):
        shown = {key: data[key] for key in ("event", "graph_name", "cause", "error") if data.get(key) is not None}
        shown.setdefault("graph_name", str(where[-1]).partition(":")[0])
        yield _told("lifecycle", where, shown)


def _checkpoint(data: Mapping[str, Any]) -> dict[str, Any] | None:
    """The envelope of a checkpoint: where to fork from, and how it came about; never what is in it."""
    if isinstance(data.get("id"), str):
        return {key: data[key] for key in ("id", "parent_id", "step", "source") if key in data}
    metadata = data.get("metadata") or {}
    own = _id(data.get("config"))
    if own is None:
        return None
    shown = {"id": own, "step": metadata.get("step", 0), "source": metadata.get("source", "loop")}
    parent = _id(data.get("parent_config"))
    return shown | ({"parent_id": parent} if parent else {})


def _id(config: Any) -> str | None:
    found = ((config or {}).get("configurable") or {}).get("checkpoint_id")
    return found if isinstance(found, str) else None


def _custom(method: str, data: Any) -> dict[str, Any]:
    name = method.partition(":")[2]
    if name:
        return {"name": name, "payload": data}
    return dict(data) if isinstance(data, Mapping) and "payload" in data else {"payload": data}
