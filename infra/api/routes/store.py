"""The store over HTTP."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from fiel.infra.api.auth.caller import Calling
from fiel.infra.api.routes.resources import items_of
from fiel.infra.api.service import Serving
from fiel.infra.api.wire.answers import PROBLEMS, reply
from fiel.infra.api.wire.body import JsonRoute
from fiel.infra.api.wire.store import (
    ItemDelete,
    ItemOut,
    ItemPut,
    ItemSearch,
    ItemsOut,
    Key,
    NamespaceSearch,
    NamespacesOut,
    item_json,
)

router = APIRouter(prefix="/store", tags=["store"], route_class=JsonRoute, responses=PROBLEMS)


@router.put("/items", status_code=204)
async def put(body: ItemPut, caller: Calling, service: Serving) -> Response:
    """Keep a value under a namespace and a key. `ttl`: minutes after it was last used; `index`: fields to search by."""
    items = items_of(service)
    await items.put(caller.principal, tuple(body.namespace), body.key, body.value, body.ttl, body.index)
    return Response(status_code=204)


@router.get("/items", response_model=ItemOut | None)
async def get(
    key: Annotated[Key, Query()],
    caller: Calling,
    service: Serving,
    namespace: Annotated[list[str] | None, Query(description="Labels, joined by periods or repeated")] = None,
    refresh_ttl: bool = True,
) -> Response:
    """One item; null where there is none."""
    labels = tuple(label for part in namespace or () for label in part.split("."))
    item = await items_of(service).get(caller.principal, labels, key, refresh=refresh_ttl)
    return reply(None if item is None else item_json(item))


@router.delete("/items", status_code=204)
async def delete(body: ItemDelete, caller: Calling, service: Serving) -> Response:
    """Forget an item; one that is not there is fine."""
    await items_of(service).delete(caller.principal, tuple(body.namespace), body.key)
    return Response(status_code=204)


@router.post("/items/search", response_model=ItemsOut)
async def search(caller: Calling, service: Serving, body: ItemSearch | None = None) -> Response:
    """List items below a namespace, those changed last first, or with a query the nearest in meaning first."""
    body = body or ItemSearch()
    refresh = body.refresh_ttl is not False
    page = await items_of(service).search(caller.principal, body.which(), body.window(), refresh=refresh)
    return reply({"items": [{**item_json(item), "score": item.score} for item in page.items]})


@router.post("/namespaces", response_model=NamespacesOut)
async def namespaces(caller: Calling, service: Serving, body: NamespaceSearch | None = None) -> Response:
    """List namespaces that hold items. In `prefix` and `suffix` the label * stands for any."""
    body = body or NamespaceSearch()
    return reply({"namespaces": await items_of(service).namespaces(caller.principal, body.which(), body.window())})
