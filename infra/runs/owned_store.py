"""The store as graphs get it: LangGraph's `BaseStore` over one owner's items, the same that clients see over HTTP."""

from collections.abc import Iterable
from typing import Any

from langgraph.store import base
from langgraph.store.base import BaseStore, GetOp, ListNamespacesOp, Op, PutOp, Result, SearchItem, SearchOp

from fiel.infra.runs.items import Item, ItemFilter, Items, NamespaceFilter
from fiel.infra.runs.pages import Window
from fiel.tools.principal import Principal


class OwnedStore(BaseStore):
    """`items` of `owner`. As in LangGraph's stores, without an index `query` and `index` change nothing."""

    supports_ttl = True

    def __init__(self, items: Items, owner: Principal) -> None:
        self._items = items
        self._owner = owner

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        return [await self._do(op) for op in ops]

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        raise NotImplementedError("this store is asked with abatch")

    async def _do(self, op: Op) -> Result:
        if isinstance(op, GetOp):
            found = await self._items.get(self._owner, op.namespace, op.key, refresh=op.refresh_ttl)
            return None if found is None else base.Item(**_fields(found))
        if isinstance(op, PutOp):
            await self._put(op)
            return None
        if isinstance(op, SearchOp):
            which = ItemFilter(op.namespace_prefix, op.filter or {}, (self._items.indexed and op.query) or "")
            page = await self._items.search(self._owner, which, Window(op.limit, op.offset), refresh=op.refresh_ttl)
            return [SearchItem(**_fields(item), score=item.score) for item in page.items]
        return await self._namespaces(op)

    async def _put(self, op: PutOp) -> None:
        if op.value is None:
            await self._items.delete(self._owner, op.namespace, op.key)
        else:
            await self._items.put(
                self._owner, op.namespace, op.key, op.value, op.ttl, op.index if self._items.indexed else None
            )

    async def _namespaces(self, op: ListNamespacesOp) -> Result:
        paths = {one.match_type: tuple(one.path) for one in op.match_conditions or ()}
        which = NamespaceFilter(paths.get("prefix", ()), paths.get("suffix", ()), op.max_depth)
        return await self._items.namespaces(self._owner, which, Window(op.limit, op.offset))


def _fields(item: Item) -> dict[str, Any]:
    return {
        "namespace": item.namespace,
        "key": item.key,
        "value": item.value,
        "created_at": item.created_at,
        "updated_at": item.updated_at,
    }
