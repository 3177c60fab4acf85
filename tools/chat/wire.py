"""The shapes of OpenAI's chat completions: what is sent, and the strict reading of what comes back.

Source of the shapes: OpenAI's API reference, *Chat Completions*; llama.cpp, vLLM and others speak the same.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from typing import Any, Literal

import orjson

from fiel.tools.chat import ChatRequest, Completion, Usage
from fiel.tools.chat.schema import follows
from fiel.tools.errors import ModelFiltered, ModelUnreadable, SettingsError

ALTERNATIVES = 20
"""Alternatives of the first token that are asked for; the most that OpenAI gives."""
MOST_TOKENS = 10**9
"""A count above this is nonsense."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """What an endpoint understands of a request. Learnt from its refusals."""

    schema: Literal["schema", "object", "words"] = "schema"
    """How a JSON schema is put: as `json_schema`, as `json_object`, or in words alone."""
    logprobs: bool = True
    temperature: bool = True
    tokens: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    streams: bool = True
    counts: bool = True
    """Whether it counts the tokens of what it streams."""


def without(dialect: Dialect, request: ChatRequest, refusal: bytes, *, streamed: bool = False) -> Dialect | None:
    """A plainer dialect for the endpoint that answered `refusal`; None where nothing is left to leave out."""
    if streamed and dialect.counts and b"stream_options" in refusal:
        return replace(dialect, counts=False)
    if streamed and dialect.streams and b"stream" in refusal:
        return replace(dialect, streams=False)
    if dialect.tokens == "max_tokens" and b"max_completion_tokens" in refusal:
        return replace(dialect, tokens="max_completion_tokens")
    if dialect.temperature and b"temperature" in refusal:
        return replace(dialect, temperature=False)
    if request.logprobs and dialect.logprobs and b"logprobs" in refusal:
        return replace(dialect, logprobs=False)
    if request.schema is not None and dialect.schema != "words":
        return replace(dialect, schema="object" if dialect.schema == "schema" else "words")
    return None


def payload(model: str, request: ChatRequest, dialect: Dialect, *, streamed: bool = False) -> bytes:
    """The body of the request."""
    messages = [{"role": turn.role, "content": _sendable(turn.content)} for turn in request.turns]
    body: dict[str, Any] = {"model": model, "messages": messages, "stream": streamed}
    if streamed and dialect.counts:
        body["stream_options"] = {"include_usage": True}
    body[dialect.tokens] = request.max_tokens
    if dialect.temperature:
        body["temperature"] = 0
    if request.logprobs and dialect.logprobs:
        body["logprobs"] = True
        body["top_logprobs"] = ALTERNATIVES
    if request.schema is not None:
        _constrain(body, request.schema, dialect)
    return orjson.dumps(body)


def _constrain(body: dict[str, Any], schema: Mapping[str, Any], dialect: Dialect) -> None:
    if dialect.schema == "schema":
        named = {"name": "answer", "strict": True, "schema": schema}
        body["response_format"] = {"type": "json_schema", "json_schema": named}
        return
    if dialect.schema == "object":
        body["response_format"] = {"type": "json_object"}
    words = orjson.dumps(schema).decode()
    body["messages"][-1]["content"] += (
        f"\n\nAnswer with one JSON value that follows this schema, nothing else:\n{words}"
    )


def _sendable(content: str) -> str:
    return content.encode("utf-8", "replace").decode("utf-8")


def read(body: bytes, request: ChatRequest, model: str, price: "Price", where: str) -> Completion:
    """The completion in `body`. Raises ModelFiltered for a refusal, ModelUnreadable for all else that is none."""
    reply = _mapping(_json(body, where), "the reply", where)
    choices = reply.get("choices")
    if not isinstance(choices, list) or not choices:
        raise _unreadable("the reply has no choices", where)
    choice = _mapping(choices[0], "the choice", where)
    message = _mapping(choice.get("message"), "the message", where)
    finish = choice.get("finish_reason")
    if finish == "content_filter" or message.get("refusal"):
        raise ModelFiltered("the model's endpoint refused to answer", where=where)
    if finish not in ("stop", "length"):
        raise _unreadable("the reply does not say how it ended, or in a way that was not asked for", where)
    content = message.get("content")
    if not isinstance(content, str) or not content.strip():
        raise _unreadable("the reply has no text", where)
    if request.schema is not None:
        _follows(content, request.schema, finish, where)
    name = reply.get("model")
    return Completion(
        text=content,
        usage=usage_of(reply.get("usage"), price, where),
        finish="stop" if finish == "stop" else "length",
        model=name if isinstance(name, str) and name else model,
        first_token=_first_token(choice.get("logprobs"), where) if request.logprobs else {},
    )


def _follows(content: str, schema: Mapping[str, Any], finish: str, where: str) -> None:
    if finish == "length":
        raise _unreadable("the reply was cut off before its JSON ended", where)
    if not follows(_json(content.encode(), where), schema):
        raise _unreadable("the reply does not follow the JSON schema", where)


def usage_of(value: Any, price: "Price", where: str) -> Usage:
    """What a reply says that it used.

    Endpoints that do not count send no usage; one that sends nonsense cannot be trusted with the rest.
    """
    if value is None:
        return Usage()
    counts = _mapping(value, "the usage", where)
    numbers = [counts.get("prompt_tokens", 0), counts.get("completion_tokens", 0)]
    if not all(type(number) is int and 0 <= number <= MOST_TOKENS for number in numbers):
        raise _unreadable("the usage holds something that is no count", where)
    return Usage(numbers[0], numbers[1], price.of(numbers[0], numbers[1]))


def _first_token(value: Any, where: str) -> dict[str, float]:
    if value is None:
        return {}
    content = _mapping(value, "the logprobs", where).get("content")
    if not content:
        return {}
    if not isinstance(content, list):
        raise _unreadable("the logprobs are no list", where)
    found: dict[str, float] = {}
    for one in _mapping(content[0], "the first token", where).get("top_logprobs") or []:
        alternative = _mapping(one, "an alternative", where)
        token, logprob = alternative.get("token"), alternative.get("logprob")
        if not isinstance(token, str) or isinstance(logprob, bool) or not isinstance(logprob, int | float):
            raise _unreadable("an alternative of the first token has the wrong shape", where)
        if not logprob <= 1e-6:  # also not-a-number
            raise _unreadable("an alternative of the first token is likelier than certain", where)
        found[token] = found.get(token, 0.0) + math.exp(min(0.0, logprob))
    return found


@dataclass(frozen=True, slots=True)
class Price:
    """Price per million tokens, in any currency."""

    input: Decimal = Decimal(0)
    output: Decimal = Decimal(0)

    def of(self, input_tokens: int, output_tokens: int) -> str:
        """Cost as a decimal string with six places, rounded half up as bills are."""
        cost = (self.input * input_tokens + self.output * output_tokens) / 1_000_000
        return str(cost.quantize(Decimal("0.000001"), rounding="ROUND_HALF_UP"))


def price(value: str) -> Price:
    """Read the setting `0.15/0.60` (input/output). Raises SettingsError."""
    if not value.strip():
        return Price()
    try:
        input_price, output_price = (Decimal(part.strip()) for part in value.split("/"))
        if not (0 <= input_price < 10**9 and 0 <= output_price < 10**9):
            raise ValueError
    except (ValueError, InvalidOperation) as error:
        raise SettingsError(
            f"{value!r} is no price", hint="Give input/output per million tokens, e.g. 0.15/0.60"
        ) from error
    return Price(input_price, output_price)


def _json(body: bytes, where: str) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        raise _unreadable("the reply is not JSON", where) from None  # the cause would carry the whole text


def _mapping(value: Any, what: str, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise _unreadable(f"{what} is missing or no object", where)
    return value


def _unreadable(what: str, where: str) -> ModelUnreadable:
    return ModelUnreadable(what, where=where)
