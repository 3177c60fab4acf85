"""What auditors ask: is the ledger whole, give me a copy, what happened in this run. Each question is an act itself."""

import asyncio
import os
import secrets
from hashlib import sha256
from pathlib import Path
from typing import IO, Any

from fiel.infra.database.connect import Database
from fiel.infra.ledger.acts import Act, record
from fiel.infra.ledger.export import Part, line, records, verified
from fiel.infra.ledger.heads import signer_of
from fiel.infra.ledger.sealing import Sealing
from fiel.infra.settings import Settings
from fiel.tools.errors import NotPermitted, UsageError
from fiel.tools.principal import Principal

Json = dict[str, Any]


async def verify(settings: Settings, database: Database, by: Principal) -> Json:
    """Seal what waits, sign the head, and check the chain of the caller's tenant. Raises NotPermitted."""
    _audits(by)
    await _act(database, Act(by, "audit_read", by.tenant, {"what": "verify"}))
    signer = signer_of(settings.folder)
    sealing = Sealing(database.system, signer)
    await sealing.drain()
    value = await verified(database, by, signer)
    if not value["broken"]:  # a head over a broken chain would vouch for it
        await sealing.sign()
    return value


async def export(settings: Settings, database: Database, by: Principal, part: Part, file: Path) -> Json:
    """Write an export, whole or not at all; `{"file", "records", "sha256", "public_key"}`. Raises NotPermitted."""
    _audits(by)
    await _act(database, Act(by, "export", part.run or by.tenant, {"since": part.since}))
    signer = signer_of(settings.folder)
    await Sealing(database.system, signer).drain()
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


async def _write(database: Database, by: Principal, part: Part, signer: Any, out: IO[bytes]) -> tuple[int, str]:
    count, whole = 0, sha256()
    async for one in records(database, by, signer, part):
        data = line(one | {"sha256": whole.hexdigest()} if one["t"] == "end" else one)
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
