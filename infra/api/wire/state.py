"""Bodies of requests about the states of threads."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from pydantic import BaseModel, Field

from fiel.infra.api.wire.body import Wire
from fiel.infra.api.wire.common import Json, Limit, Name
from fiel.infra.hosts.port import Update
from fiel.infra.runs.errors import BadRequest

FIELDS = (
    *("values", "next", "tasks", "checkpoint", "metadata", "created_at"),
    *("parent_checkpoint", "interrupts", "checkpoint_id", "parent_checkpoint_id"),
)
"""What of a state can be selected; besides `values.<key>`."""


class CheckpointIn(Wire):
    """A checkpoint, as a state names it."""

    thread_id: UUID | None = None
    checkpoint_ns: str | None = None
    checkpoint_id: str | None = None
    checkpoint_map: Json | None = None

    def checkpoint(self, thread_id: UUID) -> Json:
        """The checkpoint within a thread. Raises BadRequest where it is said to be another's."""
        if self.thread_id not in (None, thread_id):
            raise BadRequest("the checkpoint is of another thread", where="checkpoint.thread_id")
        return self.model_dump(exclude={"thread_id"}, exclude_none=True)


class StateOut(BaseModel):
    """A state; with `select`, some of its fields."""

    values: Any = None
    next: list[str] = []
    tasks: list[Json] = []
    checkpoint: Json | None = None
    metadata: Json | None = None
    created_at: str | None = None
    parent_checkpoint: Json | None = None
    interrupts: list[Json] = []


class StateUpdate(Wire):
    """A write into the state of a thread, as if a node had made it."""

    values: Json | list[Any] | None = None
    checkpoint: CheckpointIn | None = None
    checkpoint_id: Name | None = None
    as_node: Name | None = None

    def updates(self) -> list[Update]:
        return [Update(self.values, self.as_node)]

    def at(self, thread_id: UUID) -> Json | None:
        """The checkpoint that the write forks from; None: the latest."""
        if self.checkpoint is not None:
            return self.checkpoint.checkpoint(thread_id) or None
        return {"checkpoint_id": self.checkpoint_id} if self.checkpoint_id else None


class StateUpdated(BaseModel):
    """The checkpoint that a write made."""

    checkpoint: Json


class Stored(BaseModel):
    """Rows and bytes."""

    count: int
    bytes: int


class ChannelOut(BaseModel):
    """What one channel takes."""

    versions: int
    bytes: int


class ChannelsOut(Stored):
    """What the channels take."""

    by_channel: dict[str, ChannelOut]


class StorageOut(BaseModel):
    """What a thread takes."""

    thread_id: UUID
    total_bytes: int
    checkpoints: Stored
    channel_values: ChannelsOut
    pending_writes: Stored


class StateAtCheckpoint(Wire):
    """Which state to show."""

    checkpoint: CheckpointIn
    subgraphs: bool = False
    select: list[str] | None = None


class StateHistory(Wire):
    """Which states to show."""

    limit: Limit = 1
    before: CheckpointIn | Name | None = None
    metadata: Json | None = None
    checkpoint: CheckpointIn | None = None
    select: list[str] | None = Field(default=None)

    def earlier(self, thread_id: UUID) -> Json | None:
        if isinstance(self.before, str):
            return {"checkpoint_id": self.before}
        return self.before.checkpoint(thread_id) if self.before else None


def selected(state: Json, select: Sequence[str] | None) -> Json:
    """The fields that are asked for; all without a choice. Raises BadRequest for one that no state has."""
    if not select:
        return state
    shown: Json = {}
    for name in select:
        root, dot, key = name.partition(".")
        if root not in FIELDS or (dot and root != "values"):
            raise BadRequest(f"no state has the field {name[:50]!r}", where="select", hint=", ".join(FIELDS))
        if not dot:
            shown[root] = state.get(root)
        elif isinstance(state.get("values"), dict) and key in state["values"]:
            shown.setdefault("values", {})[key] = state["values"][key]
    return shown
