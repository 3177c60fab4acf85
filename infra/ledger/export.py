"""What the ledger has of a tenant, record by record: the one stream that exports write and verification reads."""

import asyncio
from base64 import b64encode
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from fiel.infra.database.connect import Database
from fiel.infra.ledger.bodies import body_of
from fiel.infra.ledger.destroyed import DESTROYING, KeyState, judged
from fiel.infra.ledger.heads import Head, Signer
from fiel.infra.ledger.verify import Checker, signed_by, split
from fiel.tools.principal import Principal
from fiel.tools.sql import load

Json = dict[str, Any]
BATCH = 1000
SLICE = 64
"""Records that are checked at a stretch: some milliseconds."""


@dataclass(frozen=True, slots=True)
class Part:
    """What of it. With neither: all of it."""

    run: str | None = None
    since: int = 0
    """Microseconds since 1970: runs that began, and acts that happened, at or after it."""

    @property
    def whole(self) -> bool:
        return self.run is None and not self.since


async def records(database: Database, by: Principal, signer: Signer, part: Part) -> AsyncGenerator[Json, None]:
    """The records of the caller's tenant, from one snapshot. Raises DatabaseUnavailable, HeadsUnwritten."""
    sql, values = load(__package__, "export.sql"), {"tenant": by.tenant, "run": part.run, "since": part.since}
    async with database.system() as connection:
        await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        await connection.execute("SELECT fiel.act_as(%s, %s, %s)", (by.tenant, by.id, list(by.grants)))

        async def rows(query: str) -> AsyncIterator[tuple[Any, ...]]:
            async with connection.cursor(f"export_{query}", binary=True) as cursor:
                cursor.itersize = BATCH
                await cursor.execute(sql[query], values)
                async for row in cursor:
                    yield row

        asked = {"partial": not part.whole, "run": part.run, "since": part.since}
        yield {"t": "header", "v": 1, "tenant": by.tenant, **asked, "public_key": signer.public}
        async for number, hash, body, leaves in rows("seals"):
            # Of the parts of others not even the ids are shown.
            shown = part.run is None or any(leaf[2] == part.run for leaf in split(bytes(leaves)))
            yield {
                "t": "seal",
                "number": number,
                "hash": bytes(hash).hex(),
                "body": bytes(body).decode(errors="replace"),
                "leaves": b64encode(leaves).decode() if shown else None,
            }
        async for (leaf,) in rows("waiting"):
            yield {"t": "waiting", "leaves": b64encode(leaf).decode()}
        for query, make in _ROWS.items():
            async for row in rows(query):
                yield make(*row)
        stored = [Head(by.tenant, *row) async for row in rows("heads")]
        kept = list(signer.kept(by.tenant))
        for head in {(one.number, bytes(one.body), bytes(one.signature)): one for one in [*stored, *kept]}.values():
            yield _head(head)
    yield {"t": "end"}


def _run(
    run: str, tenant: str, thread: str, caller: str, resumes: str | None, resumes_seq: int | None, started: int
) -> Json:
    facts = {"tenant": tenant, "thread": thread, "caller": caller, "started": started}
    return {"t": "run", "run": run, "resumes": resumes, "resumes_seq": resumes_seq, **facts}


def _entry(run: str, seq: int, hash: bytes, body: bytes) -> Json:
    return {"t": "entry", "run": run, "seq": seq, "hash": bytes(hash).hex(), "body": _text(body_of(bytes(body)))}


def _frame(run: str, seq: int, head: bytes, key: str, data: bytes) -> Json:
    shown = {"head": bytes(head).hex(), "key": key, "data": b64encode(data).decode()}
    return {"t": "frame", "run": run, "seq": seq, **shown}


def _act(act: str, tenant: str, principal: str, kind: str, subject: str, at: int, hash: bytes, body: bytes) -> Json:
    columns = {"tenant": tenant, "principal": principal, "kind": kind, "subject": subject, "at": at}
    return {"t": "act", "act": act, **columns, "hash": bytes(hash).hex(), "body": _text(body)}


def _head(head: Head) -> Json:
    signature = b64encode(head.signature).decode()
    return {"t": "head", "number": head.number, "body": _text(head.body), "signature": signature}


def _text(body: bytes) -> str:
    return bytes(body).decode(errors="replace")


_ROWS: dict[str, Callable[..., Json]] = {"runs": _run, "entries": _entry, "frames": _frame, "acts": _act}


Opens = Callable[[str, str, bytes], bool]
"""`(id, master, wrapped)`: whether a data key can be unwrapped, as far as that can be told here."""


async def verified(
    database: Database,
    by: Principal,
    signer: Signer,
    masters: Collection[str],
    elsewhere: Sequence[Head] = (),
    opens: Opens = lambda id, master, wrapped: True,
) -> Json:
    """Check the chain of the caller's tenant where it lies.

    `masters`: names of the master keys that are here; `elsewhere`: heads from second places. `{"entries", "broken":
    [{"tenant", "run", "seq", "what"}], "erased", "lost", "unsealed", "head"}`.
    """
    checker, taken = Checker(signed_by(signer.public)), 0
    acts: list[Json] = []
    async for one in records(database, by, signer, Part()):
        taken += 1
        if not taken % SLICE:
            await asyncio.sleep(0)  # a service answers others meanwhile
        acts += [one] if one["t"] == "act" and one["kind"] in DESTROYING else []
        for kept in elsewhere if one["t"] == "end" else ():
            checker.take(_head(kept))
        checker.take(one)
    async with database.acting(by) as connection:
        values = {"tenant": by.tenant}
        rows = await (await connection.execute(load(__package__, "export.sql")["keys"], values)).fetchall()
        stored = await (await connection.execute(load(__package__, "export.sql")["heads"], values)).fetchall()
        numbers = {one[0] for one in stored}
    for number in sorted({one.number for one in (*signer.kept(by.tenant), *elsewhere)} - numbers):
        checker.fail("a head that was signed is gone from the database", head=number)
    contents = judged([_state(row, opens) for row in rows], acts, masters)
    for run, what in contents.broken:
        checker.fail(what, run)
    head = {"seal": checker.last, "hash": checker.prev, "signed": checker.signed, "public_key": signer.public}
    return {
        "entries": checker.entries,
        "broken": checker.broken,
        "erased": contents.erased,
        "lost": contents.lost,
        "unsealed": checker.unsealed,
        "head": head,
    }


def _state(row: tuple[Any, ...], opens: Opens) -> KeyState:
    """A row of the query `keys`."""
    state, wrapped, (root, above, inner) = KeyState(*row[:7]), row[7], row[8:]
    if wrapped is None:
        return state
    whole = root is not None and opens(state.id, str(state.master), bytes(wrapped)) and opens(root, above, bytes(inner))
    return state._replace(opens=whole, above=above)


def ended(record: Json, digest: str, signer: Signer) -> Json:
    """The last record of an export, with the digest of all lines before it, signed: none of them can be left out."""
    return record | {"sha256": digest, "signature": b64encode(signer.vouch(b"export " + digest.encode())).decode()}


def line(record: Json) -> bytes:
    """A record as it stands in an export."""
    return orjson.dumps(record, option=orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE)
