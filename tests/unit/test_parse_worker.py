"""The process that parses: crashes and hangs of a parser cost one document, not the ingest."""

import asyncio
import os
import signal

import pytest

from fiel.infra.corpus.prepare import Limits, Preparer
from fiel.infra.corpus.worker import MEMORY
from fiel.infra.corpus.workers import LocalWorker, ParseWorker
from fiel.tools.errors import DocumentBroken, DocumentEncoding, DocumentTooLarge

from . import files


def pid(worker: ParseWorker) -> int:
    assert worker._process is not None
    return worker._process.pid


async def test_gives_what_the_parser_gives_in_process() -> None:
    local = LocalWorker(Preparer())
    async with ParseWorker(Limits()) as worker:
        for name, data in (("h.docx", files.word()), ("a.md", "# Título\n\nUna frase en español 𝔸.".encode())):
            assert await worker.parse(data, name) == await local.parse(data, name)
        with pytest.raises(DocumentEncoding, match="offset 3") as caught:
            await worker.parse(b"caf\xe9", "old.txt")
        assert caught.value.where == "old.txt"
        await _survives_a_crash(worker)


async def _survives_a_crash(worker: ParseWorker) -> None:
    first = pid(worker)
    os.kill(first, signal.SIGSTOP)  # the request is under way when the process dies
    task = asyncio.create_task(worker.parse(b"hello", "bad.txt"))
    await asyncio.sleep(0.05)
    os.kill(first, signal.SIGKILL)
    with pytest.raises(DocumentBroken, match="crashes"):
        await task
    assert (await worker.parse(b"all is well", "good.txt")).text == "all is well"
    assert pid(worker) != first


async def test_a_hang_ends_at_the_time_limit_and_the_process_with_it() -> None:
    async with ParseWorker(Limits(seconds=0.3)) as worker:
        await worker.parse(b"warm", "a.txt")
        first = pid(worker)
        os.kill(first, signal.SIGSTOP)
        with pytest.raises(DocumentTooLarge, match="longer than"):
            await worker.parse(b"slow", "slow.txt")
        with pytest.raises(ProcessLookupError):
            os.kill(first, 0)


async def test_it_has_no_secrets_and_bounded_memory_and_ends_with_its_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIEL_CHAT_KEY", "secret")
    async with ParseWorker(Limits()) as worker:
        await worker.parse(b"warm", "a.txt")
        with open(f"/proc/{pid(worker)}/environ", "rb") as file:  # noqa: PTH123, ASYNC230
            assert b"secret" not in file.read()
        with open(f"/proc/{pid(worker)}/limits") as file:  # noqa: PTH123, ASYNC230
            assert str(MEMORY) in next(line for line in file if line.startswith("Max address space"))
        process = pid(worker)
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
