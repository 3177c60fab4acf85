"""Threads: conversations kept by LangGraph's own checkpointer in PostgreSQL, over a pool, encrypted.

Every text of the state is encrypted with the ledger's key and bound to its thread. In clear stand the ids of threads,
checkpoints and runs, the names and versions of channels, and values that are numbers or yes and no.
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from math import isfinite
from typing import Any, cast

import psycopg
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    get_checkpoint_id,
)
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from psycopg import AsyncCursor
from psycopg.pq import Format
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool

from fiel.infra.database.errors import DatabaseMisfit, pass_on, place, unavailable
from fiel.infra.database.piped import Bound, bound, piped
from fiel.infra.ledger.keys import Cipher, KeyUnavailable
from fiel.tools.sql import positional

_LOCK = 7_241_339_102
"""Advisory lock under which the checkpointer's tables are made, so that two first starts do not collide."""
WAIT = 10.0
"""Longest wait for a connection, in seconds."""


WRITER = "fiel:run"
"""Channel of rows that say which run a task wrote for, on a checkpoint that another run has made: what goes back behind
a run's marks reads them (`fiel.infra.hosts.keep.rewind`)."""

_THREAD: ContextVar[str] = ContextVar("thread")
"""Whose blobs are being sealed or opened. Without one neither is possible."""


@dataclass(frozen=True, slots=True)
class ThreadCipher:
    """The ledger's cipher in the shape that LangGraph's serializer wants. A blob opens in its own thread only."""

    cipher: Cipher

    def encrypt(self, plaintext: bytes) -> tuple[str, bytes]:
        return self.cipher.key.id, self.cipher.seal("checkpoint", _THREAD.get(), plaintext)

    def decrypt(self, ciphername: str, ciphertext: bytes) -> bytes:
        return self.cipher.open("checkpoint", _THREAD.get(), ciphertext, ciphername)


@dataclass(frozen=True, slots=True)
class _Apart:
    """A value of the state on its way to the blobs: the checkpointer would write it into its JSON column, a text in
    clear, and what is no number of JSON not at all."""

    value: str | float


def _each_by_its_key(query: str) -> str:
    """LangGraph's query, with each channel's blob looked up by the primary key.

    As it stands the planner may join, and where threads are short in the mean, or were never counted, it does: it then
    reads all blobs that a thread ever had, 10 ms for 20,000 checkpoints. A query of another shape is left as it is.
    """
    found = re.compile(r"inner join checkpoint_blobs bl\s+on (.*?)\)", re.DOTALL)
    return found.sub(r"cross join lateral (select bl.* from checkpoint_blobs bl where \1 offset 0) bl)", query, count=1)


class ThreadSaver(AsyncPostgresSaver):
    """LangGraph's checkpointer: each blob bound to its thread, texts among the blobs, errors in fiel's words."""

    SELECT_SQL = _each_by_its_key(AsyncPostgresSaver.SELECT_SQL)
    _NAMED = positional(f"{SELECT_SQL}WHERE thread_id = %s AND checkpoint_ns = %s AND checkpoint_id = %s")
    _LATEST = positional(f"{SELECT_SQL}WHERE thread_id = %s AND checkpoint_ns = %s ORDER BY checkpoint_id DESC LIMIT 1")

    def __init__(self, pool: AsyncConnectionPool[Any], cipher: Cipher, url: str) -> None:
        super().__init__(pool, serde=EncryptedSerializer(ThreadCipher(cipher), JsonPlusSerializer()))
        self._url = url
        self.others: set[str] | None = None
        """Checkpoints that a run has read and not made; None: this checkpointer is not for one run alone."""

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        found = await self._found(config)
        run = (config.get("metadata") or {}).get("run_id")
        if self.others is not None and run and found is not None and found.metadata.get("run_id") != run:
            self.others.add(found.checkpoint["id"])
        return found

    async def _found(self, config: RunnableConfig) -> CheckpointTuple | None:
        """As LangGraph finds it, in one round trip on a connection of its own."""
        meant, id = config["configurable"], get_checkpoint_id(config)
        values = (meant["thread_id"], meant.get("checkpoint_ns", ""), *((id,) if id else ()))
        query = self._NAMED if id else self._LATEST
        with _in_words(self._url):
            rows = (await self._piped([bound(query, values, Format.BINARY)]))[0]
        if rows and rows[0]["checkpoint"]["v"] < 4:
            return await super().aget_tuple(config)  # it brings up to date what old versions of it have written
        return await self._load_checkpoint_tuple(rows[0]) if rows else None

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        values = {
            name: _Apart(value) if isinstance(value, str) or _is_no_number(value) else value
            for name, value in checkpoint["channel_values"].items()
        }
        sealed: Checkpoint = {**checkpoint, "channel_values": values}
        return await super().aput(config, sealed, metadata, new_versions)

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        if self.others and config["configurable"]["checkpoint_id"] in self.others:
            run = config["metadata"]["run_id"]
            await super().aput_writes(config, [(WRITER, None)], f"{task_id}/{run}", task_path)
        await super().aput_writes(config, writes, task_id, task_path)

    def _dump_blobs(
        self, thread_id: str, checkpoint_ns: str, values: dict[str, Any], versions: ChannelVersions
    ) -> list[tuple[str, str, str, str, str, bytes | None]]:
        plain = {name: value.value if isinstance(value, _Apart) else value for name, value in values.items()}
        with _thread(thread_id):
            return super()._dump_blobs(thread_id, checkpoint_ns, plain, versions)

    def _dump_writes(self, thread_id: str, *rest: Any) -> list[tuple[str, str, str, str, str, int, str, str, bytes]]:
        with _thread(thread_id):
            return super()._dump_writes(thread_id, *rest)

    async def _load_checkpoint_tuple(self, value: Any) -> CheckpointTuple:
        with _thread(value["thread_id"]):
            _refuse_clear_text(value)
            writes = [one for one in value["pending_writes"] or () if one[1] != WRITER.encode()]
            return await super()._load_checkpoint_tuple({**value, "pending_writes": writes})

    @asynccontextmanager
    async def _cursor(self, *, pipeline: bool = False) -> AsyncIterator[AsyncCursor[Any]]:
        """LangGraph's way to the database. What it writes in a pipeline goes in one round trip, and waits for no lock:
        its own lets one of a process through, pool or no pool."""
        with _in_words(self._url):
            if not pipeline:
                async with super()._cursor() as cursor:
                    yield cursor
                return
            gathered = _Gathered([])
            yield cast("AsyncCursor[Any]", gathered)
            if gathered.statements:
                await self._piped(gathered.statements)

    async def _piped(self, statements: Sequence[Bound]) -> list[list[DictRow]]:
        pool = cast("AsyncConnectionPool[psycopg.AsyncConnection[Any]]", self.conn)
        connection = await pool.getconn(WAIT)
        try:
            return await piped(connection, statements)
        finally:
            await pool.putconn(connection)


@dataclass(frozen=True, slots=True)
class _Gathered:
    """What LangGraph does with a cursor in a pipeline, where it reads nothing."""

    statements: list[Bound]

    async def execute(self, query: str, params: Sequence[Any]) -> None:
        self.statements.append(bound(positional(query), params))

    async def executemany(self, query: str, params: Sequence[Sequence[Any]]) -> None:
        self.statements.extend([bound(positional(query), one) for one in params])


def _is_no_number(value: Any) -> bool:
    return isinstance(value, float) and not isfinite(value)


def _refuse_clear_text(row: Mapping[str, Any]) -> None:
    """Whoever can write to the tables must not put words into a thread. Raises KeyUnavailable.

    `row` is a checkpoint with its blobs (name, type, data) and pending writes (task, channel, type, data, …).
    """
    inline = (row["checkpoint"].get("channel_values") or {}).values()
    types = [blob[1] for blob in row["channel_values"] or ()] + [write[2] for write in row["pending_writes"] or ()]
    if any(isinstance(value, str | list | dict) for value in inline) or any(
        b"+" not in kind and kind != b"empty" for kind in types
    ):
        raise KeyUnavailable(
            "a value of the thread is not encrypted, so fiel has not written it",
            where=f"thread {row['thread_id']}",
            hint="Ask in another thread, and look for who else can write to the database",
        )


@contextmanager
def _thread(name: str) -> Iterator[None]:
    token = _THREAD.set(str(name))
    try:
        yield
    finally:
        _THREAD.reset(token)


@contextmanager
def _in_words(url: str) -> Iterator[None]:
    """A server that fails is DatabaseUnavailable: also one that lends no connection in time."""
    try:
        yield
    except psycopg.Error as error:
        pass_on(error, url)


def set_up(owner_url: str) -> None:
    """Make or bring up to date the checkpointer's tables, in the schema `fiel`, owned by `fiel_owner`.

    Raises DatabaseUnavailable where the server does not answer, DatabaseMisfit for a role that may not make them.
    """
    try:
        with psycopg.connect(owner_url, autocommit=True, row_factory=dict_row, connect_timeout=10) as connection:
            while not _first(connection):
                time.sleep(0.05)
            connection.execute("SET ROLE fiel_owner")
            connection.execute("SET search_path = fiel")
            PostgresSaver(connection).setup()
    except psycopg.errors.InsufficientPrivilege as error:
        raise DatabaseMisfit(
            "the tables of threads cannot be made by this role",
            where=place(owner_url),
            hint="Run `fiel db migrate` with FIEL_DATABASE_OWNER_URL",
        ) from error
    except psycopg.OperationalError as error:
        raise unavailable(error, owner_url) from error


def _first(connection: psycopg.Connection[Any]) -> bool:
    """Whether nobody else makes the tables now.

    Whoever waited inside a statement would hold a snapshot, for which the first one's CREATE INDEX CONCURRENTLY waits
    in turn.
    """
    row = connection.execute("SELECT pg_try_advisory_lock(%s) AS mine", (_LOCK,)).fetchone()
    return bool(row and row["mine"])


async def _current(url: str) -> bool:
    """Whether the tables are as this version of the checkpointer wants them. Raises DatabaseUnavailable."""
    with _in_words(url):
        async with await psycopg.AsyncConnection.connect(url, autocommit=True, connect_timeout=10) as connection:
            exists = await (await connection.execute("SELECT to_regclass('fiel.checkpoint_migrations')")).fetchone()
            if not exists or exists[0] is None:
                return False
            row = await (await connection.execute("SELECT max(v) FROM fiel.checkpoint_migrations")).fetchone()
            return bool(row and row[0] is not None and row[0] >= len(PostgresSaver.MIGRATIONS) - 1)


async def prepare(url: str, owner_url: str) -> None:
    """Make the checkpointer's tables where they are missing; without `owner_url` they must be there.

    They are made in a thread: CREATE INDEX CONCURRENTLY waits for the transactions of others, and those of this process
    end only while its event loop runs. Raises DatabaseUnavailable, DatabaseMisfit.
    """
    if await _current(url):
        return
    if not owner_url:
        raise DatabaseMisfit("the tables of threads are missing or old", where=place(url), hint="Run `fiel db migrate`")
    await asyncio.to_thread(set_up, owner_url)


@asynccontextmanager
async def open_saver(url: str, owner_url: str, cipher: Cipher, *, size: int = 8) -> AsyncIterator[ThreadSaver]:
    """The checkpointer over a pool of the runtime role.

    `owner_url` makes the tables where they are missing; empty: they must be there. Raises DatabaseUnavailable,
    DatabaseMisfit.
    """
    await prepare(url, owner_url)
    pool: AsyncConnectionPool[Any] = AsyncConnectionPool(
        url,
        kwargs={"autocommit": True, "prepare_threshold": 0, "connect_timeout": 10},
        min_size=1,
        max_size=size,
        timeout=WAIT,
        configure=_adopt,
        open=False,
        name="fiel threads",
    )
    async with pool:
        yield ThreadSaver(pool, cipher, url)


async def _adopt(connection: psycopg.AsyncConnection[Any]) -> None:
    await connection.execute("SET ROLE fiel_runtime")
    await connection.execute("SET search_path = fiel")
