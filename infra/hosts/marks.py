"""Marks of one run: where in its stream a graph has kept something.

LangGraph keeps a checkpoint, or what a task wrote, in the background, and tells of it in the same stream as of
everything else, in order: what comes before that in the stream was said before it was kept.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from langgraph.stream import ProtocolEvent, StreamChannel, StreamTransformer

from fiel.infra.hosts.parts import Part, meant
from fiel.infra.hosts.port import PROTOCOL, HostMark

NEEDS = ("checkpoints", "tasks")
"""LangGraph's modes that marks are read from."""
_ENDED = "custom:host_ended"
"""Method of events in which the newer transport tells of ended tasks: it has them in no other form."""


class Ended(StreamTransformer):
    """Tells of every task that has ended, of subgraphs too."""

    required_stream_modes = ("tasks",)

    def init(self) -> dict[str, Any]:
        self._ended: StreamChannel[Any] = StreamChannel(_ENDED.removeprefix("custom:"))
        return {"host_ended": self._ended}

    def process(self, event: ProtocolEvent) -> bool:
        params = event["params"]
        if event["method"] == "tasks" and "result" in params["data"]:
            self._ended.push({"space": list(params["namespace"]), "id": params["data"]["id"]})
        return True


class Marks:
    """Reads the marks of one run off its parts."""

    def __init__(self, modes: Sequence[str]) -> None:
        self._doubled = "debug" in modes
        self._last: HostMark | None = None
        self._held: list[HostMark] = []

    def before(self, part: Part) -> Iterator[HostMark]:
        """Marks that stand before a part."""
        if part.mode != "debug":
            yield from self._released()

    def after(self, part: Part) -> Iterator[HostMark]:
        """Marks that stand behind it."""
        mark, last = _mark(part)
        if mark is None:
            return
        if last:
            # The graph has ended, and a run that has ended is not run again: what else it says comes before this.
            self._last = mark
        elif self._doubled:
            self._held.append(mark)  # `debug` says the same once more, next
        else:
            yield mark

    def end(self) -> Iterator[HostMark]:
        """Marks that stand behind everything."""
        yield from self._released()
        if self._last is not None:
            yield self._last

    def _released(self) -> list[HostMark]:
        held, self._held = self._held, []
        return held


def internal(part: Part) -> bool:
    """Whether a part is there for marks alone."""
    return part.mode == PROTOCOL and part.data.get("method") == _ENDED


def _mark(part: Part) -> tuple[HostMark | None, bool]:
    """What a part marks, and whether the graph has ended with it."""
    mode, data = meant(part)
    if not isinstance(data, Mapping):
        return None, False
    if mode == _ENDED:
        return HostMark("|".join(data["space"]), data["id"], task=True), False
    if mode == "tasks" and part.mode == mode and "result" in data:
        return HostMark("|".join(part.space), data["id"], task=True), False
    if mode == "checkpoints" and "config" in data:
        found = data["config"]["configurable"]
        space = found.get("checkpoint_ns") or ""
        return HostMark(space, found["checkpoint_id"]), not space and not data.get("next")
    return None, False
