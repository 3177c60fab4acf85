"""Users, groups and memberships of a tenant. Every change is an act of the ledger, written in its transaction."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from fiel.infra.callers import principal_of
from fiel.infra.corpus.names import checked_group, checked_user
from fiel.infra.database.connect import Database
from fiel.infra.ledger.acts import Act, record
from fiel.tools.errors import NotPermitted, UsageError
from fiel.tools.principal import ROLES, Principal, Role
from fiel.tools.sql import load


class UserNotFound(UsageError):
    """The tenant keeps no user of this name."""

    code = "user_not_found"


class GroupNotFound(UsageError):
    """The tenant keeps no group of this name."""

    code = "group_not_found"


@dataclass(frozen=True, slots=True)
class User:
    """A user as administrators keep them."""

    name: str
    roles: list[str]
    groups: list[str]
    added_by: str
    added_at: datetime

    def as_dict(self) -> dict[str, Any]:
        """JSON object, times in ISO 8601."""
        return {**asdict(self), "added_at": self.added_at.isoformat()}


@dataclass(frozen=True, slots=True)
class Group:
    """A group as administrators keep it."""

    name: str
    members: list[str]
    added_by: str
    added_at: datetime

    def as_dict(self) -> dict[str, Any]:
        """JSON object, times in ISO 8601."""
        return {**asdict(self), "added_at": self.added_at.isoformat()}


class People:
    """The people of the caller's tenant, for its administrators. Raises NotPermitted, DatabaseUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sql = load(__package__, "people.sql")

    async def users(self, by: Principal) -> list[User]:
        """All of them, by name."""
        _administers(by)
        async with self._database.acting(by) as connection:
            return [User(*row) for row in await self._rows(connection, "user", user=None)]

    async def user(self, by: Principal, name: str) -> User:
        """One of them. Raises UserNotFound."""
        _administers(by)
        async with self._database.acting(by) as connection:
            return await self._user(connection, name)

    async def add_user(
        self, by: Principal, name: str, *, roles: Sequence[str] | None = None, groups: Sequence[str] = ()
    ) -> User:
        """Keep a user, in these groups too. `roles` replace those that a known one has; None: a new one is a reader.

        Raises UsageError for names that cannot be and for unknown roles, GroupNotFound.
        """
        _administers(by)
        name, wanted = checked_user(name), None if roles is None else _roles(roles)
        async with self._database.acting(by) as connection:
            fresh = wanted if wanted is not None else ["reader"]
            if await self._does(connection, "add_user", user=name, roles=fresh):
                await record(connection, Act(by, "user_change", name, {"change": "added", "roles": fresh}))
            elif wanted is not None and await self._does(connection, "set_roles", user=name, roles=wanted):
                await record(connection, Act(by, "user_change", name, {"change": "roles", "roles": wanted}))
            for group in groups:
                await self._group(connection, group)
                await self._join(connection, by, group, name)
            return await self._user(connection, name)

    async def remove_user(self, by: Principal, name: str) -> User:
        """Keep a user no longer: memberships and tokens end with it. What was granted to the name stays.

        Raises UserNotFound.
        """
        _administers(by)
        async with self._database.acting(by) as connection:
            gone = await self.drop(connection, by, name)
            return gone or await self._user(connection, name)

    async def drop(self, connection: Any, by: Principal, name: str) -> User | None:
        """`remove_user` in a transaction of an administrator's; None where no user of that name is kept."""
        gone = next((User(*row) for row in await self._rows(connection, "user", user=name)), None)
        if gone is None:
            return None
        for group in gone.groups:
            await self._leave(connection, by, group, name)
        await self._does(connection, "remove_user", user=name)
        for (token,) in await self._rows(connection, "end_tokens", user=name):
            await record(connection, Act(by, "token_revoke", token, {"holder": name}))
        await record(connection, Act(by, "user_change", name, {"change": "removed", "roles": gone.roles}))
        return gone

    async def groups(self, by: Principal) -> list[Group]:
        """All of them, by name."""
        _administers(by)
        async with self._database.acting(by) as connection:
            return [Group(*row) for row in await self._rows(connection, "groups", group=None)]

    async def group(self, by: Principal, name: str) -> Group:
        """One of them. Raises GroupNotFound."""
        _administers(by)
        async with self._database.acting(by) as connection:
            return await self._group(connection, name)

    async def add_group(self, by: Principal, name: str, members: Sequence[str] = ()) -> Group:
        """Keep a group, with these users in it too. Raises UsageError for a name that cannot be, UserNotFound."""
        _administers(by)
        name = checked_group(name)
        async with self._database.acting(by) as connection:
            if await self._does(connection, "add_group", group=name):
                await record(connection, Act(by, "group_add", name, {"change": "added"}))
            for user in members:
                await self._user(connection, user)
                await self._join(connection, by, name, user)
            return await self._group(connection, name)

    async def remove_group(self, by: Principal, name: str) -> Group:
        """Keep a group no longer: nobody is in it by fiel's word. What was granted to the name stays.

        Raises GroupNotFound.
        """
        _administers(by)
        async with self._database.acting(by) as connection:
            gone = await self._group(connection, name)
            for user in gone.members:
                await self._leave(connection, by, name, user)
            await self._does(connection, "remove_group", group=name)
            await record(connection, Act(by, "group_remove", name, {"change": "removed"}))
            return gone

    async def remove_members(self, by: Principal, name: str, members: Sequence[str]) -> Group:
        """Take users out of a group; who is not in it stays out. Raises GroupNotFound."""
        _administers(by)
        async with self._database.acting(by) as connection:
            await self._group(connection, name)
            for user in members:
                await self._leave(connection, by, name, user)
            return await self._group(connection, name)

    async def as_kept(self, who: Principal) -> Principal:
        """`who` with the groups that are kept for that name, and its roles where it is a user that is kept."""
        async with self._database.acting(who) as connection:
            ((kept, member, *_),) = await self._rows(connection, "own")
        roles = who.roles if kept is None else frozenset[Role](role for role in ROLES if role in kept)
        return Principal(who.tenant, who.id, who.groups | frozenset(member), roles)

    async def spoken_for(self, as_user: str | None, groups: Sequence[str]) -> Principal:
        """Whom the owner of the home folder speaks for, as kept; see `fiel.infra.callers.principal_of`."""
        who = principal_of(as_user, groups)
        return who if as_user is None else await self.as_kept(who)

    async def _join(self, connection: Any, by: Principal, group: str, user: str) -> None:
        if await self._does(connection, "join", group=group, user=user):
            await record(connection, Act(by, "group_add", group, {"change": "member", "member": user}))

    async def _leave(self, connection: Any, by: Principal, group: str, user: str) -> None:
        if await self._does(connection, "leave", group=group, user=user):
            await record(connection, Act(by, "group_remove", group, {"change": "member", "member": user}))

    async def _user(self, connection: Any, name: str) -> User:
        rows = await self._rows(connection, "user", user=name)
        if not rows:
            raise UserNotFound(f"there is no user {name!r}", hint="`fiel user show` lists them")
        return User(*rows[0])

    async def _group(self, connection: Any, name: str) -> Group:
        rows = await self._rows(connection, "groups", group=name)
        if not rows:
            raise GroupNotFound(f"there is no group {name!r}", hint="`fiel group list` lists them")
        return Group(*rows[0])

    async def _rows(self, connection: Any, query: str, **values: Any) -> list[Any]:
        return list(await (await connection.execute(self._sql[query], values)).fetchall())

    async def _does(self, connection: Any, query: str, **values: Any) -> bool:
        """Whether the statement changed anything."""
        return bool((await connection.execute(self._sql[query], values)).rowcount)


def _administers(by: Principal) -> None:
    if not by.may("administrator"):
        raise NotPermitted("users and groups are for administrators", where="fiel user")


def _roles(names: Sequence[str]) -> list[str]:
    if unknown := sorted(set(names) - set(ROLES)):
        raise UsageError(f"{unknown[0]!r} is no role", where="roles", hint=f"There are {', '.join(ROLES)}")
    return [role for role in ROLES if role in names]
