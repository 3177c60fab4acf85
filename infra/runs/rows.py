"""Queries of named files: prepared, binary, rows as dictionaries."""

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

import orjson
from psycopg import AsyncConnection, AsyncCursor, AsyncServerCursor
from psycopg.abc import Buffer
from psycopg.adapt import Loader
from psycopg.pq import Format
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

Row = dict[str, Any]
Connection = AsyncConnection[Any]


class _Jsonb(Loader):
    """A jsonb column as orjson reads it: numbers beyond 64 bits, which PostgreSQL writes out, become floats again."""

    format = Format.BINARY

    def load(self, data: Buffer) -> Any:
        return orjson.loads(memoryview(data)[1:])  # after the version of the format


_NAMED = re.compile(r"%\((\w+)\)s")


@cache
def _numbered(sql: str) -> tuple[bytes, tuple[str, ...]]:
    names = tuple(dict.fromkeys(_NAMED.findall(sql)))
    return _NAMED.sub(lambda match: f"${names.index(match[1]) + 1}", sql).encode(), names


def statement(sql: str, values: Mapping[str, Any]) -> tuple[bytes, Sequence[Any]]:
    """A query of a named file for `Database.read` and `Database.write`."""
    text, names = _numbered(sql)
    return text, [values[name] for name in names]


async def run(connection: Connection, sql: str, values: Mapping[str, Any]) -> AsyncCursor[Row]:
    """Execute one query."""
    cursor = connection.cursor(row_factory=dict_row, binary=True)
    cursor.adapters.register_loader("jsonb", _Jsonb)
    await cursor.execute(sql, values, prepare=True)
    return cursor


@asynccontextmanager
async def scan(connection: Connection, sql: str, values: Mapping[str, Any]) -> AsyncIterator[AsyncServerCursor[Row]]:
    """Rows of a query that are fetched bit by bit."""
    async with connection.cursor("scan", row_factory=dict_row) as cursor:
        cursor.adapters.register_loader("jsonb", _Jsonb)
        await cursor.execute(sql, values, binary=True)
        yield cursor


async def fetch(connection: Connection, sql: str, values: Mapping[str, Any]) -> list[Row]:
    """All rows of a query."""
    return await (await run(connection, sql, values)).fetchall()


async def one(connection: Connection, sql: str, values: Mapping[str, Any]) -> Row | None:
    """The first row of a query."""
    return await (await run(connection, sql, values)).fetchone()


def jsonb(value: Any) -> Jsonb:
    """A JSON column's parameter."""
    return Jsonb(value, dumps=orjson.dumps)


def contained(whole: Any, part: Any) -> bool:
    """PostgreSQL's `whole @> part` for values that are sealed and so cannot be asked for in the database."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(key in whole and contained(whole[key], part[key]) for key in part)
    if isinstance(part, list):
        return isinstance(whole, list) and all(any(contained(one, wanted) for one in whole) for wanted in part)
    if isinstance(part, bool) or isinstance(whole, bool):
        return part is whole
    return bool(whole == part)
