"""The documents of a database: what `ingest` and `search` need, and what answers stand on."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from fiel.infra import models
from fiel.infra.corpus.ingest import ingest
from fiel.infra.corpus.prepare import Limits
from fiel.infra.corpus.report import OnProgress, Report
from fiel.infra.corpus.store import Marks
from fiel.infra.database.connect import Database
from fiel.infra.database.open import open_database
from fiel.infra.lineage.catalogue import IngestTold
from fiel.infra.settings import Settings
from fiel.tools.embed import Embedder
from fiel.tools.language import LanguageDetector
from fiel.tools.principal import Principal
from fiel.tools.search import Passage, SearchRequest
from fiel.tools.search.postgres import PostgresSearch


def _limits(settings: Settings) -> Limits:
    """Bounds of what is ingested."""
    return Limits(max_file=settings.max_file_mb * 2**20, max_text=settings.max_text_mb * 2**20)


@dataclass(frozen=True, slots=True)
class Corpus:
    """Documents: what goes in, what is found."""

    settings: Settings
    database: Database
    embed: Embedder
    language: Callable[[str], str]
    index: PostgresSearch

    async def ingest(
        self,
        paths: Sequence[str | Path],
        *,
        collection: str,
        principal: Principal,
        allow: Sequence[str] = (),
        marks: Marks | None = None,
        progress: OnProgress | None = None,
    ) -> Report:
        """Sync files or folders into a collection, see `fiel.infra.corpus.ingest`."""
        return await ingest(
            self.database,
            self.embed,
            paths,
            collection=collection,
            principal=principal,
            allow=allow,
            marks=marks,
            progress=progress,
            limits=_limits(self.settings),
            telling=IngestTold(self.database).telling if self.settings.openlineage_url else None,
        )

    async def search(self, principal: Principal, collection: str, text: str, k: int) -> list[Passage]:
        """The k best passages that the caller may read."""
        request = SearchRequest(collection, text, await self.embed.query(text), self.language(text), k)
        await self.index.collection(principal, collection)
        return (await self.index.search(principal, [request]))[0]


@asynccontextmanager
async def open_corpus(settings: Settings) -> AsyncIterator[Corpus]:
    """What `ingest` and `search` need."""
    models.quiet_threads()
    async with open_database(settings) as database:
        yield corpus_over(settings, database, await asyncio.to_thread(models.embedder, settings), LanguageDetector())


def corpus_over(settings: Settings, database: Database, embed: Embedder, language: LanguageDetector) -> Corpus:
    """The documents of an open database."""
    index = PostgresSearch(database.read, model=embed.version, dimensions=embed.dimensions)
    return Corpus(settings, database, embed, language, index)
