"""A run's events, as they come, made into an answer or into the pieces of one."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import orjson

from fiel.infra.api.errors import openai_body, status_of
from fiel.infra.api.openai.answer import Answer, RunUnavailable, answer_of, delta_of
from fiel.infra.hosts.port import BadOrder, EditRefused
from fiel.infra.runs.events import Event
from fiel.infra.runs.outcome import Outcome
from fiel.tools.errors import FielError

MODES = ("messages-tuple", "custom")
"""What is streamed of a run: text and progress."""
TICK = 10.0
"""Seconds after which a stream says that it lives, and asks whether its caller may still read."""
Json = dict[str, Any]
T = TypeVar("T")


class RunFailed(FielError):
    """The graph failed. What it said of it is not repeated."""

    code = "run_failed"


REFUSALS: Mapping[str, type[FielError]] = {kind.__name__: kind for kind in (BadOrder, EditRefused)}
"""Refusals that a run may end in, by the name under which it says so."""
PASSING = frozenset(
    (
        "DatabaseUnavailable",
        "HostGone",
        "GraphBroken",
        "database_unavailable",
        "host_gone",
        "worker_lost",
        "TimeoutError",
    )
)
"""Errors that may have passed when somebody asks again."""


class NoLongerAllowed(FielError):
    """The token or JWT that the stream began with is no longer good."""

    code = "not_authenticated"


class Pieces(Protocol):
    """Makes the pieces of one shape."""

    def first(self, fiel: Json) -> list[Json]: ...

    def progress(self, told: Any) -> list[Json]: ...

    def text(self, text: str) -> list[Json]: ...

    def last(self, answer: Answer) -> list[Json]: ...


@dataclass(frozen=True, slots=True)
class Running:
    """A run that goes on."""

    run_id: str
    sources: bool
    events: Callable[[], AsyncIterator[Event | None]]
    """None now and then, where nothing comes."""
    end: Callable[[], Awaitable[Outcome]]
    cancel: Callable[[], Awaitable[object]]
    allowed: Callable[[], Awaitable[bool]]
    """Whether the caller may still read."""


async def whole(running: Running) -> Answer:
    """The answer, when the run has ended. Raises RunFailed, RunUnavailable, BadOrder, EditRefused."""
    outcome = await running.end()
    values = orjson.loads(outcome.body)
    if outcome.status in ("error", "timeout"):
        raise failure(values.get("__error__") or {})
    if outcome.status == "interrupted":
        raise RunFailed("the run was cancelled", where=running.run_id)
    return answer_of(running.run_id, values, sources=running.sources)


def failure(told: Mapping[str, Any]) -> FielError:
    """The error in which a run ended. A graph's own words may hold anything and stay out; fiel's say what to do."""
    name, what = str(told.get("error", "")), str(told.get("message", ""))
    if name in REFUSALS:
        return REFUSALS[name](what)
    if name in PASSING:
        return RunUnavailable("a service that the run needs does not work", where=name)
    return RunFailed("the run failed", where=name)


async def pieces(running: Running, shape: Pieces) -> AsyncIterator[Json | None]:
    """The pieces of an answer; None where there is no news for a while. Raises what `whole` does, NoLongerAllowed.

    Where the reader leaves, or may read no longer, the run is cancelled.
    """
    for piece in shape.first({"run_id": running.run_id}):
        yield piece
    spoken, ended, asked = _Spoken(), False, time.monotonic()
    try:
        async with aclosing(ticking(running.events(), TICK)) as events:
            async for event in events:
                if time.monotonic() - asked >= TICK:
                    asked = time.monotonic()
                    await _still_allowed(running)
                    yield None
                for piece in _news(event, spoken, shape) if event else ():
                    yield piece
        ended = True
    finally:
        if not ended:
            with suppress(FielError):
                await asyncio.shield(asyncio.ensure_future(running.cancel()))
    answer = await whole(running)
    if rest := spoken.rest(answer.text):
        for piece in shape.text(rest):
            yield piece
    for piece in shape.last(answer):
        yield piece


async def _still_allowed(running: Running) -> None:
    if not await running.allowed():
        raise NoLongerAllowed("the token of this stream is no longer good")


def _news(event: Event, spoken: "_Spoken", shape: Pieces) -> list[Json]:
    if event.event == "messages" and (delta := delta_of(orjson.loads(event.data))):
        text = spoken.add(*delta)
        return shape.text(text) if text else []
    if event.event == "custom":
        told = orjson.loads(event.data)
        if isinstance(told, Mapping) and told.get("type") == "progress":
            return shape.progress(told)
    return []


class _Spoken:
    """What has been streamed so far."""

    def __init__(self) -> None:
        self._id = ""
        self._text = ""
        self._all = ""

    def add(self, id: str, text: str) -> str:
        """What to stream for a piece of the message `id`: another message begins on a line of its own."""
        if text and id != self._id:
            text = f"\n\n{text}" if self._all else text
            self._id, self._text = id, ""
        self._text += text.removeprefix("\n\n") if not self._text else text
        self._all += text
        return text

    def rest(self, answer: str) -> str:
        """What of the answer is not streamed yet."""
        if answer.startswith(self._text):
            return answer[len(self._text) :]
        return f"\n\n{answer}"


async def ticking(events: AsyncIterator[T], seconds: float) -> AsyncGenerator[T | None, None]:
    """The events, and None each time that none came for so long. Closing this closes them."""
    waiting: asyncio.Future[T] | None = None
    try:
        while True:
            waiting = waiting or asyncio.ensure_future(_next(events))
            done, _ = await asyncio.wait([waiting], timeout=seconds)
            if not done:
                yield None
                continue
            try:
                event = waiting.result()
            except StopAsyncIteration:
                return
            waiting = None
            yield event
    finally:
        if waiting is not None and not waiting.done():
            waiting.cancel()
            await asyncio.wait([waiting])
        if isinstance(events, AsyncGenerator):
            await events.aclose()


async def _next(events: AsyncIterator[T]) -> T:
    return await anext(events)


async def chat_lines(told: AsyncIterator[Json | None]) -> AsyncIterator[bytes]:
    """Pieces as the lines of /v1/chat/completions."""
    async with aclosing(_safely(told)) as safe:
        async for piece in safe:
            yield b": wait\n\n" if piece is None else b"data: " + orjson.dumps(piece) + b"\n\n"
    yield b"data: [DONE]\n\n"


async def response_lines(told: AsyncIterator[Json | None]) -> AsyncIterator[bytes]:
    """Pieces as the events of /v1/responses."""
    async with aclosing(_safely(told)) as safe:
        async for piece in safe:
            if piece is None:
                yield b": wait\n\n"
                continue
            name = str(piece.get("type", "error")).encode()
            error = piece.get("error")
            told_of = {"type": "error", **error, "sequence_number": 0} if name == b"error" and error else piece
            yield b"event: " + name + b"\ndata: " + orjson.dumps(told_of) + b"\n\n"


async def _safely(told: AsyncIterator[Json | None]) -> AsyncGenerator[Json | None]:
    """The status is sent already: an error is a piece of its own, the last."""
    try:
        async for piece in told:
            yield piece
    except FielError as error:
        yield openai_body(status_of(error), error.what, error.code, error.where or None)
    finally:
        if isinstance(told, AsyncGenerator):
            await told.aclose()
