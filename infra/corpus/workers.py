"""Parsing in processes of its own, with a time limit: a file that hangs or kills its parser is refused."""

import asyncio
import contextlib
import os
import sys
from types import TracebackType
from typing import Any, Protocol

import orjson

from fiel.infra.corpus.prepare import Limits, Prepared, Preparer
from fiel.infra.corpus.worker import HEAD, SIZE
from fiel.tools import errors
from fiel.tools.chunk import Chunk
from fiel.tools.errors import DocumentBroken, DocumentTooLarge, InvalidDocument, Unavailable

START = 120.0
"""Longest time until a process answers its first request; it imports for some seconds."""
_CODES: dict[str, type[InvalidDocument]] = {
    kind.code: kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, InvalidDocument)
}


class Preparing(Protocol):
    """Who prepares documents for an ingest, one at a time."""

    async def parse(self, data: bytes, name: str) -> Prepared:
        """Raises InvalidDocument."""
        ...


class LocalWorker:
    """Prepares in a thread of this process: for trusted files. Nothing bounds the time, nothing survives a crash."""

    def __init__(self, preparer: Preparer) -> None:
        self._preparer = preparer

    async def parse(self, data: bytes, name: str) -> Prepared:
        return await asyncio.to_thread(self._preparer.prepare, data, name)


class ParseWorker:
    """One process. It is started at the first file, and again after a file that it did not survive."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._process: asyncio.subprocess.Process | None = None
        self._fresh = True

    async def __aenter__(self) -> "ParseWorker":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._kill()

    async def start(self) -> None:
        """Let the process import while there is nothing to parse yet."""
        await self._running()

    async def parse(self, data: bytes, name: str) -> Prepared:
        """Raises InvalidDocument for what cannot be read, and for what hangs or crashes the parser."""
        process = await self._running()
        limit = self._limits.seconds + (START if self._fresh else 0)
        try:
            answer = await asyncio.wait_for(self._ask(process, data, name), limit)
        except TimeoutError:
            await self._kill()
            raise DocumentTooLarge(
                f"reading it takes longer than {self._limits.seconds:.0f} s", where=name, hint="Split or simplify it"
            ) from None
        except (EOFError, OSError) as error:
            status = await self._kill()
            if self._fresh and status is not None and status > 0:
                raise Unavailable("the process that parses does not start", where=sys.executable) from error
            raise DocumentBroken("it crashes its parser", where=name) from error
        except asyncio.CancelledError:
            await self._kill()
            raise
        self._fresh = False
        return _prepared(answer, name)

    async def _ask(self, process: asyncio.subprocess.Process, data: bytes, name: str) -> dict[str, Any]:
        assert process.stdin is not None and process.stdout is not None  # noqa: S101
        label = name.encode()
        process.stdin.write(HEAD.pack(len(label), len(data)) + label)
        process.stdin.write(data)
        await process.stdin.drain()
        size = SIZE.unpack(await process.stdout.readexactly(SIZE.size))[0]
        answer: dict[str, Any] = orjson.loads(await process.stdout.readexactly(size))
        return answer

    async def _running(self) -> asyncio.subprocess.Process:
        if self._process is None:
            self._fresh = True
            limits = (str(self._limits.max_file), str(self._limits.max_text))
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "fiel.infra.corpus.worker",
                *limits,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env={"PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "LC_ALL": "C.UTF-8"},
                start_new_session=True,  # an interrupt from the keyboard is the parent's business
            )
        return self._process

    async def _kill(self) -> int | None:
        """End the process; its exit status where it had ended by itself."""
        process, self._process = self._process, None
        if process is None:
            return None
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), 0.2 if process.stdout and process.stdout.at_eof() else 0.001)
        status = process.returncode
        if status is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        if process.stdin is not None:
            process.stdin.close()
        return status


def _prepared(answer: dict[str, Any], name: str) -> Prepared:
    refused = answer.get("error")
    if refused is not None:
        kind = _CODES.get(refused["code"], InvalidDocument)
        raise kind(refused["what"], where=name, hint=refused["hint"])
    found = answer["ok"]
    text = found["text"]
    chunks = tuple(Chunk(text[start:end], start, end, context) for start, end, context in found["chunks"])
    return Prepared(text, found["title"], found["media_type"], found["language"], tuple(found["pages"]), chunks)
