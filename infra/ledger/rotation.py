"""Rotation of the master key: a new one is put before the others, an act says so, every data key is wrapped anew.

The old keys stay in the file, for what threads, items and old entries hold under them. Whatever a kill interrupts,
every data key is wrapped by a key of the file at any moment; the same command goes on where it was left.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fiel.infra.database.connect import Database
from fiel.infra.ledger.acts import Act, record
from fiel.infra.ledger.keys import Cipher, file_cipher, load_all, renew
from fiel.infra.ledger.subjects import FileWrapping, Wrapping, wrapping_of
from fiel.tools.errors import NotPermitted
from fiel.tools.principal import Principal
from fiel.tools.sql import load

BATCH = 500
"""Data keys that are wrapped anew in one transaction."""


@dataclass(frozen=True, slots=True)
class Rotated:
    """What a rotation did."""

    key: str
    """Name of the key that is used from now on."""
    wrapped: int
    """Data keys that were wrapped anew."""
    resumed: bool
    """Whether a rotation was finished that had been interrupted, and no further key made."""


async def rotate(database: Database, by: Principal, path: Path) -> Rotated:
    """Rotate the master key of a key file, or finish a rotation. Raises NotPermitted, KeyUnavailable,
    DatabaseUnavailable.
    """
    if not by.may("administrator"):
        raise NotPermitted("only administrators may rotate a key", where="key rotate")
    key, *older = load_all(path)
    recorded = not older or await _one(database, "recorded", by.tenant, key.id)
    resumed = bool(older) and not (recorded and await _one(database, "left", key.id) == 0)
    if not resumed:
        older, key, recorded = [key], renew(path), False
    if not recorded:
        async with database.acting(by) as connection:
            await record(connection, Act(by, "key_rotate", key.id, {"from": older[0].id}))
    return Rotated(key.id, await rewrap(database, FileWrapping(file_cipher(path))), resumed)


async def move(database: Database, by: Principal, cipher: Cipher) -> Rotated:
    """Wrap every data key by the key of the cipher's service, whatever wrapped it before. Raises as `rotate` does."""
    if not by.may("administrator"):
        raise NotPermitted("only administrators may rotate a key", where="key rotate")
    wrapping = wrapping_of(cipher)
    recorded = await _one(database, "recorded", by.tenant, wrapping.name)
    if not recorded:
        async with database.acting(by) as connection:
            await record(connection, Act(by, "key_rotate", wrapping.name, {"from": cipher.key.id}))
    return Rotated(wrapping.name, await rewrap(database, wrapping), recorded)


async def rewrap(database: Database, wrapping: Wrapping) -> int:
    """Wrap every data key by the key that `wrapping` uses now; how many were wrapped by another.

    Raises KeyUnavailable for one that cannot be unwrapped; what was committed before it stays.
    """
    sql, done = load(__package__, "rotation.sql"), 0
    while True:
        async with database.system() as connection:
            rows = await (await connection.execute(sql["others"], (wrapping.name, BATCH))).fetchall()
            for id, master, wrapped in rows:
                secret = await wrapping.unwrap(id, bytes(wrapped), master)
                await connection.execute(sql["wrap"], (wrapping.name, await wrapping.wrap(id, secret), id))
        done += len(rows)
        if not rows:
            return done


async def _one(database: Database, query: str, *values: Any) -> Any:
    """Acts are those of the tenant that rotates."""
    async with database.system() as connection:
        if query == "recorded":
            await connection.execute("SELECT fiel.act_as(%s, 'fiel', '{}')", values[:1])
        row = await (await connection.execute(load(__package__, "rotation.sql")[query], values)).fetchone()
    return row[0] if row else None
