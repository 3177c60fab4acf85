"""`--lines`: one JSON value a line in, one JSON object a line out, in the same order, all in one process."""

import asyncio
import contextlib
import json
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import CancelledError
from dataclasses import dataclass
from typing import Any, TextIO

from fiel.infra.cli.output import DONE, write_json
from fiel.tools.errors import FielError, UsageError

WIDTH = 8
"""Lines that are worked on at the same time."""

Work = Callable[[str], Awaitable[dict[str, Any]]]
"""From the text of a line to the object that answers it."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the input."""

    text: str
    id: Any = None
    has_id: bool = False


def read(raw: str) -> Line:
    """A string, or an object `{"text", "id"}`. Raises UsageError for anything else."""
    try:
        value = json.loads(raw)
        json.dumps(value, ensure_ascii=False).encode()  # half of a surrogate pair is no text
    except ValueError as error:
        raise UsageError(f"a line is not JSON in UTF-8: {error}", where="standard input") from error
    if isinstance(value, str):
        return Line(value)
    if isinstance(value, dict) and isinstance(value.get("text"), str) and not value.keys() - {"text", "id"}:
        return Line(value["text"], value.get("id"), "id" in value)
    raise UsageError('a line is a string or {"text": …, "id": …}', where="standard input")


async def serve(work: Work, out: TextIO | None = None, source: TextIO | None = None, width: int = WIDTH) -> int:
    """Answer every line of `source` (standard input) on `out` (standard output). Returns the exit status: done.

    An answer is written as soon as those before it are, also while the input is still open. A line that fails gets
    an object with `error` in its place, and the others go on.
    """
    # A task for each line that is being worked on, in the order of the lines; None ends them.
    running: asyncio.Queue[asyncio.Task[dict[str, Any]] | None] = asyncio.Queue(maxsize=width)

    async def start() -> None:
        try:
            async for raw in _incoming(source or sys.stdin):
                if raw.strip():
                    await running.put(asyncio.create_task(_answer(work, raw)))
        finally:
            await running.put(None)

    starting = asyncio.create_task(start())
    while (task := await running.get()) is not None:
        write_json(await task, out)
    await starting
    return DONE


async def _answer(work: Work, raw: str) -> dict[str, Any]:
    line = Line("")
    try:
        line = read(raw)
        answer = await work(line.text)
    except FielError as error:
        answer = {"error": error.public()}
    return {"id": line.id, **answer} if line.has_id else answer


async def _incoming(source: TextIO) -> AsyncIterator[str]:
    """Lines as they arrive. A daemon thread reads: one that waits for input must not keep an interrupted process."""
    loop = asyncio.get_running_loop()
    arrived: asyncio.Queue[str | UnicodeDecodeError | None] = asyncio.Queue(maxsize=1)

    def hand_over(item: str | UnicodeDecodeError | None) -> None:
        putting = arrived.put(item)
        try:
            asyncio.run_coroutine_threadsafe(putting, loop).result()
        except BaseException:
            putting.close()  # never started where the loop has ended
            raise

    def pump() -> None:
        with contextlib.suppress(RuntimeError, CancelledError):  # the loop has ended before the input
            try:
                for raw in source:
                    hand_over(raw)
            except UnicodeDecodeError as error:
                hand_over(error)
            hand_over(None)

    threading.Thread(target=pump, name="standard input", daemon=True).start()
    while (item := await arrived.get()) is not None:
        if isinstance(item, UnicodeDecodeError):
            raise UsageError(f"the input is not UTF-8: {item.reason}", where="standard input") from item
        yield item
