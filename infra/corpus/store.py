"""What an ingest writes: one transaction a document, each as the caller."""

import asyncio
import hashlib
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import psycopg
from psycopg import AsyncConnection

from fiel.infra.corpus.prepare import Prepared
from fiel.infra.corpus.sources import Source
from fiel.infra.corpus.walk import Entry
from fiel.infra.database.connect import Database
from fiel.tools.embed import Vector
from fiel.tools.errors import DatabaseUnavailable
from fiel.tools.principal import CURATORS, Principal
from fiel.tools.search import Trust
from fiel.tools.sql import load

Result = TypeVar("Result")

RETRIES = 5
PAGE = 1000


@dataclass(frozen=True, slots=True)
class Marks:
    """What holds for all documents of a source."""

    licence: str = ""
    """SPDX identifier or expression; empty: not known."""
    trust: Trust = "internal"


@dataclass(frozen=True, slots=True)
class Place:
    """Where an ingest writes to, and for whom."""

    collection: uuid.UUID
    source: uuid.UUID
    acl: tuple[int, ...]
    curators: tuple[int, ...]
    marks: Marks = Marks()


@dataclass(frozen=True, slots=True)
class Stored:
    """A document as it stands in the collection."""

    id: uuid.UUID
    key: str
    uri: str
    sha256: bytes
    recipe: str
    acl: tuple[int, ...]
    source: uuid.UUID | None


@dataclass(frozen=True, slots=True)
class Written:
    """What storing a document did."""

    what: Literal["added", "updated", "unchanged"]
    dropped: int = 0
    """Chunks of the version before whose text does not stand in the new one."""


class Store:
    """The corpus tables, for one caller and one model."""

    def __init__(self, database: Database, principal: Principal, model: str, recipe: str) -> None:
        """`model`: version of the embedder. `recipe`: versions of all that makes chunks and vectors."""
        self._database = database
        self._principal = principal
        self._model = model
        self.recipe = recipe
        self._sql = load("fiel.infra.corpus", "corpus.sql")

    async def open(self, collection: str, origin: Source, readers: Sequence[str], marks: Marks = Marks()) -> Place:
        """Collection and source, made where they are missing; whom `readers` leaves out loses access at once."""

        async def grants(connection: AsyncConnection[Any]) -> tuple[tuple[int, ...], tuple[int, ...]]:
            acl = await self._value(connection, "grant_ids", names=sorted({*CURATORS, *readers}))
            return tuple(acl), tuple(await self._value(connection, "grant_ids", names=sorted(CURATORS)))

        # A transaction of its own: row security knows a caller's grants from its start, so new ones count in the next.
        acl, curators = await self._acting(grants)

        async def opened(connection: AsyncConnection[Any]) -> Place:
            found = await self._collection(connection, collection)
            source = await self._value(connection, "open_source", collection=found, uri=origin.uri)
            first, beyond = origin.span
            scope = {"collection": found, "first": first, "beyond": beyond, "acl": list(acl)}
            await connection.execute(self._sql["narrow_documents"], scope)
            marked = {**scope, "licence": marks.licence, "trust": marks.trust}
            await connection.execute(self._sql["mark_documents"], marked)
            return Place(found, source, acl, curators, marks)

        return await self._acting(opened)

    async def _collection(self, connection: AsyncConnection[Any], name: str) -> uuid.UUID:
        """Its id. A statement cannot see what another made since it began, hence the second look."""
        for _ in range(2):
            row = await (await connection.execute(self._sql["open_collection"], {"name": name})).fetchone()
            if row is not None:
                return uuid.UUID(str(row[0]))
        raise DatabaseUnavailable(f"the collection {name!r} was removed while it was opened", hint="Ingest again")

    @asynccontextmanager
    async def alone(self, what: str, waiting: Callable[[], None]) -> AsyncIterator[None]:
        """Hold the lock named `what` for the block; `waiting` is called while somebody else holds it."""
        name = f"{self._principal.tenant}\x1f{what}"
        while True:
            async with self._database.system() as connection:
                row = await (await connection.execute(self._sql["try_lock"], {"what": name})).fetchone()
                if row is not None and row[1]:
                    yield
                    return
            waiting()
            await asyncio.sleep(0.25)

    async def stored(self, place: Place, after: str, upto: str) -> list[Stored]:
        """At most `PAGE` documents with `after` < key ≤ `upto`, by key."""

        async def read(connection: AsyncConnection[Any]) -> list[Stored]:
            values = {"collection": place.collection, "after": after, "upto": upto, "most": PAGE}
            rows = await (await connection.execute(self._sql["stored"], values)).fetchall()
            return [Stored(row[0], row[1], row[2], bytes(row[3]), row[4], tuple(row[5]), row[6]) for row in rows]

        return await self._acting(read)

    async def regrant(self, place: Place, documents: Sequence[tuple[uuid.UUID, str]]) -> None:
        """New readers, address and source for unchanged documents (id, uri); no text is touched."""
        ids, uris = [document for document, _ in documents], [uri for _, uri in documents]

        async def write(connection: AsyncConnection[Any]) -> None:
            values = {"ids": ids, "uris": uris, "acl": list(place.acl), "source": place.source}
            await connection.execute(self._sql["regrant"], values)

        await self._acting(write)

    async def delete(self, place: Place, documents: Sequence[uuid.UUID]) -> tuple[int, int]:
        """Tombstones; their chunks leave search with them. Numbers of documents and chunks."""

        async def write(connection: AsyncConnection[Any]) -> tuple[int, int]:
            values = {"ids": list(documents), "curators": list(place.curators)}
            chunks = await connection.execute(self._sql["drop_chunks"], values)
            gone = await connection.execute(self._sql["tombstone"], values)
            return gone.rowcount, chunks.rowcount

        return await self._acting(write)

    async def known(self, hashes: Sequence[bytes]) -> set[bytes]:
        """Those of `hashes` whose vectors are stored."""

        async def read(connection: AsyncConnection[Any]) -> set[bytes]:
            values = {"model": self._model, "hashes": list(hashes)}
            rows = await (await connection.execute(self._sql["known_vectors"], values)).fetchall()
            return {bytes(row[0]) for row in rows}

        return await self._acting(read)

    async def keep(self, vectors: Sequence[tuple[bytes, Vector]]) -> None:
        """Store vectors by hash; a kill later loses none of them."""
        texts = ["[" + ",".join(f"{value:.9g}" for value in vector.tolist()) + "]" for _, vector in vectors]

        async def write(connection: AsyncConnection[Any]) -> None:
            values = {"model": self._model, "hashes": [key for key, _ in vectors], "vectors": texts}
            await connection.execute(self._sql["keep_vectors"], values)

        await self._acting(write)

    async def write(self, place: Place, entry: Entry, sha256: bytes, size: int, document: Prepared) -> Written:
        """A document, its version and its chunks, whose vectors are stored already: all or nothing."""

        async def write(connection: AsyncConnection[Any]) -> Written:
            return await _DocumentWriter(connection, self._sql, self._model, self.recipe).write(
                place, entry, sha256, size, document
            )

        return await self._acting(write)

    async def finish(self, place: Place) -> None:
        """The source has been read through."""

        async def write(connection: AsyncConnection[Any]) -> None:
            await connection.execute(self._sql["close_source"], {"source": place.source})

        await self._acting(write)

    async def _value(self, connection: AsyncConnection[Any], query: str, **values: Any) -> Any:
        row = await (await connection.execute(self._sql[query], values)).fetchone()
        if row is None:
            raise DatabaseUnavailable(f"the query {query} gave no row")
        return row[0]

    async def _acting(self, work: Callable[[AsyncConnection[Any]], Awaitable[Result]]) -> Result:
        """`work` in a transaction of the caller; once more where the server gave way in a deadlock."""
        for attempt in range(RETRIES):
            try:
                async with self._database.acting(self._principal) as connection:
                    return await work(connection)
            except (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure):
                if attempt == RETRIES - 1:
                    raise
                await asyncio.sleep(0.05 * 2**attempt)
        raise AssertionError("unreachable")


def embedded_text(context: str, text: str) -> str:
    """What is embedded of a chunk."""
    return f"{context}\n\n{text}" if context else text


def chunk_hashes(document: Prepared) -> list[bytes]:
    """SHA-256 of what is embedded of each chunk."""
    return [hashlib.sha256(embedded_text(chunk.context, chunk.text).encode()).digest() for chunk in document.chunks]


@dataclass(frozen=True, slots=True)
class _DocumentWriter:
    """Statements of one document's transaction."""

    connection: AsyncConnection[Any]
    sql: Any
    model: str
    recipe: str

    async def write(self, place: Place, entry: Entry, sha256: bytes, size: int, document: Prepared) -> Written:
        text_sha256 = hashlib.sha256(document.text.encode()).digest()
        values: dict[str, Any] = {
            "collection": place.collection,
            "source": place.source,
            "acl": list(place.acl),
            "key": entry.key,
            "uri": entry.uri,
            "sha256": sha256,
            "recipe": self.recipe,
            "model": self.model,
            "title": document.title,
            "language": document.language,
            "media_type": document.media_type,
            "licence": place.marks.licence,
            "trust": place.marks.trust,
        }
        identity, found = await self._locked(values)
        values["document"] = identity
        if found is not None and not found[4] and (bytes(found[2]), found[3]) == (sha256, self.recipe):
            return Written("unchanged")  # another ingest was faster
        same = found is not None and found[1] is not None and bytes(found[2]) == sha256 and found[5] == text_sha256
        values["version"] = found[1] if found is not None and same else uuid.uuid4()
        if not same:
            await self._version(values, size, text_sha256, document)
        gone = await (await self.connection.execute(self.sql["drop_chunks"], {"ids": [identity]})).fetchall()
        await self.connection.execute(self.sql["set_document"], values)  # its audience says where its chunks go
        kept = await self._chunks(values, document)
        dropped = Counter(bytes(row[0]) for row in gone) - Counter(kept)
        return Written("added" if found is None or found[4] else "updated", dropped.total())

    async def _locked(self, values: dict[str, Any]) -> tuple[uuid.UUID, tuple[Any, ...] | None]:
        """The document's id, its row locked, and what it was before (None: it is new)."""
        while True:
            found = await (await self.connection.execute(self.sql["find_document"], values)).fetchone()
            if found is not None:
                return found[0], found
            made = await (await self.connection.execute(self.sql["add_document"], values)).fetchone()
            if made is not None:
                return made[0], None

    async def _version(self, values: dict[str, Any], size: int, text_sha256: bytes, document: Prepared) -> None:
        version = {
            **values,
            "text": document.text,
            "text_sha256": text_sha256,
            "parser": self.recipe.split(";", 1)[0],
            "size": size,
            "pages": list(document.pages),
        }
        await self.connection.execute(self.sql["add_version"], version)

    async def _chunks(self, values: dict[str, Any], document: Prepared) -> list[bytes]:
        hashes = chunk_hashes(document)
        if hashes:
            chunks = {
                **values,
                "starts": [chunk.start for chunk in document.chunks],
                "ends": [chunk.end for chunk in document.chunks],
                "texts": [chunk.text for chunk in document.chunks],
                "contexts": [chunk.context for chunk in document.chunks],
                "hashes": hashes,
            }
            put = await self.connection.execute(self.sql["add_chunks"], chunks)
            if put.rowcount != len(hashes):
                raise DatabaseUnavailable(
                    f"{len(hashes) - put.rowcount} vectors have vanished while they were needed", hint="Ingest again"
                )
        return hashes
