"""From parts to the protocol's events: their names, and the shapes that the SDKs expect under them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from langchain_core.messages import BaseMessage, BaseMessageChunk, message_chunk_to_message

from fiel.infra.hosts.parts import Part
from fiel.infra.hosts.port import PROTOCOL

Event = tuple[str, Any]

_INTERNAL = ("__pregel", "__", "fiel_", "langgraph_auth", "langgraph_request")
_PLACE = ("thread_id", "checkpoint_ns", "checkpoint_id", "checkpoint_map")


class Shape:
    """Shapes the parts of one run. Holds the messages that are still being streamed."""

    def __init__(self, modes: Sequence[str]) -> None:
        self._modes = frozenset(modes)
        self._messages: dict[str | None, BaseMessage] = {}

    def events(self, part: Part) -> Iterator[Event]:
        """The events that a part becomes; none where the client did not ask for its mode."""
        if part.mode == PROTOCOL:
            if (event := protocol_event(part.data)) is not None:
                yield _named(event["method"], part.space), event
        elif part.mode == "messages":
            yield from self._message(part)
        elif part.mode in self._modes:
            yield _named(part.mode, part.space), _DATA.get(part.mode, _same)(part.data)

    def _message(self, part: Part) -> Iterator[Event]:
        message, metadata = part.data
        metadata = public(metadata)
        if "messages-tuple" in self._modes:
            yield _named("messages", part.space), (message, metadata)
        if "messages" not in self._modes or not isinstance(message, BaseMessage):
            return
        known = self._messages.get(message.id)
        if known is None:
            yield "messages/metadata", {message.id: {"metadata": metadata}}
        growing = isinstance(message, BaseMessageChunk)
        if growing and isinstance(known, BaseMessageChunk):
            message = known + message
        self._messages[message.id] = message
        yield "messages/partial" if growing else "messages/complete", [_whole(message)]


def _named(event: str, space: Sequence[str]) -> str:
    return "|".join((event, *space))


def _whole(message: BaseMessage) -> BaseMessage:
    return message_chunk_to_message(message) if isinstance(message, BaseMessageChunk) else message


def _same(data: Any) -> Any:
    return data


def public(metadata: Mapping[str, Any] | None) -> dict[str, Any]:
    """Metadata without what is the server's own."""
    return {key: value for key, value in (metadata or {}).items() if not key.startswith(_INTERNAL)}


def checkpoint(config: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The protocol's Checkpoint of a config; None where it names none."""
    found = (config or {}).get("configurable") or {}
    if not found.get("checkpoint_id"):
        return None
    return {"checkpoint_ns": "", **{key: found[key] for key in _PLACE if found.get(key) is not None}}


def _configured(config: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """A config with nothing in it but the place of its checkpoint."""
    if config is None:
        return None
    found = config.get("configurable") or {}
    return {"configurable": {key: found[key] for key in _PLACE if key in found}}


def saved(payload: Mapping[str, Any]) -> dict[str, Any]:
    """A checkpoint as it is streamed."""
    return {
        **payload,
        "config": _configured(payload.get("config")),
        "parent_config": _configured(payload.get("parent_config")),
        "checkpoint": checkpoint(payload.get("config")),
        "parent_checkpoint": checkpoint(payload.get("parent_config")),
        "metadata": public(payload.get("metadata")),
        "tasks": [_task(task) for task in payload.get("tasks") or ()],
    }


def _task(task: Mapping[str, Any]) -> dict[str, Any]:
    """A task of a streamed checkpoint: where it runs a subgraph, `checkpoint` says where that one's state lies."""
    state = task.get("state")
    if not isinstance(state, Mapping) or not state.get("configurable"):
        return dict(task)
    return {**{key: value for key, value in task.items() if key != "state"}, "checkpoint": state["configurable"]}


def _debug(data: Mapping[str, Any]) -> dict[str, Any]:
    shape = saved if data["type"] == "checkpoint" else _started
    return {**data, "payload": shape(data["payload"])}


def _started(payload: Mapping[str, Any]) -> dict[str, Any]:
    return {**payload, "metadata": public(payload["metadata"])} if "metadata" in payload else dict(payload)


def _event(data: Mapping[str, Any]) -> dict[str, Any]:
    return {**data, "metadata": public(data.get("metadata"))}


_DATA: dict[str, Any] = {"debug": _debug, "checkpoints": saved, "tasks": _started, "events": _event}


def protocol_event(event: Mapping[str, Any]) -> dict[str, Any] | None:
    """An event of the newer transport; None for what has no shape there (messages that are no content blocks)."""
    parameters = event["params"]
    data = parameters.get("data")
    if event["method"] == "messages":
        data = data[0] if isinstance(data, tuple) and data else data
        if not isinstance(data, Mapping) or not isinstance(data.get("event"), str):
            return None
    elif event["method"] == "checkpoints" and isinstance(data, Mapping) and "config" in data:
        data = saved(data)
    elif event["method"] == "debug" and isinstance(data, Mapping) and "payload" in data:
        data = _debug(data)
    elif event["method"] == "tasks" and isinstance(data, Mapping):
        data = _started(data)
    return {**event, "params": {**parameters, "data": data}}
