"""The ledger's store in PostgreSQL."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from functools import partial
from typing import Any

import psycopg
from psycopg import AsyncConnection

from fiel.infra.database.arrays import Array, Bytes, Integers, Longs, Texts
from fiel.infra.ledger.bodies import body_of, stored
from fiel.infra.ledger.chain import Sealed
from fiel.infra.ledger.leaf import of_frame
from fiel.infra.ledger.store import Blob, Flush, RecordConflict, RunRow
from fiel.tools.errors import DatabaseUnavailable
from fiel.tools.sql import load

System = Callable[[], AbstractAsyncContextManager[AsyncConnection[Any]]]
"""A transaction without a caller: `Database.system`."""


Aside = Callable[[str, Callable[[], Sequence[Any]]], Awaitable[None]]
"""Runs one statement that commits itself; its parameters are made where it is run."""


class PostgresStore:
    """`fiel.infra.ledger.store.Store` in the schema `fiel`.

    `aside` runs a statement that commits itself (`Database.aside`): one round trip instead of three, and outside of the
    event loop. Without it, appending goes through `system` too.
    """

    def __init__(self, system: System, aside: Aside | None = None) -> None:
        self.system = system
        self._aside = aside or self._inside
        self._sql = load(__package__, "store.sql")

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[AsyncConnection[Any]]:
        with _passing():
            async with self.system() as connection:
                yield connection

    async def _inside(self, statement: str, values: Callable[[], Sequence[Any]]) -> None:
        async with self.system() as connection:
            await connection.execute(statement.encode(), values(), prepare=True)

    async def append(self, flushes: Sequence[Flush]) -> None:
        try:
            await self._append(flushes)
        except psycopg.errors.UniqueViolation:
            missing = [flush for flush in flushes if not await self._stands(flush)]
            if missing:
                await self._append(missing)

    async def _append(self, flushes: Sequence[Flush]) -> None:
        with _passing():
            await self._aside(self._sql["append"], partial(_arrays, flushes))

    async def _stands(self, flush: Flush) -> bool:
        """Whether the entries of a flush are there already. Raises RecordConflict where others are."""
        have = {one.seq: one for one in await self.entries(flush.run.run)}
        there = [one.seq in have for one in flush.entries]
        if any(have[one.seq] != one for one in flush.entries if one.seq in have) or len(set(there)) > 1:
            raise RecordConflict("another entry stands at this place", where=f"run {flush.run.run}")
        return any(there)

    async def run(self, run: str) -> RunRow | None:
        rows = await self._rows("run", run)
        return _row(rows[0]) if rows else None

    async def entries(self, run: str) -> Sequence[Sealed]:
        rows = await self._rows("entries", run)
        return [Sealed(seq, bytes(hash), body_of(bytes(body))) for seq, hash, body in rows]

    async def frames(self, run: str) -> Sequence[Blob]:
        return [Blob(key, bytes(data)) for key, data in await self._rows("frames", run)]

    async def draft(self, run: str, digest: str) -> Blob | None:
        rows = await self._rows("draft", run, bytes.fromhex(digest))
        return Blob(rows[0][0], bytes(rows[0][1])) if rows else None

    async def thread(self, tenant: str, thread: str, caller: str, limit: int) -> Sequence[RunRow]:
        return [_row(row) for row in await self._rows("thread", tenant, thread, caller, limit)]

    async def keys(self) -> Sequence[str]:
        return [row[0] for row in await self._rows("keys")]

    async def forget_drafts(self, older_than: float) -> int:
        async with self._connection() as connection:
            return (await connection.execute(self._sql["forget_drafts"], (older_than,))).rowcount

    async def _rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        async with self._connection() as connection:
            cursor = connection.cursor(binary=True)
            await cursor.execute(self._sql[query], values)
            return await cursor.fetchall()


@contextmanager
def _passing() -> Iterator[None]:
    """A lock, a full disk, a cut connection: all may pass."""
    try:
        yield
    except psycopg.OperationalError as error:
        raise DatabaseUnavailable(f"the ledger cannot be reached: {error}", where="fiel.entries") from error


def _row(row: tuple[Any, ...]) -> RunRow:
    run, tenant, thread, caller, resumes, seq, started = row
    return RunRow(str(run), tenant, thread, caller, str(resumes) if resumes else None, seq, started)


def _arrays(flushes: Sequence[Flush]) -> list[Array]:
    """Parameters of the query `append`."""
    runs, kept = [flush.run for flush in flushes], [flush.kept() for flush in flushes]
    last = [flush.entries[-1] if flush.entries else None for flush in flushes]
    entries = [(place, entry) for place, flush in enumerate(flushes, 1) for entry in flush.entries]
    drafts = [(place, *draft) for place, own in enumerate(kept, 1) for draft in own.drafts]
    return [
        Texts([run.run for run in runs]),
        Texts([run.tenant for run in runs]),
        Texts([run.thread for run in runs]),
        Texts([run.caller for run in runs]),
        Texts([run.resumes for run in runs]),
        Integers([run.resumes_seq for run in runs]),
        Longs([run.started for run in runs]),
        Texts([flush.key for flush in flushes]),
        Integers([-1 if entry is None else entry.seq for entry in last]),
        Bytes([None if entry is None else entry.hash for entry in last]),
        Bytes([own.frame for own in kept]),
        Bytes([own.spans for own in kept]),
        Bytes([_leaf(flush, own.frame) for flush, own in zip(flushes, kept, strict=True)]),
        Integers([place for place, _ in entries]),
        Integers([entry.seq for _, entry in entries]),
        Bytes([entry.hash for _, entry in entries]),
        Bytes([stored(entry.body) for _, entry in entries]),
        Integers([place for place, _, _ in drafts]),
        Texts([digest for _, digest, _ in drafts]),
        Bytes([data for _, _, data in drafts]),
    ]


def _leaf(flush: Flush, frame: bytes) -> bytes | None:
    if not flush.entries:
        return None
    return of_frame(flush.run.run, flush.entries[-1].seq, flush.entries[-1].hash, flush.key, frame)
