"""Bodies of requests about threads, and how a thread looks."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import orjson
from pydantic import BaseModel, Field

from fiel.infra.api.wire.body import Wire
from fiel.infra.api.wire.common import IfExists, Json, Limit, Minutes, Name, Offset, SortOrder
from fiel.infra.hosts.port import Update
from fiel.infra.runs.extract import MOST, Path, extract
from fiel.infra.runs.pages import Window
from fiel.infra.runs.threads import NewThread, Status, Strategy, Thread, ThreadFilter, Ttl

ThreadField = Literal[
    "thread_id",
    "created_at",
    "updated_at",
    "state_updated_at",
    "metadata",
    "config",
    "status",
    "values",
    "interrupts",
]
FIELDS = frozenset(ThreadField.__args__)  # type: ignore[attr-defined]


class TtlOut(BaseModel):
    """How long a thread lives."""

    strategy: Strategy
    ttl_minutes: float
    expires_at: datetime | None


class ThreadOut(BaseModel):
    """A thread."""

    thread_id: UUID
    created_at: datetime
    updated_at: datetime
    state_updated_at: datetime
    metadata: Json
    config: Json
    status: Status
    values: Any
    interrupts: dict[str, list[Json]]
    ttl: TtlOut | None = None
    extracted: Json | None = None


class TtlIn(Wire):
    """How long a thread lives after it was last used, and what is done then."""

    ttl: Minutes
    strategy: Strategy = "delete"

    def ttl_of(self) -> Ttl:
        return Ttl(self.ttl, self.strategy)


class SendIn(Wire):
    """A message to a node."""

    node: Name
    input: Any = None


class CommandIn(Wire):
    """What LangGraph's `Command` takes."""

    update: Json | list[Any] | None = None
    resume: Any = None
    goto: SendIn | str | list[SendIn | str] | None = None


class UpdateIn(Wire):
    """A write into a state, as if a node had made it."""

    values: Json | list[Any] | None = None
    command: CommandIn | None = None
    as_node: Name | None = None
    task_id: Name | None = None

    def update(self) -> Update:
        command = None if self.command is None else self.command.model_dump(exclude_unset=True)
        return Update(self.values, self.as_node, command, self.task_id)


class Superstep(Wire):
    """Writes that happen at once."""

    updates: list[UpdateIn]


class ThreadCreate(Wire):
    """A thread to be made."""

    thread_id: UUID | None = None
    metadata: Json | None = None
    if_exists: IfExists | None = None
    ttl: TtlIn | None = None
    supersteps: list[Superstep] | None = Field(default=None, max_length=1000)

    def new(self) -> NewThread:
        return NewThread(self.thread_id, self.metadata or {}, self.ttl.ttl_of() if self.ttl else None)


class ThreadPatch(Wire):
    """What becomes of a thread: metadata is merged."""

    metadata: Json | None = None
    ttl: TtlIn | None = None


class ThreadCount(Wire):
    """Which threads to count."""

    metadata: Json | None = None
    values: Json | None = None
    status: Status | None = None

    def which(self) -> ThreadFilter:
        return ThreadFilter(self.metadata or {}, self.values or {}, None, self.status)


class ThreadSearch(ThreadCount):
    """Which threads to list."""

    ids: list[UUID] | None = Field(default=None, max_length=1000)
    limit: Limit = 10
    offset: Offset = 0
    sort_by: Literal["thread_id", "status", "created_at", "updated_at", "state_updated_at"] | None = None
    sort_order: SortOrder | None = None
    select: list[ThreadField] | None = None
    extract: dict[str, str] | None = Field(default=None, max_length=MOST)

    def which(self) -> ThreadFilter:
        return ThreadFilter(self.metadata or {}, self.values or {}, self.ids or None, self.status)

    def window(self) -> Window:
        return Window(self.limit, self.offset, self.sort_by, self.sort_order)

    def opens(self) -> bool:
        """Whether anybody looks at values or interrupts."""
        wanted = [*(self.select or FIELDS), *(path.partition(".")[0] for path in (self.extract or {}).values())]
        return any(name.partition("[")[0] in ("values", "interrupts") for name in wanted)


class ThreadPrune(Wire):
    """Which threads to prune."""

    thread_ids: list[UUID] = Field(max_length=1000)
    strategy: Strategy = "delete"


class Pruned(BaseModel):
    """How many threads were pruned."""

    pruned_count: int


def thread_json(thread: Thread, *, ttl: bool = False) -> Json:
    """A thread in the protocol's shape; values and interrupts are passed on unread."""
    shown: Json = {
        "thread_id": thread.thread_id,
        "created_at": thread.created_at,
        "updated_at": thread.updated_at,
        "state_updated_at": thread.state_updated_at,
        "metadata": thread.metadata,
        "config": thread.config,
        "status": thread.status,
        "values": None if thread.values is None else orjson.Fragment(thread.values),
        "interrupts": {} if thread.interrupts is None else orjson.Fragment(thread.interrupts),
    }
    if ttl and thread.ttl_minutes is not None:
        shown["ttl"] = {
            "strategy": thread.ttl_strategy,
            "ttl_minutes": thread.ttl_minutes,
            "expires_at": thread.expires_at,
        }
    return shown


def extracted(thread: Thread, paths: dict[str, Path]) -> Json:
    """What lies at the paths."""
    opened = {
        "values": orjson.loads(thread.values or b"null"),
        "interrupts": orjson.loads(thread.interrupts or b"{}"),
        "metadata": thread.metadata,
        "config": thread.config,
    }
    return {name: extract(opened, path) for name, path in paths.items()}
