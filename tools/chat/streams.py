"""Answers that are being written, each read by a task of its own and taken away in stretches of whole sentences.

A stretch ends where a sentence begins that enough follows: what a check could still find across its end would be seen.
Whoever takes the stretches may pause between them; the answer is read on meanwhile, and its size is bounded by the
adapter. An answer that nobody takes from is stopped and forgotten.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from fiel.tools.chat import Completion, Stretch
from fiel.tools.errors import ModelBusy, ModelUnavailable, StreamLost
from fiel.tools.text.markers import behind, leads, next_led
from fiel.tools.text.sentences import split

AHEAD = 240
"""Characters that must be written behind a stretch."""
WORDS = 24
"""Words that must be written behind a stretch."""
SIGHT = 3_000
"""Characters of what is written behind a stretch that are given with it."""
KEPT = 120.0
"""Seconds after which an answer that nobody takes from is forgotten."""
MOST = 256
"""Answers that are written at the same time."""

Pieces = AsyncGenerator[str | Completion, None]
"""Pieces of an answer's text as they come, then the whole answer."""

_WORD = re.compile(r"\w+")


def end_of(text: str, start: int) -> int:
    """Where the stretch that begins at `start` ends; `start` where nothing may be taken yet."""
    last = len(text) - AHEAD
    if last <= start:
        return start
    words = [match.start() for match in _WORD.finditer(text, start)]
    if len(words) <= WORDS:
        return start
    last = min(last, words[-WORDS - 1])
    if leads(text):
        ends = next_led(text, start)
    else:
        ends = [behind(text, start + span.start) for span in split(text[start:])[1:]]
    return max((end for end in ends if end <= last), default=start)


class _Answer:
    """One answer: what is written of it, and how far it was taken."""

    def __init__(self, pieces: Pieces) -> None:
        self.taken = 0
        """Stretches that were taken."""
        self._text = ""
        self._at = 0
        self._completion: Completion | None = None
        self._error: BaseException | None = None
        self._news = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._read(pieces), name="fiel answer being written")

    async def _read(self, pieces: Pieces) -> None:
        try:
            async with aclosing(pieces):
                async for piece in pieces:
                    if isinstance(piece, Completion):
                        self._completion = piece
                        self._text = piece.text
                    else:
                        self._text += piece
                    self._news.set()
            if self._completion is None:
                raise ModelUnavailable("the answer ended without saying how")
        except BaseException as error:
            self._error = error
            if not isinstance(error, Exception):
                raise
        finally:
            self._news.set()

    async def take(self) -> Stretch:
        while True:
            if self._error is not None:
                raise self._error
            if self._completion is not None:
                text, self._at = self._text[self._at :], len(self._text)
                return self._stretch(text, "", self._completion)
            end = end_of(self._text, self._at)
            if end > self._at:
                text, self._at = self._text[self._at : end], end
                return self._stretch(text, self._text[end : end + SIGHT], None)
            self._news.clear()
            await self._news.wait()

    def _stretch(self, text: str, ahead: str, completion: Completion | None) -> Stretch:
        self.taken += 1
        return Stretch(text, ahead, completion)

    def stop(self) -> None:
        self._task.cancel()


class Streams:
    """The answers that one adapter is writing, by name. Bound to the event loop that takes from them."""

    def __init__(self, kept: float = KEPT, most: int = MOST) -> None:
        self._kept = kept
        self._most = most
        self._answers: dict[str, _Answer] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}

    async def stretch(self, begin: Callable[[], Pieces], name: str, number: int) -> Stretch:
        """Stretch `number` of the answer `name`. Raises StreamLost, ModelBusy, and what its pieces raise."""
        if number == 0:
            self.drop(name)
            if len(self._answers) >= self._most:
                raise ModelBusy(f"{self._most} answers are being written already", hint="Ask again later")
            self._answers[name] = _Answer(begin())
        answer = self._answers.get(name)
        if answer is None or answer.taken != number:
            raise StreamLost("the answer is not being written here", where=f"stretch {number}")
        self._keep(name)
        try:
            stretch = await answer.take()
        except BaseException:
            self.drop(name)
            raise
        if stretch.completion is None:
            self._keep(name)
        else:
            self.drop(name)
        return stretch

    def drop(self, name: str) -> None:
        """Stop writing an answer, and forget it."""
        if (timer := self._timers.pop(name, None)) is not None:
            timer.cancel()
        if (answer := self._answers.pop(name, None)) is not None:
            answer.stop()

    def close(self) -> None:
        """Stop all."""
        for name in list(self._answers):
            self.drop(name)

    def _keep(self, name: str) -> None:
        if (timer := self._timers.pop(name, None)) is not None:
            timer.cancel()
        self._timers[name] = asyncio.get_running_loop().call_later(self._kept, self.drop, name)


__all__ = ["Pieces", "Streams", "end_of"]
