"""Commands and subscriptions of the newer transport, as clients send them."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, field_validator

from fiel.infra.api.wire.body import Wire
from fiel.infra.api.wire.common import Json, Name
from fiel.infra.runs.spec import Multitask

CHANNELS = frozenset(("values", "updates", "checkpoints", "messages", "tools", "custom", "lifecycle", "input", "tasks"))
Space = Annotated[list[str], Field(max_length=50)]
Number = Annotated[int, Field(ge=0, le=2**53, strict=True)]


class Command(Wire):
    """One command."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    id: Number
    method: Annotated[str, Field(max_length=100)]
    params: Json = Field(default_factory=dict)


class RunStart(Wire):
    """Parameters of `run.start`."""

    assistant_id: Name
    input: Any = None
    config: Json | None = None
    metadata: Json | None = None
    multitaskStrategy: Multitask | None = None


class Response(Wire):
    """The answer to one interrupt."""

    interrupt_id: Name
    namespace: Space = Field(default_factory=list)
    response: Any = None


class InputRespond(Wire):
    """Parameters of `input.respond`: one answer, or several."""

    interrupt_id: Name | None = None
    namespace: Space = Field(default_factory=list)
    response: Any = None
    responses: Annotated[list[Response], Field(min_length=1, max_length=100)] | None = None
    update: Json | list[Any] | None = None
    goto: str | Json | list[str | Json] | None = None
    config: Json | None = None
    metadata: Json | None = None

    def answers(self) -> dict[str, Any]:
        """By interrupt."""
        if self.responses is not None:
            return {one.interrupt_id: one.response for one in self.responses}
        return {self.interrupt_id: self.response} if self.interrupt_id else {}


class Subscription(Wire):
    """What a listener wants to hear."""

    channels: Annotated[list[str], Field(min_length=1, max_length=100)]
    namespaces: Annotated[list[Space], Field(max_length=1000)] | None = None
    depth: Annotated[int, Field(ge=0, le=1000, strict=True)] | None = None
    since: Number | None = None

    @field_validator("channels")
    @classmethod
    def _known(cls, channels: list[str]) -> list[str]:
        for channel in channels:
            if channel not in CHANNELS and not (channel.startswith("custom:") and len(channel) > len("custom:")):
                raise ValueError(f"there is no channel {channel[:50]!r}")
        return channels

    def wants(self, method: str, data: bytes) -> bool:
        """Whether an event is for this listener."""
        channel = "input" if method == "input.requested" else method
        named = channel == "custom" and "custom" not in self.channels
        if not named and channel not in self.channels:
            return False
        if not named and not self.namespaces:
            return True
        params = orjson.loads(data)["params"]
        if named and f"custom:{(params.get('data') or {}).get('name')}" not in self.channels:
            return False
        return not self.namespaces or any(self._under(params["namespace"], prefix) for prefix in self.namespaces)

    def _under(self, space: list[str], prefix: list[str]) -> bool:
        if len(prefix) > len(space) or (self.depth is not None and len(space) - len(prefix) > self.depth):
            return False
        pairs = zip(space, prefix, strict=False)
        return all(one == wanted or one.partition(":")[0] == wanted for one, wanted in pairs)


class Success(BaseModel):
    """A command was carried out."""

    type: Literal["success"] = "success"
    id: int
    result: Json
    meta: Json


class Failure(BaseModel):
    """A command was not."""

    type: Literal["error"] = "error"
    id: int | None
    error: str
    message: str


def success(id: int, result: Mapping[str, Any]) -> Json:
    return {"type": "success", "id": id, "result": dict(result), "meta": {"applied_through_seq": 0}}


def failure(id: int | None, error: str, message: str) -> Json:
    return {"type": "error", "id": id, "error": error, "message": message}
