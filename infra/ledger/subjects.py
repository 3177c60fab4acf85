"""Data keys: contents of a run are encrypted, and digested, under a key of its data subject, the caller.

A data key lies in the database, wrapped by a master key that lies elsewhere (`Wrapping`). Whoever erases a subject
destroys the wrapped keys: contents are then unreadable, digests of short texts cannot be guessed, the chain verifies.
A subject has one key for digests, and for contents one a day and collection, so that contents can go by age too.
"""

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from hmac import digest as hmac
from typing import Any, Protocol

from psycopg import AsyncConnection

from fiel.infra.ledger.keys import Cipher, Key, KeyService, KeyUnavailable, key_of
from fiel.tools.canonical import Mac
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

    async def of(self, tenant: str, subject: str, collection: str = "") -> DataKey:
        """Today's key of a subject for what is about a collection; a new one where there is none."""
        ...

    async def named(self, id: str) -> DataKey:
        """The key that something was encrypted with. Raises KeyErased."""
        ...


class OneKey:
    """The same key for everybody, digests without a key: for graphs that run without a database."""

    def __init__(self, cipher: Cipher) -> None:
        self._key = DataKey(cipher, b"")

    async def of(self, tenant: str, subject: str, collection: str = "") -> DataKey:
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


class ServiceWrapping:
    """The master key is that of a service; what a key file has wrapped before, it still opens."""

    def __init__(self, service: KeyService, cipher: Cipher) -> None:
        self._service = service
        self._file = FileWrapping(cipher)
        self._cipher = cipher

    @property
    def name(self) -> str:
        return self._service.name

    async def wrap(self, id: str, secret: bytes) -> bytes:
        return await self._service.wrap(id, secret)

    async def unwrap(self, id: str, wrapped: bytes, master: str) -> bytes:
        if self._cipher.has(master):
            return await self._file.unwrap(id, wrapped, master)
        return await self._service.unwrap(id, wrapped)


def wrapping_of(cipher: Cipher) -> Wrapping:
    """What wraps data keys: the cipher's service, or its own key."""
    return ServiceWrapping(cipher.service, cipher) if cipher.service is not None else FileWrapping(cipher)


class SubjectKeys:
    """`Keys` in the database. `master` opens what was encrypted before there were data keys."""

    def __init__(self, system: System, master: Cipher, wrapping: Wrapping | None = None) -> None:
        self._system = system
        self._master = DataKey(master, b"")
        self._wrapping = wrapping or wrapping_of(master)
        self._sql = load(__package__, "subjects.sql")
        self._held: OrderedDict[tuple[Any, ...], tuple[Any, float]] = OrderedDict()

    async def of(self, tenant: str, subject: str, collection: str = "") -> DataKey:
        place = (tenant, subject, collection, datetime.now(UTC).date())
        if (held := self._look(*place)) is None:
            root = await self._key(tenant, subject, "", None)
            held = self._hold(_data_key(await self._key(*place), root), *place)
        found: DataKey = held
        return found

    async def named(self, id: str) -> DataKey:
        if id == self._master.id:
            return self._master
        if (held := self._look(id)) is not None:
            found: DataKey = held
            return found
        async with self._system() as connection:
            row = await (await connection.execute(self._sql["named"], (id,))).fetchone()
        if row is None and self._master.cipher.has(id):
            return self._master
        if row is None:
            raise KeyUnavailable(
                f"this was encrypted with key {id}, which is not here",
                hint="Put back the key file that belongs to this database; the chain verifies without it",
            )
        master, wrapped, tenant, subject, day = row
        if wrapped is None:
            raise KeyErased("this was erased", where=f"key {id}")
        key = await self._unwrapped(id, master, bytes(wrapped))
        root = key if day is None else await self._key(tenant, subject, "", None)
        made: DataKey = self._hold(_data_key(key, root), id)
        return made

    async def _key(self, tenant: str, subject: str, collection: str, day: date | None) -> Key:
        """The live key at a place; a new one where there is none."""
        place = (tenant, subject, collection, day)
        if (held := self._look("key", *place)) is not None:
            kept: Key = held
            return kept
        row = await self._live(*place)
        if row is None:
            fresh = key_of(secrets.token_bytes(32))
            wrapped = await self._wrapping.wrap(fresh.id, fresh.secret)
            async with self._system() as connection:
                values = (fresh.id, tenant, subject, self._wrapping.name, wrapped, collection, day)
                await connection.execute(self._sql["make"], values)
            row = await self._live(*place)
        if row is None:
            raise KeyErased("the key was erased as it was made", where=subject)
        found: Key = self._hold(await self._unwrapped(*row), "key", *place)
        return found

    async def _live(self, *place: Any) -> tuple[str, str, bytes] | None:
        async with self._system() as connection:
            row = await (await connection.execute(self._sql["live"], place)).fetchone()
        return (row[0], row[1], bytes(row[2])) if row else None

    async def _unwrapped(self, id: str, master: str, wrapped: bytes) -> Key:
        key = key_of(await self._wrapping.unwrap(id, wrapped, master))
        if key.id != id:
            raise KeyUnavailable("the data key is another than its name says", where=f"key {id}")
        return key

    def _look(self, *name: Any) -> Any:
        key, until = self._held.get(name, (None, 0.0))
        return key if time.monotonic() < until else None

    def _hold(self, key: Any, *name: Any) -> Any:
        self._held[name] = key, time.monotonic() + FRESH
        while len(self._held) > KEPT:
            self._held.popitem(last=False)
        return key


def data_key(key: Key) -> DataKey:
    """The cipher of a data key, and the key of its digests, which follows from it."""
    return _data_key(key, key)


def _data_key(key: Key, root: Key) -> DataKey:
    """The cipher of a key of a day, and the key of digests, which follows from the person's first."""
    return DataKey(Cipher(key), Mac(hmac(root.secret, b"fiel content digests", "sha256")))


async def erase_key(connection: Any, tenant: str, subject: str) -> list[str]:
    """Destroy the live keys of a subject in the caller's transaction; returns the ids of what was destroyed.

    Without an act that names them, `fiel audit verify` takes that for tampering: `destroy` is for those who record one.
    """
    cursor = await connection.execute(load(__package__, "subjects.sql")["erase"], (tenant, subject))
    return [row[0] for row in await cursor.fetchall()]


async def destroy(connection: Any, tenant: str, keys: Sequence[str], act: str) -> None:
    """Destroy data keys in the transaction that has recorded `act`, which names them; at the time of the act."""
    values = {"tenant": tenant, "keys": list(keys), "act": act}
    await connection.execute(load(__package__, "subjects.sql")["destroy"], values)
