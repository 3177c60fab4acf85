"""Bodies of requests about crons, and how a cron looks."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field, field_validator

from fiel.infra.api.wire.body import Wire
from fiel.infra.api.wire.common import Json, Limit, Name, Offset, SortOrder
from fiel.infra.hosts.port import Durability, check_config
from fiel.infra.runs.crons import Completion, Cron, CronChange, CronFilter, NewCron
from fiel.infra.runs.pages import Window
from fiel.tools.errors import UsageError

Mode = Literal["values", "messages", "messages-tuple", "tasks", "checkpoints", "updates", "events", "debug", "custom"]
CronField = Literal[
    "cron_id",
    "assistant_id",
    "thread_id",
    "on_run_completed",
    "end_time",
    "schedule",
    "timezone",
    "created_at",
    "updated_at",
    "user_id",
    "payload",
    "next_run_date",
    "metadata",
    "enabled",
]
Nodes = Literal["*"] | list[Name]
Zone = Annotated[str, Field(min_length=1, max_length=100)]


class CronOut(BaseModel):
    """A cron."""

    cron_id: UUID
    assistant_id: UUID
    thread_id: UUID | None
    on_run_completed: Completion | None
    end_time: datetime | None
    schedule: str
    timezone: str | None
    created_at: datetime
    updated_at: datetime
    user_id: str | None
    payload: Json
    next_run_date: datetime | None
    metadata: Json
    enabled: bool


class _Payload(Wire):
    """What every run of a cron is made with."""

    input: Json | list[Any] | None = None
    config: Json | None = None
    context: Json | None = None
    webhook: Annotated[str, Field(min_length=1, max_length=65536)] | None = None
    interrupt_before: Nodes | None = None
    interrupt_after: Nodes | None = None
    stream_mode: Mode | list[Mode] | None = None
    stream_subgraphs: bool | None = None
    stream_resumable: bool | None = None
    durability: Durability | None = None

    @field_validator("config")
    @classmethod
    def _known(cls, config: Json | None) -> Json | None:
        try:
            check_config(config or {})
        except UsageError as error:
            raise ValueError(error.what) from error
        return config

    def payload(self) -> Json:
        """The fields that were sent."""
        return self.model_dump(include=set(_PAYLOAD), exclude_unset=True, exclude_none=True)


_PAYLOAD = (*_Payload.model_fields, "multitask_strategy")


class ThreadCronCreate(_Payload):
    """A cron whose runs share a thread."""

    assistant_id: Name
    schedule: Annotated[str, Field(min_length=1, max_length=200)]
    timezone: Zone | None = None
    end_time: datetime | None = None
    metadata: Json | None = None
    multitask_strategy: Literal["reject", "rollback", "interrupt", "enqueue"] | None = None
    enabled: bool | None = None

    def new(self, asker: Mapping[str, Any], thread_id: UUID | None = None) -> NewCron:
        return NewCron(
            assistant=self.assistant_id,
            schedule=self.schedule,
            payload=self.payload(),
            asker=asker,
            thread_id=thread_id,
            timezone=self.timezone,
            end_time=self.end_time,
            enabled=self.enabled is not False,
            on_run_completed=self.completion(),
            metadata=self.metadata or {},
        )

    def completion(self) -> Completion | None:
        return None


class CronCreate(ThreadCronCreate):
    """A cron whose runs have a thread each."""

    on_run_completed: Completion | None = None

    def completion(self) -> Completion | None:
        return self.on_run_completed


class CronPatch(_Payload):
    """What becomes of a cron. `end_time: null` takes an end away."""

    schedule: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    timezone: Zone | None = None
    end_time: datetime | None = None
    metadata: Json | None = None
    on_run_completed: Completion | None = None
    enabled: bool | None = None

    def change(self, asker: Mapping[str, Any]) -> CronChange:
        return CronChange(
            asker=asker,
            schedule=self.schedule,
            timezone=self.timezone,
            end_time=self.end_time,
            endless="end_time" in self.model_fields_set and self.end_time is None,
            enabled=self.enabled,
            on_run_completed=self.on_run_completed,
            payload=self.payload(),
            metadata=self.metadata or {},
        )


class CronCount(Wire):
    """Which crons to count."""

    assistant_id: UUID | None = None
    thread_id: UUID | None = None
    metadata: Json | None = None

    def which(self) -> CronFilter:
        return CronFilter(self.assistant_id, self.thread_id, None, self.metadata or {})


class CronSearch(CronCount):
    """Which crons to list."""

    enabled: bool | None = None
    limit: Limit = 10
    offset: Offset = 0
    sort_by: (
        Literal["cron_id", "assistant_id", "thread_id", "next_run_date", "end_time", "created_at", "updated_at"] | None
    ) = None
    sort_order: SortOrder | None = None
    select: list[CronField] | None = None

    def which(self) -> CronFilter:
        return CronFilter(self.assistant_id, self.thread_id, self.enabled, self.metadata or {})

    def window(self) -> Window:
        return Window(self.limit, self.offset, self.sort_by, self.sort_order)


def cron_json(cron: Cron, user_id: str) -> Json:
    """A cron in the protocol's shape; who asked stays out of it."""
    return {
        "cron_id": cron.cron_id,
        "assistant_id": cron.assistant_id,
        "thread_id": cron.thread_id,
        "on_run_completed": cron.on_run_completed,
        "end_time": cron.end_time,
        "schedule": cron.schedule,
        "timezone": cron.timezone,
        "created_at": cron.created_at,
        "updated_at": cron.updated_at,
        "user_id": user_id,
        "payload": cron.payload,
        "next_run_date": cron.next_run_at,
        "metadata": cron.metadata,
        "enabled": cron.enabled,
    }
