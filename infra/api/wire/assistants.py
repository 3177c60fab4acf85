"""Bodies of requests about assistants."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, Field

from fiel.infra.api.wire.body import Wire
from fiel.infra.api.wire.common import IfExists, Json, Limit, Name, Offset, SortOrder, Text
from fiel.infra.runs.assistants import AssistantChange, AssistantFilter, NewAssistant
from fiel.infra.runs.pages import Window

AssistantField = Literal[
    "assistant_id",
    "graph_id",
    "name",
    "description",
    "config",
    "context",
    "created_at",
    "updated_at",
    "metadata",
    "version",
]


class AssistantOut(BaseModel):
    """An assistant."""

    assistant_id: UUID
    graph_id: str
    config: Json
    context: Json
    metadata: Json
    name: str
    description: str | None
    version: int
    created_at: datetime
    updated_at: datetime


class AssistantCreate(Wire):
    """An assistant to be made."""

    graph_id: Name
    assistant_id: UUID | None = None
    config: Json | None = None
    context: Json | None = None
    metadata: Json | None = None
    if_exists: IfExists | None = None
    name: Name | None = None
    description: Text | None = None

    def new(self) -> NewAssistant:
        return NewAssistant(
            graph_id=self.graph_id,
            assistant_id=self.assistant_id,
            name=self.name or "Untitled",
            description=self.description,
            config=self.config or {},
            context=self.context or {},
            metadata=self.metadata or {},
        )


class AssistantPatch(Wire):
    """What becomes of an assistant."""

    graph_id: Name | None = None
    config: Json | None = None
    context: Json | None = None
    metadata: Json | None = None
    name: Name | None = None
    description: Text | None = None

    def change(self) -> AssistantChange:
        return AssistantChange(
            graph_id=self.graph_id,
            name=self.name,
            description=self.description,
            config=self.config or None,
            context=self.context,
            metadata=self.metadata or {},
        )


class AssistantCount(Wire):
    """Which assistants to count."""

    metadata: Json | None = None
    graph_id: Name | None = None
    name: str | None = None

    def which(self) -> AssistantFilter:
        return AssistantFilter(self.metadata or {}, self.graph_id, self.name)


class AssistantSearch(AssistantCount):
    """Which assistants to list."""

    limit: Limit = 10
    offset: Offset = 0
    sort_by: Literal["assistant_id", "graph_id", "name", "created_at", "updated_at"] | None = None
    sort_order: SortOrder | None = None
    select: list[AssistantField] | None = None

    def window(self) -> Window:
        return Window(self.limit, self.offset, self.sort_by, self.sort_order)


class VersionSearch(Wire):
    """Which versions of an assistant to list."""

    metadata: Json | None = None
    limit: Limit = 10
    offset: Offset = 0

    def window(self) -> Window:
        return Window(self.limit, self.offset)


Version = Annotated[int, Field(ge=1, le=2**31 - 1)]


class VersionChange(Wire):
    """Which version is to be the latest."""

    version: Version
