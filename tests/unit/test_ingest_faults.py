"""Ingest when things go wrong on a larger scale: kills, huge files, very many files."""

import asyncio
import contextlib
import os
import resource
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import pytest

from fiel.infra.corpus.ingest import ingest
from fiel.infra.corpus.prepare import Limits, Preparer
from fiel.infra.corpus.walk import root, walk
from fiel.infra.corpus.workers import LocalWorker, ParseWorker
from fiel.infra.database.connect import Database
from fiel.tools.chunk.plain import PlainChunker
from fiel.tools.errors import DocumentTooLarge
from fiel.tools.principal import local_administrator

from . import files
from .embedders import HashEmbedder

SCRIPT = Path(__file__).with_name("ingest_slowly.py")
PARAGRAPHS = 6
DOCUMENTS = 12


def corpus_of(folder: Path, edition: str = "first") -> None:
    folder.mkdir(exist_ok=True)
    for number in range(DOCUMENTS):
        sections = (f"# Part {part}\n\nDocument {number}, {edition}, says {part}." for part in range(PARAGRAPHS))
        (folder / f"d{number:02}.md").write_text("\n\n".join(sections), encoding="utf-8")


def started(url: str, tenant: str, folder: Path, seconds: float) -> "subprocess.Popen[str]":
    command = [sys.executable, str(SCRIPT), url, tenant, str(folder), str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


async def rows(database: Database, tenant: str, query: str) -> list[tuple[Any, ...]]:
    async with database.acting(local_administrator(tenant)) as connection:
        return await (await connection.execute(query)).fetchall()  # type: ignore[call-overload, no-any-return]


async def whole(database: Database, tenant: str) -> int:
    """Number of documents, each checked to be complete."""
    found = await rows(
        database,
        tenant,
        "SELECT d.version IS NOT NULL AND d.deleted_at IS NULL,"
        " (SELECT count(*) FROM fiel.chunks c WHERE c.document = d.id AND c.version = d.version),"
        " (SELECT count(DISTINCT c.version) FROM fiel.chunks c WHERE c.document = d.id),"
        " (SELECT count(*) FROM fiel.postings p JOIN fiel.chunks c ON p.chunk = c.number WHERE c.document = d.id) > 0"
        " FROM fiel.documents d",
    )
    assert all(row == (True, PARAGRAPHS, 1, True) for row in found)
    return len(found)


@pytest.mark.faults
@pytest.mark.parametrize("edition", ["first", "second"])
async def test_a_kill_leaves_whole_documents_and_the_same_command_completes(
    database: Database, database_urls: Any, tmp_path: Path, edition: str
) -> None:
    tenant, folder = uuid.uuid4().hex, tmp_path / "docs"
    corpus_of(folder)
    if edition == "second":  # an update is killed, not a first load
        first = started(database_urls.runtime, tenant, folder, 0.0)
        assert first.communicate(timeout=100)[0].split()[0] == str(DOCUMENTS)
        corpus_of(folder, edition)
    stored = "SELECT count(*) FROM fiel.chunks WHERE text LIKE '%" + edition + "%'"
    victim = started(database_urls.runtime, tenant, folder, 0.02)
    try:
        while (await rows(database, tenant, stored))[0][0] < 3 * PARAGRAPHS:
            assert victim.poll() is None, victim.communicate()
            await asyncio.sleep(0.02)
    finally:
        victim.kill()
        victim.communicate()
    before = await whole(database, tenant)
    done = (await rows(database, tenant, stored))[0][0]
    assert PARAGRAPHS * 3 <= done < PARAGRAPHS * DOCUMENTS and done % PARAGRAPHS == 0
    assert before == (DOCUMENTS if edition == "second" else done // PARAGRAPHS)
    again = started(database_urls.runtime, tenant, folder, 0.0)
    added, updated, unchanged, embedded, reused = map(int, again.communicate(timeout=100)[0].split())
    assert added + updated + unchanged == DOCUMENTS and unchanged == done // PARAGRAPHS
    assert embedded + reused == PARAGRAPHS * DOCUMENTS - done
    assert await whole(database, tenant) == DOCUMENTS
    assert (await rows(database, tenant, stored))[0][0] == PARAGRAPHS * DOCUMENTS


@pytest.mark.faults
async def test_a_killed_ingest_leaves_no_parser_behind(database_urls: Any, tmp_path: Path) -> None:
    corpus_of(tmp_path / "docs")
    victim = started(database_urls.runtime, uuid.uuid4().hex, tmp_path / "docs", 0.5)
    children: list[int] = []
    deadline = time.monotonic() + 60
    while not children and time.monotonic() < deadline:
        await asyncio.sleep(0.1)
        children = _children(victim.pid)
    victim.kill()
    victim.communicate()
    assert children
    for _ in range(200):
        if not any(map(_runs, children)):
            return
        await asyncio.sleep(0.1)
    pytest.fail("the parser outlived its ingest")


def _children(process: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
    return []


def _runs(process: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    return False


@pytest.mark.faults
async def test_a_server_that_is_gone_is_said_so_and_the_next_ingest_goes_on(
    database: Database, database_urls: Any, tmp_path: Path
) -> None:
    """The connections are cut as a server that dies cuts them; the server itself is restarted elsewhere."""
    import psycopg

    from fiel.tools.errors import DatabaseUnavailable

    tenant, folder = uuid.uuid4().hex, tmp_path / "docs"
    corpus_of(folder)

    class Cutting(HashEmbedder):
        cut = False

        async def passages(self, texts: Any) -> Any:
            if not self.cut and len(self.texts) > 20:
                self.cut = True
                async with await psycopg.AsyncConnection.connect(database_urls.owner, autocommit=True) as connection:
                    await connection.execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                    )
            return await super().passages(texts)

    embed = Cutting()
    options: dict[str, Any] = {"collection": "c", "principal": local_administrator(tenant)}
    try:
        await ingest(database, embed, [folder], parsers=[LocalWorker(Preparer(chunker=PlainChunker()))], **options)
    except DatabaseUnavailable as error:
        assert error.hint  # the connection that held the lock, at the latest, is missed
    report = await ingest(database, embed, [folder], parsers=[LocalWorker(Preparer(chunker=PlainChunker()))], **options)
    assert report.added + report.unchanged == DOCUMENTS
    assert await whole(database, tenant) == DOCUMENTS
    assert len(set(embed.texts)) == len(embed.texts) or len(embed.texts) <= DOCUMENTS * PARAGRAPHS + 2 * 16


@pytest.mark.slow
async def test_200_mib_of_text_are_refused_or_taken_within_bounds(database: Database, tmp_path: Path) -> None:
    """Over the limit: refused without being read. Under a raised one: taken, in memory of some times its size."""
    huge = tmp_path / "huge.txt"
    line = b"A sentence that is repeated for a very long time, as logs are.\n\n"
    with huge.open("wb") as file:
        for _ in range(200 * 1024 * 1024 // (len(line) * 4096)):
            file.write(line * 4096)
    options: dict[str, Any] = {"collection": "c", "principal": local_administrator()}
    began = time.monotonic()
    report = await ingest(database, HashEmbedder(), [huge], **options)
    assert [error["code"] for error in report.errors] == ["document_too_large"]
    assert time.monotonic() - began < 10
    report = await ingest(database, HashEmbedder(), [huge], limits=Limits(max_file=1 << 30), **options)
    assert "max_text_mb" in report.errors[0]["hint"]
    assert await rows(database, "default", "SELECT FROM fiel.documents") == []


@pytest.mark.slow
async def test_very_many_files_are_walked_in_bounded_memory(tmp_path: Path) -> None:
    """100,000 files in folders of 1,000; the walk holds one listing at a time, so a million cost the same memory."""
    for folder in range(100):
        path = tmp_path / f"{folder:03}"
        path.mkdir()
        for number in range(1000):
            os.close(os.open(path / str(number), os.O_CREAT | os.O_WRONLY))
    start = root(tmp_path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    previous, count = "", 0
    for entry in walk(start):
        assert previous < entry.key
        previous, count = entry.key, count + 1
    assert count == 100_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000  # KiB


@pytest.mark.slow
async def test_very_many_tiny_files_are_synced(database: Database, tmp_path: Path) -> None:
    """1,000 files end to end; a million take the same path, page by page."""
    for number in range(1000):
        (tmp_path / f"{number}.txt").write_text(f"tiny {number}")
    parsers = [LocalWorker(Preparer(chunker=PlainChunker(), language=lambda text: "en"))]
    options: dict[str, Any] = {"collection": "c", "principal": local_administrator(), "parsers": parsers}
    report = await ingest(database, HashEmbedder("tiny", 8), [tmp_path], **options)
    assert (report.added, report.embedded, report.failed) == (1000, 1000, 0)
    began = time.monotonic()
    report = await ingest(database, HashEmbedder("tiny", 8), [tmp_path], **options)
    assert report.unchanged == 1000
    assert time.monotonic() - began < 10
    for number in range(0, 1000, 2):
        (tmp_path / f"{number}.txt").unlink()
    report = await ingest(database, HashEmbedder("tiny", 8), [tmp_path], **options)
    assert (report.deleted, report.dropped, report.unchanged) == (500, 500, 500)


@pytest.mark.slow
async def test_a_parser_that_never_ends_is_stopped() -> None:
    """Markup that keeps the HTML parser busy for hours, below the limit of depth because it is never closed."""
    page = b"<table><a>" * 100_000
    async with ParseWorker(Limits(seconds=3)) as worker:
        await worker.parse(b"warm", "a.txt")
        began = time.monotonic()
        with contextlib.suppress(DocumentTooLarge):
            await worker.parse(page, "endless.html")
        assert time.monotonic() - began < 10
        assert (await worker.parse(files.word(), "h.docx")).title == "Handbook"
