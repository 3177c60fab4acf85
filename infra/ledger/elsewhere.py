"""Second places of signed heads: where whoever owns the database cannot reach, so that a chain that was cut or made
anew does not fit what lies there.

`Elsewhere` has four adapters: a file and another database here, an object store in `objects`, and an authority that
stamps times (RFC 3161) in `timestamps`.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from fiel.infra.ledger.heads import Head, HeadsUnwritten, append, read
from fiel.tools.errors import SettingsError

_LOG = logging.getLogger("fiel.ledger")


class Elsewhere(Protocol):
    """One place. Both methods raise HeadsUnwritten where it cannot be reached, and HeadsAltered where it holds what is
    no head.
    """

    @property
    def name(self) -> str:
        """For messages; without passwords."""
        ...

    async def keep(self, heads: Sequence[Head]) -> None:
        """Keep heads, for good. Keeping one again changes nothing, or adds another copy."""
        ...

    async def kept(self, tenant: str) -> Sequence[Head]:
        """Heads of a tenant, in any order."""
        ...


@dataclass(frozen=True, slots=True)
class FilePlace:
    """A file, on another disk or machine: one JSON object a line, appended to."""

    path: Path

    @property
    def name(self) -> str:
        return str(self.path)

    async def keep(self, heads: Sequence[Head]) -> None:
        await asyncio.to_thread(append, self.path, [head.line() for head in heads])

    async def kept(self, tenant: str) -> Sequence[Head]:
        found = await asyncio.to_thread(read, self.path)
        return [head for head in found if head.tenant == tenant]


_TABLE = """
CREATE TABLE IF NOT EXISTS fiel_heads (
    tenant text, number bigint, body bytea, signature bytea, kept_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, number, signature)
)
"""


@dataclass(frozen=True, slots=True)
class DatabasePlace:
    """Another PostgreSQL, in the table `fiel_heads`. Once that is there, its role need but insert and select."""

    url: str

    @property
    def name(self) -> str:
        from fiel.infra.database.errors import place

        return place(self.url)

    async def keep(self, heads: Sequence[Head]) -> None:
        rows = [(head.tenant, head.number, head.body, head.signature) for head in heads]
        query = (
            "INSERT INTO fiel_heads (tenant, number, body, signature) VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING"
        )
        await self._ask(query, rows)

    async def kept(self, tenant: str) -> Sequence[Head]:
        query = "SELECT tenant, number, body, signature FROM fiel_heads WHERE tenant = %s"
        return [
            Head(one, number, bytes(body), bytes(sign)) for one, number, body, sign in await self._ask(query, tenant)
        ]

    async def _ask(
        self, query: str, values: Sequence[tuple[object, ...]] | str
    ) -> Sequence[tuple[str, int, bytes, bytes]]:
        import psycopg

        try:
            async with await psycopg.AsyncConnection.connect(self.url, connect_timeout=10) as connection:
                cursor = connection.cursor()
                row = await (await cursor.execute("SELECT to_regclass('fiel_heads')")).fetchone()
                if row is None or row[0] is None:
                    await cursor.execute(_TABLE)
                if isinstance(values, str):
                    return await (await cursor.execute(query.encode(), (values,))).fetchall()
                await cursor.executemany(query.encode(), values)
                return []
        except psycopg.Error as error:
            raise HeadsUnwritten("signed heads cannot be kept in the other database", where=self.name) from error


def places(text: str, home: Path, roots: str = "") -> list[Elsewhere]:
    """The places that a setting names, by comma. `roots`: certificates of who stamps times. Raises SettingsError."""
    return [_place(one, home, roots) for one in (part.strip() for part in text.split(",")) if one]


def _place(text: str, home: Path, roots: str) -> Elsewhere:
    scheme = text.partition("://")[0] if "://" in text else ""
    if scheme in ("postgresql", "postgres"):
        return DatabasePlace(text)
    if scheme == "s3":
        from fiel.infra.ledger.objects import ObjectPlace

        return ObjectPlace.at(text)
    if scheme in ("tsa+http", "tsa+https"):
        from fiel.infra.ledger.timestamps import TimestampPlace

        return TimestampPlace.at(text.removeprefix("tsa+"), home, roots)
    if scheme not in ("", "file"):
        raise SettingsError(
            f"{scheme}:// is no place for signed heads",
            where="FIEL_HEADS",
            hint="Write a file, postgresql://…, s3://bucket/prefix or tsa+https://…",
        )
    return FilePlace(Path(text.removeprefix("file://")).expanduser().absolute())


class Spread:
    """Keeps heads in every place. What a place does not take now, it is given again with the next ones."""

    def __init__(self, kept: Sequence[Elsewhere]) -> None:
        self.places = kept
        self._owed: list[dict[str, Head]] = [{} for _ in kept]
        """By tenant, the last head that the place has not taken: a later head covers those before it."""

    async def keep(self, heads: Sequence[Head]) -> None:
        """Never raises for a place that cannot be reached: the log says so."""
        for place, owed in zip(self.places, self._owed, strict=True):
            owed |= {head.tenant: head for head in heads}
            if not owed:
                continue
            try:
                await place.keep(list(owed.values()))
                owed.clear()
            except HeadsUnwritten as error:
                _LOG.error("signed heads wait for their second place %s: %s", place.name, error)
