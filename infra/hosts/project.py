"""The projector: what leaves the answer graph, event by event, for whom. Default deny.

The first wall is that drafts are not in state at all. This is the second: of everything that LangGraph streams or
keeps, an ordinary caller sees what is named here and nothing else, whatever stands in the state.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fiel.graphs.answer.graph import NAME
from fiel.graphs.answer.hops import HOPS
from fiel.infra.hosts import progress
from fiel.infra.hosts.allowed import ENDS, channels, code, plain, said
from fiel.infra.hosts.parts import TASKS, Part
from fiel.infra.hosts.port import PROTOCOL, GraphFailed, Json
from fiel.infra.hosts.spoken import Spoken
from fiel.tools.errors import FielError
from fiel.tools.principal import Principal

_INTERRUPT = "__interrupt__"
_METADATA = frozenset(
    ("source", "step", "parents", "run_id", "thread_id", "graph_id", "assistant_id", "run_attempt", "ls_integration")
) | frozenset(("langgraph_step", "langgraph_node", "langgraph_triggers", "langgraph_path", "langgraph_checkpoint_ns"))
_TASK = ("id", "name", "path", "triggers")
_WRITERS = frozenset(("__start__", "__input__", *HOPS))


_TASKS = frozenset(("custom", "messages", "messages-tuple", PROTOCOL))
"""Modes in which the ends of tasks are told: as progress, and as pieces of an answer."""


def view_of(principal: Principal, modes: Sequence[str] = ()) -> "Ordinary | Privileged":
    """The view of this caller, for a run with these stream modes or for its state."""
    needs = ("tasks",) if not _TASKS.isdisjoint(modes) else ()
    return Privileged(needs) if principal.sees_unreleased else Ordinary(needs)


def _progress(part: Part) -> Iterable[Part]:
    """What a task's begin or end says about progress."""
    if part.space:
        return ()
    if part.mode == PROTOCOL:
        told = _told(part.data["params"].get("data")) if part.data.get("method") == TASKS else None
        event = {"type": "event", "method": "custom", "params": {**part.data["params"], "data": told}}
        return (Part(PROTOCOL, event),) if told else ()
    told = _told(part.data) if part.mode == "tasks" else None
    return (Part("custom", told),) if told else ()


def _pieces(part: Part, spoken: Spoken) -> Iterable[Part]:
    """What a task's end says of an answer that is released in windows."""
    return spoken.pieces(part.data) if part.mode == "tasks" and not part.space else ()


def _told(task: Any) -> Json | None:
    hop = task.get("name") if isinstance(task, Mapping) else None
    if hop not in HOPS:
        return None
    if "result" not in task:
        return progress.started(hop)
    return progress.done(hop, task["result"] if isinstance(task["result"], Mapping) else {})


def _failure(error: Exception) -> GraphFailed:
    """A fixed sentence: the text of an error may quote a draft."""
    name = error.code if isinstance(error, FielError) else type(error).__name__
    return GraphFailed("the run failed", error=name)


@dataclass(frozen=True, slots=True)
class Privileged:
    """Developers and auditors: the graph as it is, and progress. Drafts are in the vault for them too."""

    needs: tuple[str, ...] = ()
    spoken: Spoken = field(default_factory=Spoken)

    def parts(self, part: Part) -> Iterable[Part]:
        own = () if part.mode == PROTOCOL and part.data.get("method") == TASKS else (part,)
        if part.mode == "messages" and not part.space and not self.spoken.whole(part.data[0]):
            own = ()
        return (*own, *_progress(part), *_pieces(part, self.spoken)) if part.mode in (PROTOCOL, *self.needs) else own

    def values(self, values: Any) -> Any:
        return values

    def state(self, state: Json) -> Json:
        return state

    def failure(self, error: Exception) -> GraphFailed:
        return _failure(error)


@dataclass(frozen=True, slots=True)
class Ordinary:
    """Everybody else."""

    needs: tuple[str, ...] = ()
    spoken: Spoken = field(default_factory=Spoken)

    def parts(self, part: Part) -> Iterable[Part]:
        if part.space or part.mode not in _SHOWN:
            return ()
        shown = _SHOWN[part.mode](part.data)
        if part.mode == "messages" and shown is not None and not self.spoken.whole(shown[0]):
            shown = None
        own = () if shown is None else (Part(part.mode, shown),)
        return (*own, *_progress(part), *_pieces(part, self.spoken)) if part.mode in (PROTOCOL, *self.needs) else own

    def values(self, values: Any) -> Any:
        return _values(values)

    def state(self, state: Json) -> Json:
        return _state(state)

    def failure(self, error: Exception) -> GraphFailed:
        return _failure(error)


def _values(values: Any) -> Json:
    shown = channels(values)
    return {**shown, _INTERRUPT: []} if isinstance(values, Mapping) and _INTERRUPT in values else shown


def _updates(data: Any) -> Json | None:
    if not isinstance(data, Mapping):
        return None
    shown: Json = {hop: channels(data[hop], hop) for hop in data if hop in HOPS}
    if _INTERRUPT in data:
        shown[_INTERRUPT] = []
    return shown or None


def _message(data: Any) -> tuple[Any, Json] | None:
    message, metadata = data
    shown = said(message) if metadata.get("langgraph_node") in ENDS else None
    return None if shown is None else (shown, _metadata(metadata))


def _metadata(metadata: Any) -> Json:
    return {key: plain(metadata[key]) for key in metadata or {} if key in _METADATA}


def _task(task: Any) -> Json | None:
    """A task as it is streamed: begun with an input, or ended with a result."""
    name = task.get("name")
    if name not in _WRITERS:
        return None
    shown: Json = {key: plain(task[key]) for key in _TASK if key in task}
    if "input" in task:
        shown["input"] = channels(task["input"])
    if "result" in task:
        shown |= {"result": channels(task["result"], name), "error": None, "interrupts": []}
    if task.get("error") is not None:
        shown["error"] = {"error": "GraphFailed", "message": "the hop failed"}
    return shown


def _checkpoint(data: Any) -> Json:
    """A checkpoint as it is streamed. Its configs hold the caller; the shape takes the place of the checkpoint."""
    return {
        "config": _place(data.get("config")),
        "parent_config": _place(data.get("parent_config")),
        "values": channels(data.get("values")),
        "metadata": _metadata(data.get("metadata")),
        "next": _hops(data.get("next")),
        "tasks": [_waiting(task) for task in data.get("tasks") or () if task.get("name") in _WRITERS],
    }


def _place(config: Any) -> Json | None:
    if not isinstance(config, Mapping):
        return None
    found = config.get("configurable") or {}
    names = ("thread_id", "checkpoint_ns", "checkpoint_id")
    return {"configurable": {name: code(found[name]) for name in names if name in found}}


def _hops(names: Any) -> list[str]:
    return [name for name in names or () if name in _WRITERS]


def _waiting(task: Any) -> Json:
    return {**(_task({**task, "interrupts": []}) or {}), "interrupts": [], "state": None}


def _debug(data: Any) -> Json | None:
    shape = _checkpoint if data.get("type") == "checkpoint" else _task
    payload = shape(data["payload"])
    if payload is None:
        return None
    return {**{key: plain(data[key]) for key in ("step", "timestamp", "type") if key in data}, "payload": payload}


def _event(event: Any) -> Json | None:
    """LangChain's event of the graph itself or of a hop, when it begins and when it ends."""
    kind, name = event.get("event"), event.get("name")
    if kind not in ("on_chain_start", "on_chain_end") or name not in (NAME, *HOPS):
        return None
    data: Json = {}
    if kind == "on_chain_end":
        data["output"] = channels((event.get("data") or {}).get("output"), None if name == NAME else name)
    shown: Json = {"event": kind, "name": name, "data": data, "tags": []}
    shown |= {key: plain(event[key]) for key in ("run_id", "parent_ids") if key in event}
    return {**shown, "metadata": _metadata(event.get("metadata"))}


def _protocol(event: Any) -> Json | None:
    """An event of the newer transport: its data by the rule of its method."""
    method, given = event.get("method"), event.get("params") or {}
    if method not in _METHODS or given.get("namespace"):
        return None
    data = _METHODS[method](given.get("data"))
    if data is None:
        return None
    params: Json = {"namespace": [], "timestamp": plain(given.get("timestamp")), "data": data}
    if "interrupts" in given:
        params["interrupts"] = []
    return {"type": "event", "method": method, "params": params, **({"seq": event["seq"]} if "seq" in event else {})}


def _lifecycle(data: Any) -> Json | None:
    if not isinstance(data, Mapping):
        return None
    return {key: plain(data[key]) for key in ("event", "graph_name", "namespace") if key in data}


def _nothing(_: Any) -> None:
    """The graph's own `custom` data has no rule: hops write none. Progress is made beside it."""
    return


def _state(state: Json) -> Json:
    """A ThreadState."""
    metadata = state.get("metadata")
    return {
        "values": channels(state.get("values")),
        "next": _hops(state.get("next")),
        "tasks": [_kept_task(task) for task in state.get("tasks") or () if task.get("name") in _WRITERS],
        "metadata": None if metadata is None else _metadata(metadata),
        "interrupts": [],
        **{key: plain(state.get(key)) for key in ("created_at", "checkpoint", "parent_checkpoint")},
        **{key: plain(state.get(key)) for key in ("checkpoint_id", "parent_checkpoint_id")},
    }


def _kept_task(task: Any) -> Json:
    shown = _task({key: task[key] for key in (*_TASK, "error", "result") if key in task}) or {}
    result = None if task.get("result") is None else shown.get("result")
    return {"error": None, **shown, "result": result, "interrupts": [], "checkpoint": None, "state": None}


_SHOWN: dict[str, Callable[[Any], Any]] = {
    "values": _values,
    "updates": _updates,
    "messages": _message,
    "custom": _nothing,
    "tasks": _task,
    "checkpoints": _checkpoint,
    "debug": _debug,
    "events": _event,
    PROTOCOL: _protocol,
}
_METHODS: dict[str, Callable[[Any], Any]] = {
    "values": _values,
    "updates": _updates,
    "tasks": _task,
    "checkpoints": _checkpoint,
    "lifecycle": _lifecycle,
}
