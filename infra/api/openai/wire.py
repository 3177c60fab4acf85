"""Requests in OpenAI's shapes. What is not named here is refused by its name.

Accepted and without effect, because clients send them whatever they want: the fields under *without effect*. The models
that answer, and how, are chosen by the assistant. Some clients also send what they leave unset, as null or empty: the
fields under *only unset*.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from fiel.infra.api.wire.answers import PROBLEMS
from fiel.infra.api.wire.body import Wire


class Fault(BaseModel):
    """What is wrong, as OpenAI's clients read it."""

    message: str
    type: str
    param: str | None
    code: str | None


class FaultOut(BaseModel):
    """An error."""

    error: Fault


FAULTS: dict[int | str, dict[str, Any]] = {status: {**told, "model": FaultOut} for status, told in PROBLEMS.items()}
"""What any route under /v1 may answer besides; never 422, in whose place OpenAI's clients know 400."""
STREAM: dict[int | str, dict[str, Any]] = {200: {"content": {"text/event-stream": {}}}}
"""An answer that may also come as a stream."""


class Extra(Wire):
    """fiel's own key of a request."""

    context: dict[str, Any] | None = None
    """Options of the run, such as `collection`; checked by role."""
    sources: bool = True
    """Whether the text ends with a list of what it cites."""


class Part(Wire):
    """A part of a message. Only text is read; another kind is handed to the graph as it is."""

    model_config = ConfigDict(extra="allow")

    type: str
    text: str | None = None


Content = str | list[Part]
Empty = Annotated[list[Any], Field(max_length=0)] | None
"""A list that names nothing."""


class Message(Wire):
    """One message of a conversation; what clients echo of an answer is taken and left aside."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Content | None = None
    name: str | None = None
    # Echoed.
    refusal: str | None = None
    annotations: list[dict[str, Any]] | None = None
    audio: None = None
    function_call: None = None
    tool_calls: Empty = None
    reasoning_content: str | None = None
    fiel: dict[str, Any] | None = None


class StreamOptions(Wire):
    include_usage: bool = False
    include_obfuscation: bool | None = None


class TextFormat(Wire):
    type: Literal["text"]


class _Request(Wire):
    model: str
    stream: bool | None = False
    fiel: Extra = Extra()
    # Only unset.
    tools: Empty = None
    tool_choice: Literal["none", "auto"] | None = None
    top_logprobs: Literal[0] | None = None
    moderation: None = None
    # Without effect.
    temperature: float | None = None
    top_p: float | None = None
    user: str | None = None
    metadata: dict[str, str] | None = None
    parallel_tool_calls: bool | None = None
    service_tier: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None
    prompt_cache_options: dict[str, Any] | None = None


class ChatRequest(_Request):
    """POST /v1/chat/completions."""

    messages: Annotated[list[Message], Field(min_length=1)]
    stream_options: StreamOptions | None = None
    # Only unset.
    n: Literal[1] | None = None
    response_format: TextFormat | None = None
    modalities: list[Literal["text"]] | None = None
    logprobs: Literal[False] | None = None
    stop: Empty = None
    logit_bias: Annotated[dict[str, Any], Field(max_length=0)] | None = None
    functions: Empty = None
    function_call: Literal["none", "auto"] | None = None
    audio: None = None
    prediction: None = None
    web_search_options: None = None
    # Without effect.
    store: bool | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    seed: int | None = None
    reasoning_effort: str | None = None
    verbosity: str | None = None


class InputItem(Wire):
    """One item of a conversation; what clients echo of an answer is taken and left aside."""

    type: Literal["message"] = "message"
    role: Literal["system", "developer", "user", "assistant"]
    content: Content
    # Echoed.
    id: str | None = None
    status: str | None = None


class TextOptions(Wire):
    format: TextFormat | None = None
    verbosity: str | None = None


class ResponsesRequest(_Request):
    """POST /v1/responses."""

    input: str | Annotated[list[InputItem], Field(min_length=1)]
    instructions: str | None = None
    text: TextOptions | None = None
    stream_options: StreamOptions | None = None
    # Only unset.
    background: Literal[False] | None = None
    previous_response_id: None = None
    conversation: None = None
    prompt: None = None
    context_management: Empty = None
    # Without effect.
    store: bool | None = None
    include: list[str] | None = None
    max_output_tokens: int | None = None
    truncation: str | None = None
    reasoning: dict[str, Any] | None = None
    max_tool_calls: int | None = None
