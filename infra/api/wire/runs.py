"""Bodies of requests about runs, and how a run looks."""

import re
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field, field_validator, model_validator

from fiel.infra.api.wire.body import Wire
from fiel.infra.api.wire.common import Json, Name
from fiel.infra.hosts.port import Durability, check_config
from fiel.infra.runs.runs import Run
from fiel.infra.runs.spec import Basis, Multitask, Spec, kwargs_of, spec_of
from fiel.tools.errors import UsageError

Mode = Literal["values", "messages", "messages-tuple", "tasks", "checkpoints", "updates", "events", "debug", "custom"]
Nodes = Literal["*"] | list[Name]
RunField = Literal[
    "run_id",
    "thread_id",
    "assistant_id",
    "created_at",
    "updated_at",
    "status",
    "metadata",
    "kwargs",
    "multitask_strategy",
]
Seconds = Annotated[float, Field(ge=0, le=366 * 24 * 3600)]
_CAPITAL = re.compile("[A-Z]")
_ELSEWHERE = ("feedback_keys", "langsmith_tracer", "strict_resume")
"""Fields of the protocol that belong to services which fiel is none of, or that it does not have yet."""


class RunOut(BaseModel):
    """A run."""

    run_id: UUID
    thread_id: UUID
    assistant_id: UUID
    created_at: datetime
    updated_at: datetime
    status: Literal["pending", "running", "error", "success", "timeout", "interrupted"]
    metadata: Json
    kwargs: Json
    multitask_strategy: Multitask


class CommandIn(Wire):
    """What is told to a thread in place of an input."""

    resume: Any = None
    update: Json | list[Any] | None = None
    goto: str | Json | list[str | Json] | None = None


class RunCreate(Wire):
    """A run to be made, on a thread or on one of its own."""

    assistant_id: Name
    input: Any = None
    command: CommandIn | None = None
    config: Json | None = None
    context: Json | None = None
    metadata: Json | None = None
    checkpoint: Json | None = None
    checkpoint_id: Annotated[str, Field(max_length=200)] | None = None
    checkpoint_during: bool | None = None
    durability: Durability | None = None
    stream_mode: Mode | list[Mode] | None = None
    stream_subgraphs: bool | None = None
    stream_resumable: bool | None = None
    interrupt_before: Nodes | None = None
    interrupt_after: Nodes | None = None
    webhook: Annotated[str, Field(min_length=1, max_length=2048)] | None = None
    multitask_strategy: Multitask | None = None
    if_not_exists: Literal["create", "reject"] | None = None
    after_seconds: Seconds | None = None
    on_disconnect: Literal["cancel", "continue"] | None = None
    on_completion: Literal["delete", "keep"] | None = None
    feedback_keys: list[Name] | None = None
    langsmith_tracer: Json | None = None
    strict_resume: bool | None = None

    @field_validator("config")
    @classmethod
    def _known(cls, config: Json | None) -> Json | None:
        try:
            check_config(config or {})
        except UsageError as error:
            raise ValueError(error.what) from error
        return config

    @model_validator(mode="after")
    def _possible(self) -> "RunCreate":
        for name in _ELSEWHERE:
            if getattr(self, name):
                raise ValueError(f"{name} is not supported")
        if self.command_of() and self.input is not None:
            raise ValueError("a run takes an input or a command, not both")
        if self.durability is not None and self.checkpoint_during is (self.durability == "exit"):
            raise ValueError("checkpoint_during and durability say different things")
        return self

    def command_of(self) -> Json | None:
        """The parts of the command that were sent."""
        return self.command.model_dump(exclude_unset=True) or None if self.command else None

    def spec(self, basis: Basis, thread_id: UUID, *, stateless: bool, recorded: bool) -> Spec:
        """The run, on top of its assistant."""
        sent = {name: getattr(self, name) for name in self.model_fields_set} | {"command": self.command_of()}
        return spec_of(sent, basis, thread_id, stateless=stateless, recorded=recorded)


class RunInBatch(RunCreate):
    """One run of a batch. LangGraph's JavaScript SDK sends these as its callers spell them: `streamMode`, and the
    assistant under both names."""

    @model_validator(mode="before")
    @classmethod
    def _spelt(cls, sent: Any) -> Any:
        if not isinstance(sent, dict):
            return sent
        spelt: Json = {}
        for name, value in sent.items():
            known = _CAPITAL.sub(lambda match: f"_{match[0].lower()}", name)
            known = known if known in cls.model_fields else name
            if known in spelt and spelt[known] != value:
                raise ValueError(f"{known} is given twice, and differently")
            spelt[known] = value
        return spelt


class RunsCancel(Wire):
    """Which runs are to be cancelled: some of a thread, or all in a status."""

    status: Literal["pending", "running", "all"] | None = None
    thread_id: UUID | None = None
    run_ids: Annotated[list[UUID], Field(max_length=1000)] | None = None

    @model_validator(mode="after")
    def _either(self) -> "RunsCancel":
        some = self.thread_id is not None and self.run_ids is not None
        if (self.status is None) != some or (self.status and (self.thread_id or self.run_ids)):
            raise ValueError("either status, or thread_id and run_ids")
        return self


def run_json(run: Run) -> Json:
    """A run in the protocol's shape."""
    return {
        "run_id": str(run.run_id),
        "thread_id": str(run.spec.thread_id),
        "assistant_id": str(run.spec.assistant_id),
        "created_at": run.created_at.isoformat(),
        "updated_at": run.updated_at.isoformat(),
        "status": run.status,
        "metadata": dict(run.spec.metadata),
        "kwargs": kwargs_of(run.spec),
        "multitask_strategy": run.spec.multitask,
    }
