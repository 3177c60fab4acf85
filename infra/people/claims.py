"""What tokens of an identity provider say of a user: joined with what is kept here, and each change an act, once.

Many tokens of one user are about at once. The newest one counts as what the provider says now: a change is compared
with it, and an older token, good as it is until it expires, makes no act.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from fiel.infra.database.connect import Database
from fiel.infra.ledger.acts import Act, record
from fiel.tools.principal import ROLES, Principal, Role
from fiel.tools.sql import load, numbered

Said = tuple[list[str], list[str]]
"""Groups and roles, sorted."""


class Claims:
    """Whoever comes with a token of the identity provider. Raises DatabaseUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sql = load(__package__, "people.sql")
        self._own, _ = numbered(self._sql["own"])

    async def joined(self, who: Principal, issued: int) -> Principal:
        """`who` as a token of that time (seconds since 1970) says, with the groups and roles that are kept for them."""
        ((row,),) = await self._database.read(who, [(self._own, ())])
        said: Said = (sorted(who.groups), sorted(who.roles))
        if row["issued"] is None or (issued >= row["issued"] and (row["groups"], row["roles"]) != said):
            await self._note(who, issued, said)
        return _with_kept(who, row)

    async def now(self, who: Principal) -> Principal:
        """`who` with what their newest token said and what is kept for them; as they are where no token was noted."""
        ((row,),) = await self._database.read(who, [(self._own, ())])
        if row["issued"] is None:
            return who
        return _with_kept(Principal(who.tenant, who.id, frozenset(row["groups"]), _known(row["roles"])), row)

    async def _note(self, who: Principal, issued: int, said: Said) -> None:
        """Write down what is said now, and an act for each difference. Two requests at once write one."""
        async with self._database.acting(who) as connection:
            await connection.execute(self._sql["lock_claims"])
            row = await (await connection.execute(self._sql["claims"])).fetchone()
            groups, roles, last = row or ([], [], issued)
            if issued < last or (row is not None and (groups, roles) == said):
                return
            await connection.execute(self._sql["keep_claims"], {"groups": said[0], "roles": said[1], "issued": issued})
            await self._acts(connection, who, (groups, roles), said)

    async def _acts(self, connection: Any, who: Principal, before: Said, said: Said) -> None:
        by = {"by": "identity provider"}
        for group in sorted(set(said[0]) - set(before[0])):
            await record(connection, Act(who, "group_add", group, {"change": "member", "member": who.id, **by}))
        for group in sorted(set(before[0]) - set(said[0])):
            await record(connection, Act(who, "group_remove", group, {"change": "member", "member": who.id, **by}))
        if before[1] != said[1]:
            await record(connection, Act(who, "user_change", who.id, {"change": "roles", "roles": said[1], **by}))


def _with_kept(who: Principal, row: Mapping[str, Any]) -> Principal:
    """`who` with the groups and roles that are kept here for them."""
    return Principal(who.tenant, who.id, who.groups | frozenset(row["member"]), who.roles | _known(row["kept"] or ()))


def _known(roles: Iterable[str]) -> frozenset[Role]:
    given = set(roles)
    return frozenset(role for role in ROLES if role in given)
