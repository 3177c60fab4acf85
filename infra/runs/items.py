"""The store: items that outlive threads, each under a namespace and a key of its owner. Values are sealed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from fiel.infra.database.connect import Database
from fiel.infra.runs import filters
from fiel.infra.runs.errors import BadRequest
from fiel.infra.runs.pages import Page, Window, cut, parameters
from fiel.infra.runs.rows import Connection, Row, fetch, jsonb, one, run, scan
from fiel.infra.runs.sealed import Sealer
from fiel.tools.principal import Principal
from fiel.tools.sql import load

Namespace = tuple[str, ...]

_LONGEST = 1500
"""Bytes of a namespace and a key together: what fits into an index."""
_BATCH = 200
"""Items opened at a time where a filter looks into them."""


@dataclass(frozen=True, slots=True)
class Item:
    """An item, opened."""

    namespace: Namespace
    key: str
    value: dict[str, Any]
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class ItemFilter:
    """Which items are meant."""

    prefix: Namespace = ()
    """What their namespaces begin with."""
    values: Mapping[str, Any] = field(default_factory=dict)
    """`filters`: sealed, so every item below the prefix is opened."""


@dataclass(frozen=True, slots=True)
class NamespaceFilter:
    """Which namespaces are meant. The label * stands for any."""

    starts: Namespace = ()
    ends: Namespace = ()
    depth: int | None = None
    """Labels that are shown; longer ones become one."""


class Items:
    """The items of a database.

    Every method may raise DatabaseUnavailable and KeyUnavailable, and BadRequest for a namespace or a key that cannot
    be.
    """

    def __init__(self, database: Database, sealer: Sealer) -> None:
        self._database = database
        self._sealer = sealer
        self._sql = load(__package__, "items.sql")

    async def put(
        self, principal: Principal, namespace: Namespace, key: str, value: Mapping[str, Any], ttl: float | None = None
    ) -> None:
        """Keep a value under a name, for `ttl` minutes after it was last used, or for ever."""
        check_namespace(namespace)
        values = _key(principal, namespace, key) | {
            "value": self._sealer.seal_json("item", _place(principal, namespace, key), value),
            "ttl_minutes": ttl,
        }
        async with self._database.acting(principal) as connection:
            await run(connection, self._sql["put"], values)

    async def get(self, principal: Principal, namespace: Namespace, key: str, *, refresh: bool = True) -> Item | None:
        """What is kept under a name. With `refresh` its time to live begins anew."""
        check_namespace(namespace)
        values = _key(principal, namespace, key) | {"refresh": refresh}
        async with self._database.acting(principal) as connection:
            row = await one(connection, self._sql["get"], values)
        return None if row is None else self._opened(principal, row)

    async def delete(self, principal: Principal, namespace: Namespace, key: str) -> None:
        """Forget a name; one that is not there is fine."""
        check_namespace(namespace)
        async with self._database.acting(principal) as connection:
            await run(connection, self._sql["delete"], _key(principal, namespace, key))

    async def search(
        self, principal: Principal, which: ItemFilter, window: Window, *, refresh: bool = True
    ) -> Page[Item]:
        """Items, those changed last first."""
        filters.check(which.values)
        values = {"tenant": principal.tenant, "owner": principal.id, "prefix": list(which.prefix)}
        async with self._database.acting(principal) as connection:
            if which.values:
                page = await self._scan(connection, principal, values, which.values, window)
            else:
                rows = await fetch(connection, self._sql["search"], values | parameters(window))
                page = cut([self._opened(principal, row) for row in rows], window)
            if refresh and page.items:
                found = [{"prefix": one.namespace, "key": one.key} for one in page.items]
                await run(connection, self._sql["refresh"], values | {"found": jsonb(found)})
        return page

    async def namespaces(self, principal: Principal, which: NamespaceFilter, window: Window) -> list[Namespace]:
        """Namespaces that hold items, in order."""
        values = {
            "tenant": principal.tenant,
            "owner": principal.id,
            "starts": list(which.starts),
            "ends": list(which.ends),
            "depth": which.depth,
            "limit": window.limit,
            "offset": window.offset,
        }
        async with self._database.acting(principal) as connection:
            return [tuple(row["prefix"]) for row in await fetch(connection, self._sql["namespaces"], values)]

    async def sweep(self, owner: Principal) -> int:
        """Delete an owner's items whose time is over; how many."""
        async with self._database.acting(owner) as connection:
            done = await run(connection, self._sql["sweep"], {"tenant": owner.tenant, "owner": owner.id})
        return done.rowcount

    async def _scan(
        self, connection: Connection, principal: Principal, values: Row, wanted: Mapping[str, Any], window: Window
    ) -> Page[Item]:
        """The page of those items whose values fit."""
        found: list[Item] = []
        async with scan(connection, self._sql["search"], values | {"limit": None, "offset": 0}) as cursor:
            while len(found) <= window.offset + window.limit and (rows := await cursor.fetchmany(_BATCH)):
                items = (self._opened(principal, row) for row in rows)
                found += [one for one in items if filters.fits(one.value, wanted)]
        return cut(found[window.offset :], window)

    def _opened(self, principal: Principal, row: Row) -> Item:
        namespace = tuple(row["prefix"])
        value = self._sealer.open_json("item", _place(principal, namespace, row["key"]), row["value"])
        return Item(namespace, row["key"], value, row["created_at"], row["updated_at"])


def check_namespace(namespace: Sequence[str]) -> None:
    """Refuse a namespace that no store takes. Raises BadRequest."""
    if not namespace:
        raise BadRequest("the namespace is empty", where="namespace")
    for label in namespace:
        if not label or "." in label:
            raise BadRequest(
                "a label of a namespace must hold characters, and none of them a period", where="namespace"
            )
    if namespace[0] == "langgraph":
        raise BadRequest('no namespace may begin with "langgraph"', where="namespace")


def _place(principal: Principal, namespace: Namespace, key: str) -> str:
    return "\0".join((principal.tenant, principal.id, *namespace, "", key))


def _key(principal: Principal, namespace: Namespace, key: str) -> Row:
    if any("\0" in part for part in (*namespace, key)):
        raise BadRequest("a namespace and a key cannot hold the character U+0000", where="key")
    if sum(len(part.encode(errors="replace")) for part in (*namespace, key)) > _LONGEST:
        raise BadRequest(f"a namespace and a key have at most {_LONGEST} bytes together", where="key")
    return {"tenant": principal.tenant, "owner": principal.id, "prefix": list(namespace), "key": key}
