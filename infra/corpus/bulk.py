"""Chunks that are already cut and embedded, put into a collection as they are: for benchmarks, evaluation and tests."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from itertools import groupby
from operator import attrgetter
from typing import Any

from psycopg import AsyncConnection

from fiel.tools.principal import CURATORS, Principal
from fiel.tools.search.memory import Stored
from fiel.tools.sql import load

Acting = Callable[[Principal], AbstractAsyncContextManager[AsyncConnection[Any]]]


class Bulk:
    """Writes for one caller, who must be a curator or administrator."""

    def __init__(self, acting: Acting, principal: Principal) -> None:
        self._acting = acting
        self._principal = principal
        self._sql = load("fiel.infra.corpus", "bulk.sql")

    async def put(self, collection: str, chunks: Iterable[Stored] = (), *, policy: str = "") -> None:
        """Add documents; the chunks of one follow one another and share version and ACL. One transaction in all."""
        groups = [list(group) for _, group in groupby(chunks, key=attrgetter("document"))]
        acls = {group[0].acl for group in groups}
        ids = {acl: await self._grants(acl) for acl in sorted(acls or {frozenset[str]()}, key=sorted)}
        async with self._acting(self._principal) as connection:
            values = {"name": collection, "policy": policy}
            row = await (await connection.execute(self._sql["collection"], values)).fetchone()
            assert row is not None  # noqa: S101 - the statement always returns one
            for group in groups:
                await self._document(connection, {"collection": row[0], "acl": ids[group[0].acl]}, group)

    async def allow(self, document: str, acl: frozenset[str]) -> None:
        """Set who may read `document`, beside curators."""
        values = {"document": document, "acl": await self._grants(acl)}
        await self._run(("allow",), values)

    async def delete(self, document: str) -> None:
        """Leave a tombstone, for curators; the chunks go."""
        values = {"document": document, "acl": await self._grants(frozenset())}
        await self._run(("drop_chunks", "tombstone"), values)

    async def _run(self, queries: Sequence[str], values: Mapping[str, Any]) -> None:
        async with self._acting(self._principal) as connection:
            for query in queries:
                await connection.execute(self._sql[query], values)

    async def _grants(self, names: frozenset[str]) -> list[int]:
        """Ids, in a transaction of its own: row security counts a caller's new grants from the next one on."""
        async with self._acting(self._principal) as connection:
            values = {"names": sorted({*names, *CURATORS})}
            row = await (await connection.execute(self._sql["grant_ids"], values)).fetchone()
        return list(row[0]) if row else []

    async def _document(
        self, connection: AsyncConnection[Any], values: Mapping[str, Any], chunks: Sequence[Stored]
    ) -> None:
        first = chunks[0]
        values = {
            **values,
            "document": first.document,
            "version": first.version,
            "uri": first.uri,
            "title": first.title,
            "licence": first.licence,
            "trust": first.trust,
            "language": first.language,
            "text": "".join(chunk.text for chunk in chunks),
            "ids": [chunk.chunk for chunk in chunks],
            "ordinals": list(range(len(chunks))),
            "starts": [chunk.start for chunk in chunks],
            "ends": [chunk.end for chunk in chunks],
            "texts": [chunk.text for chunk in chunks],
            "contexts": [chunk.context for chunk in chunks],
            "languages": [chunk.language for chunk in chunks],
            "models": [chunk.model for chunk in chunks],
            "vectors": [str(chunk.vector.tolist()) for chunk in chunks],
        }
        for query in ("document", "version", "current", "chunks"):
            await connection.execute(self._sql[query], values)
