"""What auditors ask: is the ledger whole, give me a copy, what happened in this run. Each question is an act itself."""

import asyncio
import os
import secrets
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from hashlib import sha256
from pathlib import Path
from typing import IO, Any

import orjson

from fiel.infra.database.connect import Database
from fiel.infra.desk.operations import trace
from fiel.infra.ledger.acts import Act, record
from fiel.infra.ledger.elsewhere import Elsewhere, places
from fiel.infra.ledger.export import Opens, Part, ended, line, records, verified
from fiel.infra.ledger.heads import Head, HeadsAltered, HeadsUnwritten, Signer, signer_of
from fiel.infra.ledger.keys import KEY_FILE, KeyUnavailable, file_cipher, key_names, key_of
from fiel.infra.ledger.kms import Kms
from fiel.infra.ledger.postgres import PostgresStore
from fiel.infra.ledger.sealing import Sealing
from fiel.infra.runs.pages import Page, Window, cut, parameters
from fiel.infra.settings import Settings
from fiel.tools.errors import NotPermitted, UsageError
from fiel.tools.principal import Principal
from fiel.tools.sql import load

Json = dict[str, Any]


async def show(database: Database, by: Principal, run: str) -> Json:
    """The hops of a run of the caller's tenant. Raises NotPermitted, UsageError, RunNotFound."""
    _audits(by)
    value = await trace(PostgresStore(database.system), by, run)
    await _act(database, Act(by, "audit_read", value["run"], {"what": "show"}))
    return value


async def runs(database: Database, by: Principal, window: Window, since: int = 0, caller: str = "") -> Page[Json]:
    """The runs of the caller's tenant, newest first; `since` in microseconds. Raises NotPermitted."""
    names = ("run", "caller", "thread", "resumes", "started")
    return await _listed(database, by, "runs", names, window, {"since": since, "caller": caller})


async def acts(
    database: Database, by: Principal, window: Window, since: int = 0, kind: str = "", subject: str = ""
) -> Page[Json]:
    """The administrative acts of the caller's tenant, newest first, this question among them. Raises NotPermitted."""
    names = ("act", "principal", "kind", "subject", "at", "hash", "body")
    page = await _listed(database, by, "acts", names, window, {"since": since, "kind": kind, "subject": subject})
    for one in page.items:
        one["hash"], one["body"] = bytes(one["hash"]).hex(), orjson.loads(bytes(one["body"]))
    return page


async def _listed(
    database: Database, by: Principal, what: str, names: tuple[str, ...], window: Window, wanted: Json
) -> Page[Json]:
    _audits(by)
    async with database.acting(by) as connection:
        await record(connection, Act(by, "audit_read", by.tenant, {"what": what}))
        values = {"tenant": by.tenant, **wanted, **parameters(window)}
        rows = await (await connection.execute(load(__package__, "audit.sql")[what], values)).fetchall()
    return cut([dict(zip(names, row, strict=True)) for row in rows], window)


async def verify(settings: Settings, database: Database, by: Principal) -> Json:
    """Seal what waits, sign the head, and check the chain of the caller's tenant. Raises NotPermitted."""
    _audits(by)
    await _act(database, Act(by, "audit_read", by.tenant, {"what": "verify"}))
    signer = signer_of(settings.folder)
    kept = places(settings.heads, settings.folder, settings.heads_roots)
    sealing = Sealing(database.system, signer, kept)
    await sealing.drain()
    heads, told = await _elsewhere(kept, by.tenant)
    masters = key_names(settings.folder / KEY_FILE) | ({Kms.at(settings.kms).name} if settings.kms else set())
    value = await verified(database, by, signer, masters, heads, _opener(settings.folder / KEY_FILE))
    value["places"] = told
    value["broken"] += [
        {"tenant": by.tenant, "run": None, "seq": None, "what": one["problem"], "place": one["place"]}
        for one in told
        if one["altered"]
    ]
    if not value["broken"]:  # a head over a broken chain would vouch for it
        await sealing.sign()
    return value


def _opener(file: Path) -> Opens:
    """Whether data keys can be unwrapped with a key file; those that a service wraps are not asked for."""
    held = file_cipher(file) if file.exists() else None

    def opens(id: str, master: str, wrapped: bytes) -> bool:
        if held is None or not held.has(master):
            return True
        try:
            return key_of(held.open("data key", id, wrapped, master)).id == id
        except KeyUnavailable:
            return False

    return opens


async def _elsewhere(kept: Sequence[Elsewhere], tenant: str) -> tuple[list[Head], list[Json]]:
    """Heads that lie in second places, and what is to be said of each place."""
    heads, told = list[Head](), list[Json]()
    for one in kept:
        try:
            found = await one.kept(tenant)
        except HeadsUnwritten as error:
            altered = isinstance(error, HeadsAltered)
            told.append({"place": one.name, "heads": None, "problem": error.what, "altered": altered})
            continue
        heads += found
        told.append({"place": one.name, "heads": len(found), "problem": None, "altered": False})
    return heads, told


async def begin_export(settings: Settings, database: Database, by: Principal, part: Part) -> Signer:
    """Write down who takes a copy, and seal what waits. Raises NotPermitted."""
    _audits(by)
    await _act(database, Act(by, "export", part.run or by.tenant, {"since": part.since}))
    signer = signer_of(settings.folder)
    await Sealing(database.system, signer).drain()
    return signer


async def lines(database: Database, by: Principal, part: Part, signer: Signer) -> AsyncGenerator[bytes, None]:
    """The lines of an export that was begun; the last one has the digest of all before it, signed."""
    whole = sha256()
    async with aclosing(records(database, by, signer, part)) as found:
        async for one in found:
            data = line(ended(one, whole.hexdigest(), signer) if one["t"] == "end" else one)
            whole.update(data)
            yield data


async def export(settings: Settings, database: Database, by: Principal, part: Part, file: Path) -> Json:
    """Write an export, whole or not at all; `{"file", "records", "sha256", "public_key"}`. Raises NotPermitted."""
    signer = await begin_export(settings, database, by, part)
    draft = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    try:
        with draft.open("xb") as out:
            count, digest = await _write(database, by, part, signer, out)
        await asyncio.to_thread(os.replace, draft, file)
    except OSError as error:
        raise UsageError(f"the export cannot be written: {error.strerror}", where=str(file)) from error
    finally:
        draft.unlink(missing_ok=True)
    return {"file": str(file), "records": count, "sha256": digest, "public_key": signer.public}


async def _write(database: Database, by: Principal, part: Part, signer: Signer, out: IO[bytes]) -> tuple[int, str]:
    count, whole = 0, sha256()
    async for data in lines(database, by, part, signer):
        whole.update(data)
        out.write(data)
        count += 1
    out.flush()
    os.fsync(out.fileno())
    return count, whole.hexdigest()


async def _act(database: Database, act: Act) -> None:
    async with database.acting(act.principal) as connection:
        await record(connection, act)


def _audits(by: Principal) -> None:
    if not by.may("auditor", "administrator"):
        raise NotPermitted("the audit interface is for auditors and administrators", where="audit")
