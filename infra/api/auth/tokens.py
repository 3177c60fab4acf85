"""API tokens: 256 random bits each, of which PostgreSQL knows the SHA-256 alone.

A token is looked up by that digest, so comparing takes the same time whatever was guessed.
"""

import hashlib
import re
import secrets
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, cast

from psycopg.rows import class_row

from fiel.infra.database.connect import Database
from fiel.infra.ledger.acts import Act, record
from fiel.tools.errors import NotPermitted, UsageError
from fiel.tools.principal import ROLES, Principal, Role
from fiel.tools.sql import load

PREFIX = "fiel_"
_SHAPE = re.compile(r"fiel_[A-Za-z0-9_-]{43}")


class TokenNotFound(UsageError):
    """The tenant has no live token of this id."""

    code = "token_not_found"


@dataclass(frozen=True, slots=True)
class Token:
    """A token as an administrator sees it: everything but the secret."""

    id: str
    tenant: str
    principal: str
    groups: list[str]
    roles: list[str]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None

    def as_dict(self) -> dict[str, Any]:
        """JSON object, times in ISO 8601."""
        told = asdict(self)
        return {key: value.isoformat() if isinstance(value, datetime) else value for key, value in told.items()}


@dataclass(frozen=True, slots=True)
class Found:
    """Who calls with a token."""

    id: str
    principal: Principal


def fingerprint(secret: str) -> bytes:
    """What the database knows of a token."""
    return hashlib.sha256(secret.encode()).digest()


class Tokens:
    """The tokens of a database. Raises DatabaseUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sql = load(__package__, "tokens.sql")

    async def find(self, secret: str) -> Found | None:
        """Whose token this is; None for one that is unknown, expired or revoked."""
        if not _SHAPE.fullmatch(secret):
            return None
        async with self._database.single() as connection:
            cursor = await connection.execute(self._sql["find"], (fingerprint(secret),), prepare=True)
            row = await cursor.fetchone()
        if row is None:
            return None
        id, tenant, name, groups, roles = row
        return Found(id, Principal(tenant, name, frozenset(groups), _known(roles)))

    async def now(self, id: str) -> Principal | None:
        """Whom the token of this id speaks for at this moment; None where it may not be used any more."""
        async with self._database.single() as connection:
            row = await (await connection.execute(self._sql["now"], (uuid.UUID(id),), prepare=True)).fetchone()
        return None if row is None else Principal(row[0], row[1], frozenset(row[2]), _known(row[3]))

    async def lives(self, id: str) -> bool:
        """Whether the token of this id may still be used."""
        return await self.now(id) is not None

    async def create(self, by: Principal, holder: Principal, *, seconds: float | None = None) -> tuple[str, Token]:
        """A new token for `holder`, in the tenant of `by`: its secret, which nobody learns again, and its row.

        A holder without roles must be a user that is kept: the token then has, each time, the roles that the user has.
        `seconds`: how long it lives; None: until it is revoked. Raises NotPermitted, UsageError.
        """
        _administers(by)
        if holder.tenant != by.tenant:
            raise NotPermitted("tokens are made in one's own tenant", where=holder.tenant)
        async with self._database.acting(by) as connection:
            if not holder.roles and not await self._kept(connection, holder.id):
                raise UsageError("a token without a role is for users that are kept", where=holder.id)
            made = await self._insert(connection, holder, seconds, None)
            await record(connection, Act(by, "token_create", made[1].id, _facts(made[1])))
        return made

    async def all(self, by: Principal, *, dead: bool = False) -> Sequence[Token]:
        """The tokens of the caller's tenant, the oldest first; with `dead` also those expired and revoked."""
        _administers(by)
        async with self._database.acting(by) as connection, connection.cursor(row_factory=class_row(Token)) as cursor:
            await cursor.execute(self._sql["all"], {"tenant": by.tenant, "dead": dead})
            return await cursor.fetchall()

    async def revoke(self, by: Principal, id: str) -> Token:
        """Make a token useless at once. Raises TokenNotFound, NotPermitted."""
        _administers(by)
        async with self._database.acting(by) as connection:
            ended = await self._one(connection, "revoke", by, id)
            await record(connection, Act(by, "token_revoke", ended.id, {"holder": ended.principal}))
        return ended

    async def rotate(
        self, by: Principal, id: str, *, seconds: float | None = None, grace: float = 0.0
    ) -> tuple[str, Token]:
        """A new token with the rights of another, which lives for `grace` seconds more.

        Raises TokenNotFound, NotPermitted.
        """
        _administers(by)
        async with self._database.acting(by) as connection:
            old = await self._one(connection, "one", by, id)
            await connection.execute(self._sql["expire"], {"tenant": by.tenant, "id": uuid.UUID(id), "grace": grace})
            holder = Principal(old.tenant, old.principal, frozenset(old.groups), _known(old.roles))
            made = await self._insert(connection, holder, seconds, uuid.UUID(id))
            await record(connection, Act(by, "token_rotate", old.id, {"by": made[1].id, **_facts(made[1])}))
        return made

    async def first(self, by: Principal, holder: Principal) -> str | None:
        """The first administrator's token of a tenant; None where there ever was one."""
        async with self._database.acting(by) as connection:
            await connection.execute(self._sql["lock"])
            row = await (await connection.execute(self._sql["has_administrator"], (by.tenant,))).fetchone()
            if row and row[0]:
                return None
            secret, made = await self._insert(connection, holder, None, None)
            await record(connection, Act(by, "token_create", made.id, _facts(made)))
        return secret

    async def kept(self, by: Principal, name: str) -> bool:
        """Whether the caller's tenant keeps a user of this name."""
        _administers(by)
        async with self._database.acting(by) as connection:
            return await self._kept(connection, name)

    async def _kept(self, connection: Any, name: str) -> bool:
        return await (await connection.execute(self._sql["kept"], {"user": name})).fetchone() is not None

    async def _insert(
        self, connection: Any, holder: Principal, seconds: float | None, rotates: uuid.UUID | None
    ) -> tuple[str, Token]:
        secret = PREFIX + secrets.token_urlsafe(32)
        values = {
            "tenant": holder.tenant,
            "principal": holder.id,
            "groups": sorted(holder.groups),
            "roles": sorted(holder.roles),
            "hash": fingerprint(secret),
            "seconds": seconds,
            "rotates": rotates,
        }
        async with connection.cursor(row_factory=class_row(Token)) as cursor:
            await cursor.execute(self._sql["create"], values)
            return secret, cast("Token", await cursor.fetchone())

    async def _one(self, connection: Any, query: str, by: Principal, id: str) -> Token:
        async with connection.cursor(row_factory=class_row(Token)) as cursor:
            await cursor.execute(self._sql[query], {"tenant": by.tenant, "id": _uuid(id)})
            row = await cursor.fetchone()
        if row is None:
            raise TokenNotFound(f"there is no live token {id}", hint="`fiel token list` shows them")
        return cast("Token", row)


def _facts(token: Token) -> dict[str, Any]:
    """What an act says of a new token."""
    until = token.expires_at.isoformat() if token.expires_at else None
    return {"holder": token.principal, "groups": token.groups, "roles": token.roles, "expires": until}


def _administers(by: Principal) -> None:
    if not by.may("administrator"):
        raise NotPermitted("tokens are for administrators", where="fiel token")


def _known(roles: Sequence[str]) -> frozenset[Role]:
    """Of `roles` those that this version of fiel knows: another grants nothing."""
    return frozenset(role for role in ROLES if role in roles)


def _uuid(id: str) -> uuid.UUID:
    try:
        return uuid.UUID(id)
    except ValueError:
        raise TokenNotFound(f"{id!r} is no id of a token", hint="`fiel token list` shows them") from None
