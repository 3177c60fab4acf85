"""Hybrid search in PostgreSQL with pgvector: one statement a request, run in the caller's own transaction."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from string import Template
from struct import Struct
from typing import Any, cast

import numpy as np
import psycopg
from psycopg import AsyncConnection, AsyncCursor
from psycopg.adapt import Buffer, Dumper
from psycopg.pq import Format
from psycopg.rows import DictRow, dict_row

from fiel.tools.embed import Vector
from fiel.tools.errors import CollectionNotFound, DatabaseUnavailable, ModelUnreadable
from fiel.tools.principal import Principal
from fiel.tools.search import CollectionInfo, Passage, SearchRequest
from fiel.tools.search.fusion import DEPTH, clean
from fiel.tools.sql import load

Acting = Callable[[Principal], AbstractAsyncContextManager[AsyncConnection[Any]]]
"""Opens a transaction in which row security knows the caller (`fiel.infra.database.Database.acting`)."""

VERSION = "postgres:1"
"""Changes whenever the same rows and request could give another list."""

EXACT = 2_500
"""Visible chunks up to which all are compared (some 6 ms); above, the vector index is quicker."""

COMMON = 1_000
"""Postings above which a word counts as common: it finds no chunk by itself, and only adds to what others found."""

_ALL = 2**31 - 1
_HEADER = Struct("!HH")


class _Packed:
    """A vector on its way to the server, in pgvector's binary form: dimensions, zero, big-endian floats."""

    __slots__ = ("data",)

    def __init__(self, vector: Vector) -> None:
        self.data = _HEADER.pack(len(vector), 0) + vector.astype(">f4").tobytes()


class _PackedDumper(Dumper):
    format = Format.BINARY
    oid = 0
    """Unknown: the statement casts, so that no lookup of the extension's type is needed."""

    def dump(self, obj: _Packed) -> Buffer:
        return obj.data


class PostgresSearch:
    """Search over the chunks that row security shows to the caller.

    The vectors compared are those of `model` (`Embedder.version`) and `dimensions`; chunks embedded by another model
    are still found by their words.
    """

    def __init__(
        self, acting: Acting, *, model: str, dimensions: int, exact: int = EXACT, common: int = COMMON
    ) -> None:
        queries = load("fiel.tools.search", "search.sql")
        self._acting = acting
        self._model = model
        self._dimensions = dimensions
        self._exact = exact
        self._common = common
        self._settings = queries["settings"].encode()
        self._collection = queries["collection"].encode()
        self._hybrid = Template(queries["hybrid"]).substitute(dimensions=int(dimensions)).encode()

    @property
    def version(self) -> str:
        return VERSION

    async def collection(self, principal: Principal, name: str) -> CollectionInfo:
        """See `Search.collection`. Raises CollectionNotFound, DatabaseUnavailable."""
        if name != clean(name):
            raise _unknown(name)
        try:
            async with self._acting(principal) as connection, connection.cursor(row_factory=dict_row) as cursor:
                return await self._info(cursor, name)
        except psycopg.Error as error:
            raise DatabaseUnavailable(f"the collection could not be looked up: {type(error).__name__}") from error

    async def search(self, principal: Principal, requests: Sequence[SearchRequest]) -> list[list[Passage]]:
        """See `Search.search`. Raises CollectionNotFound, DatabaseUnavailable, and ModelUnreadable for a bad vector."""
        asked = [(request, self._parameters(request)) for request in requests]
        if not asked:
            return []
        try:
            async with self._acting(principal) as connection:
                return await self._all(connection, asked)
        except psycopg.Error as error:
            raise DatabaseUnavailable(f"the search failed in the database: {type(error).__name__}") from error

    async def _all(
        self, connection: AsyncConnection[Any], asked: Sequence[tuple[SearchRequest, dict[str, Any]]]
    ) -> list[list[Passage]]:
        """All requests in one go: the server works on the next while the last one's rows travel."""
        cursors = []
        async with connection.pipeline():
            await connection.execute(self._settings)
            for _, parameters in asked:
                cursor = connection.cursor(row_factory=dict_row)
                cursor.adapters.register_dumper(_Packed, _PackedDumper)
                cursors.append(await cursor.execute(self._hybrid, parameters, prepare=True))
        found = []
        for cursor, (request, parameters) in zip(cursors, asked, strict=True):
            found.append(await self._complete(cursor, request, parameters))
        return found

    async def _complete(
        self, cursor: AsyncCursor[DictRow], request: SearchRequest, parameters: dict[str, Any]
    ) -> list[Passage]:
        """The rows of one request; asked again without the index where that gave fewer than there are to give."""
        rows = await cursor.fetchall()
        if not rows:
            await self._info(cursor, request.collection)
            return []
        if len(rows) < min(request.k, rows[0]["visible"]) and parameters["exact"] < _ALL:
            rows = await (await cursor.execute(self._hybrid, {**parameters, "exact": _ALL})).fetchall()
        return [_passage(row) for row in rows]

    async def _info(self, cursor: AsyncCursor[DictRow], name: str) -> CollectionInfo:
        rows = await (await cursor.execute(self._collection, {"collection": name})).fetchall()
        if not rows:
            raise _unknown(name)
        languages = tuple(row["language"] for row in rows if row["chunks"])
        return CollectionInfo(name=rows[0]["name"], policy=rows[0]["policy"], languages=languages)

    def _parameters(self, request: SearchRequest) -> dict[str, Any]:
        if request.collection != clean(request.collection):
            raise _unknown(request.collection)
        vector = np.asarray(request.vector, dtype=np.float32)
        if vector.shape != (self._dimensions,) or not np.isfinite(vector).all():
            raise ModelUnreadable(
                f"the question's vector is not {self._dimensions} finite numbers",
                hint="The embedder must be the one that the collections were made with",
            )
        directed = bool(vector.any())
        return {
            "collection": request.collection,
            "text": clean(request.text),
            "language": clean(request.language),
            # Without a direction nothing is near: words alone decide, over all that is visible.
            "vector": _Packed(vector) if directed else None,
            "model": self._model,
            "dimensions": self._dimensions,
            "exact": self._exact if directed else _ALL,
            "common": self._common,
            "depth": max(DEPTH, request.k),
            "k": max(0, request.k),
        }


def _unknown(name: str) -> CollectionNotFound:
    return CollectionNotFound(
        f"there is no collection {name[:80]!r} that you may read", hint="`fiel ingest PATH --collection NAME` makes one"
    )


def _passage(row: DictRow) -> Passage:
    row.pop("visible")
    return cast("Passage", row)
