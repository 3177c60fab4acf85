"""Queries of named files: prepared, binary, rows as dictionaries."""

from collections.abc import Mapping
from typing import Any

import orjson
from psycopg import AsyncConnection, AsyncCursor
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

Row = dict[str, Any]
Connection = AsyncConnection[Any]


async def run(connection: Connection, sql: str, values: Mapping[str, Any]) -> AsyncCursor[Row]:
    """Execute one query."""
    cursor = connection.cursor(row_factory=dict_row, binary=True)
    await cursor.execute(sql, values, prepare=True)
    return cursor


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
