"""Prepared statements in one round trip, on libpq's pipeline itself.

psycopg's own pipeline makes a cursor, two locked sections and several generators a statement; of a short transaction
that is more than half of what the client pays. Types are converted by psycopg's adapters, waiting and cancelling are
its connection's. Protocol: https://www.postgresql.org/docs/current/libpq-pipeline-mode.html
"""

from collections.abc import Generator, Sequence
from itertools import count
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import psycopg
from psycopg import AsyncConnection
from psycopg.abc import Buffer
from psycopg.adapt import PyFormat, Transformer
from psycopg.errors import error_from_result
from psycopg.generators import fetch_many, send
from psycopg.pq import ConnStatus, ExecStatus, Format, PipelineStatus
from psycopg.pq.abc import PGresult
from psycopg.rows import DictRow

_DONE = (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK)
_NAME, _NUMBERS = b"fiel_%d", count()
_PREPARED: WeakKeyDictionary[AsyncConnection[Any], dict[tuple[bytes, tuple[int, ...]], bytes]] = WeakKeyDictionary()
"""Of each connection, by text and types of parameters: the name under which the server knows the statement."""


class Bound(NamedTuple):
    """A statement with its parameters, as the server takes them."""

    text: bytes
    """With parameters $1, $2, …"""
    values: Sequence[Buffer | None]
    types: tuple[int, ...]
    formats: Sequence[Any]
    answer: Format = Format.TEXT
    """How rows come back."""


def bound(text: bytes, values: Sequence[Any], answer: Format = Format.TEXT) -> Bound:
    """A statement and Python's values."""
    convert = Transformer()
    data = convert.dump_sequence(values, [PyFormat.AUTO] * len(values))
    return Bound(text, data, convert.types or (), convert.formats or (), answer)


async def piped(connection: AsyncConnection[Any], statements: Sequence[Bound]) -> list[list[DictRow]]:
    """The rows of each statement, all run in one implicit transaction: one sync ends it.

    The connection is the caller's alone, and in no transaction. Raises psycopg.Error: that of the first statement that
    failed, after which none of them counts. Whoever is cancelled has what runs cancelled too.
    """
    try:
        return await _once(connection, statements)
    except psycopg.errors.InvalidSqlStatementName:
        # psycopg lets the server forget all statements of a session in which something was rolled back. Nothing of this
        # pipeline counts then, so that also what writes may be asked again.
        _PREPARED.pop(connection, None)
        return await _once(connection, statements)


async def _once(connection: AsyncConnection[Any], statements: Sequence[Bound]) -> list[list[DictRow]]:
    known = _PREPARED.setdefault(connection, {})
    fresh = {key: _NAME % next(_NUMBERS) for one in statements if (key := (one.text, one.types)) not in known}
    try:
        results = await connection.wait(_asked(connection, statements, {**known, **fresh}, fresh))
    finally:
        await _leave(connection)
    # What was prepared stays so, whatever failed after it; what may have been is prepared anew, under another name.
    known |= {key: name for (key, name), result in zip(fresh.items(), results, strict=False) if result.status in _DONE}
    for result in results:
        if result.status not in _DONE:
            raise error_from_result(result, connection.info.encoding)
    return [_rows(result) for result in results[len(fresh) :]]


def _asked(
    connection: AsyncConnection[Any],
    statements: Sequence[Bound],
    names: dict[tuple[bytes, tuple[int, ...]], bytes],
    fresh: dict[tuple[bytes, tuple[int, ...]], bytes],
) -> Generator[Any, Any, list[PGresult]]:
    """For `connection.wait`: prepares what is new, runs everything, and gives what came back, in this order."""
    pgconn = connection.pgconn
    pgconn.enter_pipeline_mode()
    for (text, types), name in fresh.items():
        pgconn.send_prepare(name, text, param_types=types)
    for one in statements:
        pgconn.send_query_prepared(names[one.text, one.types], one.values, one.formats, one.answer)
    pgconn.pipeline_sync()
    yield from send(pgconn)
    out: list[PGresult] = []
    for _ in range(len(fresh) + len(statements)):
        out += yield from fetch_many(pgconn)
    yield from fetch_many(pgconn)  # the sync
    return out


def _rows(result: PGresult) -> list[DictRow]:
    if not result.ntuples:
        return []
    names = [(result.fname(place) or b"").decode() for place in range(result.nfields)]
    convert = Transformer()
    convert.set_pgresult(result)
    return convert.load_rows(0, result.ntuples, lambda values: dict(zip(names, values, strict=True)))


async def _leave(connection: AsyncConnection[Any]) -> None:
    """Out of the pipeline; a connection that still owes answers is of no more use."""
    pgconn = connection.pgconn
    if pgconn.status != ConnStatus.OK or pgconn.pipeline_status == PipelineStatus.OFF:
        return
    try:
        pgconn.exit_pipeline_mode()
    except psycopg.Error:
        await connection.close()
