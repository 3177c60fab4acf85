"""The store: items that outlive threads, each under a namespace and a key of its owner. Values are sealed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from fiel.infra.database.connect import Database
from fiel.infra.runs import filters
from fiel.infra.runs.errors import BadRequest
from fiel.infra.runs.meaning import Fields, Meaning
from fiel.infra.runs.pages import Page, Window, cut, parameters
from fiel.infra.runs.rows import Connection, Row, fetch, jsonb, one, run, scan
from fiel.infra.runs.sealed import Sealer
from fiel.tools.embed import Vector
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
    score: float | None = None
    """How near it is to the query, -1 to 1; None without a query, and for an item that is not indexed."""


@dataclass(frozen=True, slots=True)
class ItemFilter:
    """Which items are meant."""

    prefix: Namespace = ()
    """What their namespaces begin with."""
    values: Mapping[str, Any] = field(default_factory=dict)
    """`filters`: sealed, so every item below the prefix is opened."""
    query: str = ""
    """What they are to be near to; empty: those changed last come first. Every item below the prefix is opened."""


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

    def __init__(self, database: Database, sealer: Sealer, meaning: Meaning | None = None) -> None:
        """`meaning`: how items are indexed; None: they are not, and a query is refused."""
        self._database = database
        self._sealer = sealer
        self._meaning = meaning
        self._sql = load(__package__, "items.sql")

    @property
    def indexed(self) -> bool:
        """Whether items are found by meaning."""
        return self._meaning is not None

    async def put(
        self,
        principal: Principal,
        namespace: Namespace,
        key: str,
        value: Mapping[str, Any],
        ttl: float | None = None,
        index: Fields = None,
    ) -> None:
        """Keep a value under a name, for `ttl` minutes after it was last used, or for ever.

        `index`: which of its texts are found by meaning. Raises ModelUnavailable, and then keeps nothing.
        """
        check_namespace(namespace)
        place = _place(principal, namespace, key)
        values = _key(principal, namespace, key) | {
            "value": self._sealer.seal_json("item", place, value),
            "vectors": await self._indexed(place, value, index),
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
        """Items, those changed last first, or with a query the nearest first and those without vectors behind them."""
        filters.check(which.values)
        values = {"tenant": principal.tenant, "owner": principal.id, "prefix": list(which.prefix), "vectors": False}
        query = await self._query(which.query) if which.query else None
        async with self._database.acting(principal) as connection:
            if query is not None:
                page = await self._nearest(connection, principal, values, which.values, query, window)
            elif which.values:
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

    async def _indexed(self, place: str, value: Mapping[str, Any], index: Fields) -> bytes | None:
        if self._meaning is None:
            if index:
                raise BadRequest("items are not indexed by meaning here", where="index", hint="See `store.index`")
            return None
        kept = await self._meaning.index(value, index)
        return None if kept is None else self._sealer.seal_json("vectors", place, kept)

    async def _query(self, text: str) -> Vector:
        if self._meaning is None:
            raise BadRequest("items are not searched by meaning here", where="query", hint="Use filter")
        return await self._meaning.query(text)

    async def _nearest(
        self,
        connection: Connection,
        principal: Principal,
        values: Row,
        wanted: Mapping[str, Any],
        query: Vector,
        window: Window,
    ) -> Page[Item]:
        """The page of those items that fit, by their nearness."""
        found: list[Item] = []
        every = values | {"vectors": True, "limit": None, "offset": 0}
        async with scan(connection, self._sql["search"], every) as cursor:
            while rows := await cursor.fetchmany(_BATCH):
                items = (self._near(principal, row, query) for row in rows)
                found += [one for one in items if not wanted or filters.fits(one.value, wanted)]
        found.sort(key=lambda one: -2.0 if one.score is None else one.score, reverse=True)
        return cut(found[window.offset :], window)

    def _near(self, principal: Principal, row: Row, query: Vector) -> Item:
        item = self._opened(principal, row)
        if self._meaning is None or row["vectors"] is None:
            return item
        place = _place(principal, item.namespace, item.key)
        kept = self._sealer.open_json("vectors", place, row["vectors"])
        return replace(item, score=self._meaning.score(query, kept))

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
