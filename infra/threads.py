"""Threads: conversations kept by LangGraph's own checkpointer in PostgreSQL, over a pool, encrypted.

What the checkpointer keeps as blobs (lists, messages) is encrypted with the ledger's key. Plain strings of the
state stand in clear inside its JSON column, for the database's roles alone.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from fiel.infra.database.errors import DatabaseMisfit, place, unavailable
from fiel.infra.ledger.keys import Cipher

_LOCK = 7_241_339_102
"""Advisory lock under which the checkpointer's tables are made, so that two first starts do not collide."""


@dataclass(frozen=True, slots=True)
class LedgerCipher:
    """The ledger's cipher in the shape that LangGraph's serializer wants."""

    cipher: Cipher

    def encrypt(self, plaintext: bytes) -> tuple[str, bytes]:
        return self.cipher.key.id, self.cipher.seal("checkpoint", "", plaintext)

    def decrypt(self, ciphername: str, ciphertext: bytes) -> bytes:
        return self.cipher.open("checkpoint", "", ciphertext, ciphername)


def set_up(owner_url: str) -> None:
    """Make or bring up to date the checkpointer's tables, in the schema `fiel`, owned by `fiel_owner`.

    Raises DatabaseUnavailable where the server does not answer.
    """
    try:
        with psycopg.connect(owner_url, autocommit=True, row_factory=dict_row, connect_timeout=10) as connection:
            connection.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
            connection.execute("SET ROLE fiel_owner")
            connection.execute("SET search_path = fiel")
            PostgresSaver(connection).setup()
    except psycopg.OperationalError as error:
        raise unavailable(error, owner_url) from error


async def _current(url: str) -> bool:
    """Whether the tables are as this version of the checkpointer wants them."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True, connect_timeout=10) as connection:
        exists = await (await connection.execute("SELECT to_regclass('fiel.checkpoint_migrations')")).fetchone()
        if not exists or exists[0] is None:
            return False
        row = await (await connection.execute("SELECT max(v) FROM fiel.checkpoint_migrations")).fetchone()
        return bool(row and row[0] is not None and row[0] >= len(PostgresSaver.MIGRATIONS) - 1)


@asynccontextmanager
async def open_saver(url: str, owner_url: str, cipher: Cipher, *, size: int = 8) -> AsyncIterator[AsyncPostgresSaver]:
    """The checkpointer over a pool of the runtime role.

    `owner_url` makes the tables where they are missing; empty: they must be there. Raises DatabaseUnavailable,
    DatabaseMisfit.
    """
    if not await _current(url):
        if not owner_url:
            raise DatabaseMisfit(
                "the tables of threads are missing or old", where=place(url), hint="Run `fiel db migrate`"
            )
        set_up(owner_url)
    pool: AsyncConnectionPool[Any] = AsyncConnectionPool(
        url,
        kwargs={"autocommit": True, "prepare_threshold": 0, "connect_timeout": 10},
        min_size=1,
        max_size=size,
        configure=_adopt,
        open=False,
        name="fiel threads",
    )
    async with pool:
        yield AsyncPostgresSaver(pool, serde=EncryptedSerializer(LedgerCipher(cipher), JsonPlusSerializer()))


async def _adopt(connection: psycopg.AsyncConnection[Any]) -> None:
    await connection.execute("SET ROLE fiel_runtime")
    await connection.execute("SET search_path = fiel")
