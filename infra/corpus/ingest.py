"""Sync files and folders into a collection: read, parse, embed and write side by side, one transaction a document.

    walk and compare ─▶ parse (processes) ─▶ look up and embed (batches over documents) ─▶ write

Queues between the stages are short, and a budget bounds the bytes under way. What is slowest, the embedder, is never
left waiting for the others. A kill loses at most the batch of vectors being computed: documents are written whole,
vectors are kept as soon as they are known, and the same command goes on from there.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass

from fiel.infra.corpus.files import Read
from fiel.infra.corpus.names import checked_collection, checked_readers
from fiel.infra.corpus.prepare import Limits, Prepared, recipe
from fiel.infra.corpus.report import OnProgress, Report, Watched
from fiel.infra.corpus.sources import file_sources
from fiel.infra.corpus.store import Marks, Place, Store
from fiel.infra.corpus.sync import Page, Sync
from fiel.infra.corpus.vectors import Need, Vectors
from fiel.infra.corpus.workers import ParseWorker, Preparing
from fiel.infra.database.connect import Database
from fiel.tools.embed import Embedder
from fiel.tools.errors import InvalidDocument, NotPermitted
from fiel.tools.principal import CURATORS, Principal

Telling = Callable[[Principal, str, str], AbstractAsyncContextManager[None]]
"""From who syncs, collection and source to what surrounds the sync."""
BATCH = 16
"""Texts that are embedded at once."""
PARSERS = max(1, min(4, (os.cpu_count() or 2) // 2))
WRITERS = 2
QUEUE = 64
BUDGET = 256 * 1024 * 1024
"""Bytes that documents under way may hold, by a cautious guess."""
LINGER = 0.02
"""Seconds to wait for more documents before a batch that is not full is embedded."""


async def ingest(
    database: Database,
    embed: Embedder,
    paths: Sequence[str | os.PathLike[str]],
    *,
    collection: str,
    principal: Principal,
    allow: Sequence[str] = (),
    marks: Marks | None = None,
    progress: OnProgress | None = None,
    limits: Limits | None = None,
    parsers: Sequence[Preparing] = (),
    telling: Telling | None = None,
) -> Report:
    """Make `collection` hold what lies at `paths`; `allow` names who else than curators may read it.

    Files are parsed in processes of their own, unless `parsers` says who parses. `telling` surrounds each sync.

    A document that cannot be read is listed in the report's `errors` and keeps the version it had. Raises
    NotPermitted, UsageError (a name that cannot be), DocumentPath (a path that is not there: nothing is done then),
    ModelUnavailable and DatabaseUnavailable (what is written so far stays, the same call goes on).
    """
    if not principal.may("curator", "administrator"):
        raise NotPermitted("only curators and administrators may ingest", hint="Ask for the role curator")
    name, readers = checked_collection(collection), checked_readers(allow)
    sources = file_sources(paths)
    started = time.monotonic()
    report = Report(name, tuple(sorted({*CURATORS, *readers})))
    store = Store(database, principal, embed.version, f"{recipe()};{embed.version}")
    seen = Watched(progress)
    bounds = limits or Limits()
    async with AsyncExitStack() as stack:
        if not parsers:
            parsers = [await stack.enter_async_context(ParseWorker(bounds)) for _ in range(PARSERS)]
        for number, source in enumerate(sources, 1):
            async with store.alone(f"ingest {name} {source.uri}", seen.waits):
                seen.goes_on()
                async with telling(principal, name, source.uri) if telling is not None else nullcontext():
                    place = await store.open(name, source, readers, marks or Marks())
                    pipeline = _Pipeline(store, Vectors(store, embed), place, parsers, report, seen)
                    await pipeline.run(Sync(store, place, source, bounds.max_file), last=number == len(sources))
                    await store.finish(place)
    report.seconds = time.monotonic() - started
    return report


class _Budget:
    """Bytes under way. Whoever finds it empty may always take, so that no single document is too large for it."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held = 0
        self._freed = asyncio.Condition()

    async def take(self, number: int) -> None:
        async with self._freed:
            await self._freed.wait_for(lambda: self._held == 0 or self._held + number <= self._most)
            self._held += number

    async def give(self, number: int) -> None:
        async with self._freed:
            self._held -= number
            self._freed.notify_all()


@dataclass(slots=True)
class _Job:
    """A document on its way."""

    found: Read
    cost: int
    size: int
    document: Prepared | None = None
    fresh: int = 0
    """Texts of it that had to be embedded."""


class _Pipeline:
    """One source's way through the stages."""

    def __init__(
        self,
        store: Store,
        vectors: Vectors,
        place: Place,
        parsers: Sequence[Preparing],
        report: Report,
        seen: Watched,
    ) -> None:
        self._store = store
        self._vectors = vectors
        self._place = place
        self._parsers = parsers
        self._report = report
        self._seen = seen
        self._budget = _Budget(BUDGET)
        self._to_parse: asyncio.Queue[_Job | None] = asyncio.Queue(QUEUE)
        self._to_embed: asyncio.Queue[_Job | None] = asyncio.Queue(QUEUE)
        self._to_write: asyncio.Queue[_Job | None] = asyncio.Queue(QUEUE)

    async def run(self, sync: Sync, *, last: bool) -> None:
        """All stages until the source is through. The first error ends them all. `last`: no other source follows."""
        async with _together() as group:
            group.create_task(self._compare(sync, last))
            parsing = [group.create_task(self._parse(parser)) for parser in self._parsers]
            group.create_task(self._close(parsing, self._to_embed, 1))
            embedding = group.create_task(self._embed())
            group.create_task(self._close([embedding], self._to_write, WRITERS))
            for _ in range(WRITERS):
                group.create_task(self._write())

    async def _close(
        self, stages: Sequence[asyncio.Task[None]], queue: "asyncio.Queue[_Job | None]", ends: int
    ) -> None:
        await asyncio.gather(*stages)
        for _ in range(ends):
            await queue.put(None)

    async def _compare(self, sync: Sync, last: bool) -> None:
        async for page in sync.pages():
            await self._settle(page)
            for found in page.changed:
                # Extracted text, chunks and JSON cost a multiple of the file, more so where it is compressed.
                cost = 65536 + 8 * len(found.data)
                await self._budget.take(cost)
                await self._to_parse.put(_Job(found, cost, len(found.data)))
        self._seen.counts.walked = last
        self._seen.tell()
        for _ in self._parsers:
            await self._to_parse.put(None)

    async def _settle(self, page: Page) -> None:
        """What of a page needs no parsing."""
        self._seen.counts.seen += page.seen
        self._report.unchanged += page.unchanged
        for found in page.refused:
            if found.error is not None:
                self._report.fail(found.entry.uri, found.error)
        if page.gone:
            documents, chunks = await self._store.delete(self._place, [document.id for document in page.gone])
            self._report.deleted += documents
            self._report.dropped += chunks
        if page.regrant:
            await self._store.regrant(self._place, [(document.id, document.uri) for document in page.regrant])
            self._report.regranted += sum(document.acl != self._place.acl for document in page.regrant)
        self._seen.done(page.unchanged + len(page.refused))

    async def _parse(self, parser: Preparing) -> None:
        while (job := await self._to_parse.get()) is not None:
            uri = job.found.entry.uri
            self._seen.counts.current = uri
            try:
                job.document = await parser.parse(job.found.data, uri)
            except InvalidDocument as error:
                self._report.fail(uri, error)
                await self._budget.give(job.cost)
                self._seen.done()
                continue
            job.found = Read(job.found.entry, job.found.sha256)
            self._seen.counts.chunks += len(job.document.chunks)
            await self._to_embed.put(job)

    async def _embed(self) -> None:
        async for jobs in self._gathered():
            documents = [job.document for job in jobs if job.document is not None]
            missing = await self._vectors.missing(documents)
            needs = [need for texts in missing for need in texts]
            for job, texts in zip(jobs, missing, strict=True):
                job.fresh = len(texts)
            await self._compute(needs)
            self._seen.counts.chunks_done += sum(len(document.chunks) for document in documents) - len(needs)
            self._seen.tell()
            for job in jobs:
                await self._to_write.put(job)

    async def _compute(self, needs: Sequence[Need]) -> None:
        """Embed in batches; one batch is stored while the next is computed."""
        storing: asyncio.Task[None] | None = None
        try:
            for start in range(0, len(needs), BATCH):
                computed = await self._vectors.compute(needs[start : start + BATCH])
                if storing is not None:
                    await storing
                storing = asyncio.create_task(self._vectors.keep(computed))
                self._report.embedded += len(computed)
                self._seen.counts.chunks_done += len(computed)
                self._seen.tell()
        finally:
            if storing is not None:
                await storing

    async def _gathered(self) -> AsyncIterator[list[_Job]]:
        """Documents together until they fill a batch, or no other comes for a moment."""
        ended = False
        while not ended:
            job = await self._to_embed.get()
            if job is None:
                return
            jobs, texts = [job], _chunks(job)
            while texts < BATCH:
                try:
                    job = await asyncio.wait_for(self._to_embed.get(), LINGER)
                except TimeoutError:
                    break
                if job is None:
                    ended = True
                    break
                jobs.append(job)
                texts += _chunks(job)
            yield jobs

    async def _write(self) -> None:
        while (job := await self._to_write.get()) is not None:
            document = job.document
            if document is None:
                raise AssertionError("a document reached the writer unparsed")
            found = job.found
            written = await self._store.write(self._place, found.entry, found.sha256, job.size, document)
            if written.what != "unchanged":
                self._report.reused += len(document.chunks) - job.fresh
            self._report.dropped += written.dropped
            setattr(self._report, written.what, getattr(self._report, written.what) + 1)
            await self._budget.give(job.cost)
            self._seen.done()


def _chunks(job: _Job) -> int:
    return len(job.document.chunks) if job.document is not None else 0


@asynccontextmanager
async def _together() -> AsyncIterator[asyncio.TaskGroup]:
    """A task group whose first error comes out by itself, not in a group."""
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except BaseExceptionGroup as errors:
        raise _first(errors) from None


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


__all__ = ["ingest"]
