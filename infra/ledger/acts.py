"""Administrative acts as entries of the ledger: written in the transaction that does them, so neither is without the
other.

A body says who did what to what, in canonical JSON; its hash is what the tenant's chain takes in. `detail` is for ids,
names, codes and numbers: never for what a user wrote, since an act stays readable for ever.
"""

import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import orjson

from fiel.infra.ledger.leaf import of_act
from fiel.tools.canonical import canonical
from fiel.tools.principal import Principal
from fiel.tools.sql import load

FORMAT = 1
"""Version of the body's form; stands in each body."""

KINDS: tuple[str, ...] = (
    "grant",
    "revoke",
    "group_add",
    "group_remove",
    "user_change",
    "policy_change",
    "prompt_change",
    "token_create",
    "token_rotate",
    "token_revoke",
    "feedback",
    "export",
    "replay",
    "erase",
    "retention",
    "state_edit",
    "audit_read",
    "review",
    "key_rotate",
)
"""What an act can be. Kinds are added at the end and never change their meaning."""


@dataclass(frozen=True, slots=True)
class Act:
    """One act. Raises ValueError for a kind that `KINDS` lacks."""

    principal: Principal
    """Who does it; the act belongs to their tenant."""
    kind: str
    subject: str
    """What it is done to: a document, user, collection, token or run, by name or id."""
    detail: Mapping[str, Any] = field(default_factory=dict)
    """JSON of the canonical profile: ASCII keys, no floats."""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"{self.kind!r} is no kind of act")


@dataclass(frozen=True, slots=True)
class Recorded:
    """An act as stored."""

    act: str
    hash: bytes
    """SHA-256 of `body`, 32 bytes."""
    body: Mapping[str, Any]


async def record(connection: Any, act: Act) -> str:
    """Write `act` in the caller's transaction (`Database.acting` of its principal); returns its id.

    Whatever makes it fail makes the transaction fail. Raises ValueError for a detail that has no canonical form.
    """
    id, at, who = str(uuid.uuid4()), time.time_ns() // 1000, act.principal
    body = canonical(
        {
            "v": FORMAT,
            "act": id,
            "tenant": who.tenant,
            "principal": {"id": who.id, "groups": sorted(who.groups), "roles": sorted(who.roles)},
            "kind": act.kind,
            "subject": act.subject,
            "detail": dict(act.detail),
            "at": at,
        }
    )
    hash = sha256(body).digest()
    values = {
        "act": id,
        "tenant": who.tenant,
        "principal": who.id,
        "kind": act.kind,
        "subject": act.subject,
        "at": at,
        "hash": hash,
        "body": body,
        "leaf": of_act(id, hash),
    }
    await connection.execute(load(__package__, "acts.sql")["record"], values)
    return id


async def acts(connection: Any, tenant: str, *, limit: int = 100) -> Sequence[Recorded]:
    """The latest acts of a tenant, newest first."""
    cursor = await connection.execute(load(__package__, "acts.sql")["latest"], (tenant, limit))
    return [Recorded(str(id), bytes(hash), orjson.loads(bytes(body))) for id, hash, body in await cursor.fetchall()]
