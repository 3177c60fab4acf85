"""Bodies of requests about store items, and how an item looks."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from fiel.infra.api.wire.body import Wire
from fiel.infra.api.wire.common import Json, Limit, Minutes, Offset
from fiel.infra.runs.items import Item, ItemFilter, NamespaceFilter
from fiel.infra.runs.pages import Window

Label = Annotated[str, Field(max_length=500)]
Labels = Annotated[list[Label], Field(max_length=50)]
Key = Annotated[str, Field(min_length=1, max_length=1000)]


class ItemOut(BaseModel):
    """An item."""

    namespace: list[str]
    key: str
    value: Json
    created_at: datetime
    updated_at: datetime


class FoundOut(ItemOut):
    """An item that was found."""

    score: float | None = None


class ItemsOut(BaseModel):
    """What was found."""

    items: list[FoundOut]


class NamespacesOut(BaseModel):
    """Namespaces that hold items."""

    namespaces: list[list[str]]


class ItemPut(Wire):
    """An item to be kept."""

    namespace: Labels
    key: Key
    value: Json
    index: Literal[False] | Annotated[list[str], Field(max_length=50)] | None = None
    ttl: Minutes | None = None


class ItemDelete(Wire):
    """An item to be forgotten."""

    namespace: Labels
    key: Key


class ItemSearch(Wire):
    """Which items to list."""

    namespace_prefix: Labels | None = None
    filter: Json | None = None
    limit: Limit = 10
    offset: Offset = 0
    query: Annotated[str, Field(max_length=10_000)] | None = None
    refresh_ttl: bool | None = None

    def which(self) -> ItemFilter:
        return ItemFilter(tuple(self.namespace_prefix or ()), self.filter or {}, self.query or "")

    def window(self) -> Window:
        return Window(self.limit, self.offset)


class NamespaceSearch(Wire):
    """Which namespaces to list."""

    prefix: Labels | None = None
    suffix: Labels | None = None
    max_depth: Annotated[int, Field(ge=1, le=50)] | None = None
    limit: Limit = 100
    offset: Offset = 0

    def which(self) -> NamespaceFilter:
        return NamespaceFilter(tuple(self.prefix or ()), tuple(self.suffix or ()), self.max_depth)

    def window(self) -> Window:
        return Window(self.limit, self.offset)


def item_json(item: Item) -> Json:
    """An item in the protocol's shape."""
    return {
        "namespace": list(item.namespace),
        "key": item.key,
        "value": item.value,
        "created_at": item.created_at,
        "updated_at": item.updated_at,
    }
