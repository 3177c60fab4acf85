"""`--lines`: one JSON value a line in, one JSON object a line out, in the same order, all in one process."""

import asyncio
import contextlib
import json
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import CancelledError
from typing import Any, TextIO

from fiel.infra.cli.output import DONE, write_json
from fiel.tools.errors import FielError, UsageError

WIDTH = 8
"""Lines that are worked on at the same time."""

Work = Callable[[str], Awaitable[dict[str, Any]]]
"""From the text of a line to the object that answers it."""


def parsed(raw: str) -> Any:
    """The JSON value of a line. Raises UsageError."""
    try:
        return json.loads(raw, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"a line is not JSON: {error}", where="standard input") from error


def identity(value: Any) -> dict[str, Any]:
    """`{"id": …}` where the line has one that can be said again, also if the rest of it is wrong."""
    return {"id": value["id"]} if isinstance(value, dict) and "id" in value and _is_text(value["id"]) else {}


def text_of(value: Any) -> str:
    """The text of a string, or of an object `{"text", "id"}`. Raises UsageError for anything else."""
    text = value.get("text") if isinstance(value, dict) and not value.keys() - {"text", "id"} else value
    if not isinstance(text, str):
        raise UsageError('a line is a string or {"text": …, "id": …}', where="standard input")
    if not _is_text(value):
        raise UsageError("a line holds half of a surrogate pair, which is no character", where="standard input")
    return text


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")


def _is_text(value: Any) -> bool:
    """Whether `value` can be written as UTF-8: JSON can spell half of a surrogate pair."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


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
    named: dict[str, Any] = {}
    try:
        value = parsed(raw)
        named = identity(value)
        return named | await work(text_of(value))
    except FielError as error:
        return named | {"error": error.public()}


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
