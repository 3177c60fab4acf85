"""Data keys: contents of a run are encrypted, and digested, under a key of its data subject, the caller.

A data key lies in the database, wrapped by a master key that lies elsewhere (`Wrapping`). Whoever erases a subject
destroys the wrapped key: contents are then unreadable, digests of short texts cannot be guessed, the chain verifies.
"""

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from hmac import digest as hmac
from typing import Any, Protocol

from psycopg import AsyncConnection

from fiel.infra.ledger.keys import Cipher, Key, KeyUnavailable, key_of
from fiel.tools.sql import load

System = Callable[[], AbstractAsyncContextManager[AsyncConnection[Any]]]
FRESH = 30.0
"""Seconds for which a process uses a data key without looking whether it was erased."""
KEPT = 4096
"""Data keys that a process remembers."""


class KeyErased(KeyUnavailable):
    """The data key was destroyed by right: what lies under it is erased."""

    code = "key_erased"


@dataclass(frozen=True, slots=True)
class DataKey:
    """What contents of one subject are encrypted and digested with."""

    cipher: Cipher
    mac: bytes
    """Key of digests, 32 bytes; empty: digests are plain SHA-256."""

    @property
    def id(self) -> str:
        return self.cipher.key.id


class Keys(Protocol):
    """Where data keys come from. Raises KeyUnavailable, DatabaseUnavailable."""

    async def of(self, tenant: str, subject: str) -> DataKey:
        """The live key of a subject; a new one where there is none."""
        ...

    async def named(self, id: str) -> DataKey:
        """The key that something was encrypted with. Raises KeyErased."""
        ...


class OneKey:
    """The same key for everybody, digests without a key: for graphs that run without a database."""

    def __init__(self, cipher: Cipher) -> None:
        self._key = DataKey(cipher, b"")

    async def of(self, tenant: str, subject: str) -> DataKey:
        return self._key

    async def named(self, id: str) -> DataKey:
        return self._key


class Wrapping(Protocol):
    """A master key, or a service that has one. Raises KeyUnavailable."""

    @property
    def name(self) -> str:
        """Of the key that wraps now."""
        ...

    async def wrap(self, id: str, secret: bytes) -> bytes:
        """`secret`, bound to the name `id`, under the master key."""
        ...

    async def unwrap(self, id: str, wrapped: bytes, master: str) -> bytes:
        """What `wrap` was given, when the master key had the name `master`."""
        ...


class FileWrapping:
    """The master key is the ledger's key file."""

    def __init__(self, cipher: Cipher) -> None:
        self._cipher = cipher

    @property
    def name(self) -> str:
        return self._cipher.key.id

    async def wrap(self, id: str, secret: bytes) -> bytes:
        return self._cipher.seal("data key", id, secret)

    async def unwrap(self, id: str, wrapped: bytes, master: str) -> bytes:
        return self._cipher.open("data key", id, wrapped, master)


class SubjectKeys:
    """`Keys` in the database. `master` opens what was encrypted before there were data keys."""

    def __init__(self, system: System, master: Cipher, wrapping: Wrapping | None = None) -> None:
        self._system = system
        self._master = DataKey(master, b"")
        self._wrapping = wrapping or FileWrapping(master)
        self._sql = load(__package__, "subjects.sql")
        self._held: OrderedDict[tuple[str, ...], tuple[DataKey, float]] = OrderedDict()

    async def of(self, tenant: str, subject: str) -> DataKey:
        if (held := self._look(tenant, subject)) is not None:
            return held
        row = await self._live(tenant, subject)
        if row is None:
            fresh = key_of(secrets.token_bytes(32))
            wrapped = await self._wrapping.wrap(fresh.id, fresh.secret)
            async with self._system() as connection:
                values = (fresh.id, tenant, subject, self._wrapping.name, wrapped)
                await connection.execute(self._sql["make"], values)
            row = await self._live(tenant, subject)
        if row is None:
            raise KeyErased("the key was erased as it was made", where=subject)
        return self._hold(await self._unwrapped(*row), tenant, subject)

    async def named(self, id: str) -> DataKey:
        if id == self._master.id:
            return self._master
        if (held := self._look(id)) is not None:
            return held
        async with self._system() as connection:
            row = await (await connection.execute(self._sql["named"], (id,))).fetchone()
        if row is None and self._master.cipher.has(id):
            return self._master
        if row is None:
            raise KeyUnavailable(
                f"this was encrypted with key {id}, which is not here",
                hint="Put back the key file that belongs to this database; the chain verifies without it",
            )
        master, wrapped = row
        if wrapped is None:
            raise KeyErased("this was erased", where=f"key {id}")
        return self._hold(await self._unwrapped(id, master, bytes(wrapped)), id)

    async def _live(self, tenant: str, subject: str) -> tuple[str, str, bytes] | None:
        async with self._system() as connection:
            row = await (await connection.execute(self._sql["live"], (tenant, subject))).fetchone()
        return (row[0], row[1], bytes(row[2])) if row else None

    async def _unwrapped(self, id: str, master: str, wrapped: bytes) -> DataKey:
        key = key_of(await self._wrapping.unwrap(id, wrapped, master))
        if key.id != id:
            raise KeyUnavailable("the data key is another than its name says", where=f"key {id}")
        return data_key(key)

    def _look(self, *name: str) -> DataKey | None:
        key, until = self._held.get(name, (None, 0.0))
        return key if time.monotonic() < until else None

    def _hold(self, key: DataKey, *name: str) -> DataKey:
        self._held[name] = key, time.monotonic() + FRESH
        while len(self._held) > KEPT:
            self._held.popitem(last=False)
        return key


def data_key(key: Key) -> DataKey:
    """The cipher of a data key, and the key of its digests, which follows from it."""
    return DataKey(Cipher(key), hmac(key.secret, b"fiel content digests", "sha256"))


async def erase_key(connection: Any, tenant: str, subject: str) -> list[str]:
    """Destroy the live key of a subject in the caller's transaction; returns the ids of what was destroyed.

    Without an act that names them, `fiel audit verify` takes that for tampering: `destroy` is for those who record one.
    """
    cursor = await connection.execute(load(__package__, "subjects.sql")["erase"], (tenant, subject))
    return [row[0] for row in await cursor.fetchall()]


async def destroy(connection: Any, tenant: str, keys: Sequence[str], act: str) -> None:
    """Destroy data keys in the transaction that has recorded `act`, which names them; at the time of the act."""
    values = {"tenant": tenant, "keys": list(keys), "act": act}
    await connection.execute(load(__package__, "subjects.sql")["destroy"], values)
