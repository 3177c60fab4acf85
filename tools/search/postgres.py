"""Hybrid search in PostgreSQL with pgvector: all requests in one round trip, in the caller's own transaction."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from string import Template
from struct import Struct
from typing import Any, cast

import numpy as np
import psycopg
from psycopg.adapt import Buffer, Dumper
from psycopg.pq import Format
from psycopg.rows import DictRow

from fiel.tools.embed import Vector
from fiel.tools.errors import CollectionNotFound, DatabaseUnavailable, ModelUnreadable
from fiel.tools.principal import Principal
from fiel.tools.search import CollectionInfo, Passage, SearchRequest
from fiel.tools.search.fusion import DEPTH, WIDTH, clean
from fiel.tools.sql import load, numbered

LOG = logging.getLogger("fiel.search")
Statement = tuple[bytes, Sequence[Any]]
Settings = tuple[tuple[str, str], ...]
Read = Callable[[Principal, Sequence[Statement], Settings], Awaitable[list[list[DictRow]]]]
"""Runs statements in one transaction in which row security knows the caller and settings of the server are as named
(`fiel.infra.database.Database.read`)."""

SETTINGS: Settings = (
    # The statement is planned once a connection: planning it costs more than running it. Its plan is the same for every
    # collection and caller because the statement itself chooses by the number of visible chunks, and because without
    # sequential scans each step has one index to go by.
    ("plan_cache_mode", "force_generic_plan"),
    ("enable_seqscan", "off"),
    ("jit", "off"),
    ("max_parallel_workers_per_gather", "0"),
    # The scan of the vector index goes on until enough rows pass the filters.
    ("hnsw.iterative_scan", "relaxed_order"),
    ("hnsw.max_scan_tuples", "40000"),
)

VERSION = "postgres:6"
"""Changes whenever the same rows and request could give another list."""

WIDEST = 1_200
"""Dimensions of the widest vector that stands by its shelf (`fiel.half`)."""

EXACT_WIDE = 2_500
"""Visible chunks up to which all are compared where vectors are wider; of others the statement itself decides."""

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


psycopg.adapters.register_dumper(_Packed, _PackedDumper)


class PostgresSearch:
    """Search over the chunks that row security shows to the caller.

    The vectors compared are those of `model` (`Embedder.version`) and `dimensions`; chunks embedded by another model
    are still found by their words.
    """

    def __init__(
        self, read: Read, *, model: str, dimensions: int, exact: int | None = None, common: int = COMMON
    ) -> None:
        """`exact`: visible chunks up to which all are compared; None: as many as make it the quicker way."""
        queries = load("fiel.tools.search", "search.sql")
        self._read = read
        self._model = model
        self._dimensions = dimensions
        wide = dimensions > WIDEST
        self._exact = EXACT_WIDE if exact is None and wide else exact
        self._common = common
        self.widened = 0
        """Searches that the index answered with too few passages, and that were asked again without it."""
        self.short = 0
        """Searches that gave fewer passages than asked for and than their caller may read: never, if all is well."""
        self._collection, _ = numbered(queries["collection"])
        few = queries["few_wide" if wide else "few"]
        hybrid = Template(queries["hybrid"]).substitute(dimensions=int(dimensions), few=few)
        self._hybrid, self._names = numbered(hybrid)

    @property
    def version(self) -> str:
        return VERSION

    async def collection(self, principal: Principal, name: str) -> CollectionInfo:
        """See `Search.collection`. Raises CollectionNotFound, DatabaseUnavailable."""
        if name != clean(name):
            raise _unknown(name)
        try:
            (rows,) = await self._read(principal, [(self._collection, (name,))], ())
        except psycopg.Error as error:
            raise DatabaseUnavailable(f"the collection could not be looked up: {type(error).__name__}") from error
        if not rows:
            raise _unknown(name)
        languages = tuple(row["language"] for row in rows if row["chunks"])
        return CollectionInfo(name=rows[0]["name"], policy=rows[0]["policy"], languages=languages)

    async def search(self, principal: Principal, requests: Sequence[SearchRequest]) -> list[list[Passage]]:
        """See `Search.search`. Raises CollectionNotFound, DatabaseUnavailable, and ModelUnreadable for a bad vector."""
        asked = [self._parameters(request) for request in requests]
        if not asked:
            return []
        found = await self._hits(principal, asked)
        for place, rows in enumerate(found):
            if not rows:
                await self.collection(principal, requests[place].collection)
            elif _lacks(rows, requests[place].k):
                found[place] = await self._repaired(principal, asked[place], rows)
        return [[_passage(row) for row in rows] for rows in found]

    async def _repaired(self, principal: Principal, asked: dict[str, Any], rows: list[DictRow]) -> list[DictRow]:
        """The index gave fewer than there are to give: asked again without it. Fewer still is an alarm."""
        if asked["exact"] != _ALL:
            self.widened += 1
            (rows,) = await self._hits(principal, [{**asked, "exact": _ALL}])
        if _lacks(rows, asked["k"]):
            self.short += 1
            visible = rows[0]["visible"] if rows else 0
            LOG.error("a search gave %d of %d passages, of %d that are visible", len(rows), asked["k"], visible)
        return rows

    async def _hits(self, principal: Principal, asked: Sequence[dict[str, Any]]) -> list[list[DictRow]]:
        statements = [(self._hybrid, [values[name] for name in self._names]) for values in asked]
        try:
            return await self._read(principal, statements, SETTINGS)
        except psycopg.Error as error:
            raise DatabaseUnavailable(f"the search failed in the database: {type(error).__name__}") from error

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
            "width": max(WIDTH, request.k),
            "k": max(0, request.k),
        }


def _lacks(rows: Sequence[DictRow], k: int) -> bool:
    """Whether these are fewer than asked for and than there are."""
    return bool(rows) and len(rows) < min(k, rows[0]["visible"])


def _unknown(name: str) -> CollectionNotFound:
    return CollectionNotFound(
        f"there is no collection {name[:80]!r} that you may read", hint="`fiel ingest PATH --collection NAME` makes one"
    )


def _passage(row: DictRow) -> Passage:
    row.pop("visible")
    return cast("Passage", row)
