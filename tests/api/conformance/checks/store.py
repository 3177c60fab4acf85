"""Checks of the store."""

from typing import Any

from langgraph_sdk.client import LangGraphClient

from tests.api.conformance.check import check
from tests.api.conformance.talk import fresh, refused, until


@check("store: put and get", "store.put_item, get_item: schema.Item")
async def _put(client: LangGraphClient) -> None:
    place = ["conformance", fresh()]
    await client.store.put_item(place, "k", {"a": 1})
    item: Any = await client.store.get_item(place, "k")
    assert (item["namespace"], item["key"], item["value"]) == (place, "k", {"a": 1})
    assert item["created_at"] and item["updated_at"]


@check("store: put again", "store.put_item: stores or updates an item")
async def _again(client: LangGraphClient) -> None:
    place = ["conformance", fresh()]
    await client.store.put_item(place, "k", {"a": 1})
    before: Any = await client.store.get_item(place, "k")
    await client.store.put_item(place, "k", {"b": 2})
    after: Any = await client.store.get_item(place, "k")
    assert after["value"] == {"b": 2}
    assert after["created_at"] == before["created_at"] and after["updated_at"] > before["updated_at"]


@check("store: get what is not there", "store.get_item: None")
async def _missing(client: LangGraphClient) -> None:
    assert await client.store.get_item(["conformance", fresh()], "k") is None


@check("store: delete", "store.delete_item: it is gone")
async def _delete(client: LangGraphClient) -> None:
    place = ["conformance", fresh()]
    await client.store.put_item(place, "k", {"a": 1})
    await client.store.delete_item(place, "k")
    assert await client.store.get_item(place, "k") is None


@check("store: search", "store.search_items: namespace prefix, filter, limit, offset")
async def _search(client: LangGraphClient) -> None:
    place = ["conformance", fresh()]
    for key, value in (("one", {"kind": "x", "n": 1}), ("two", {"kind": "y", "n": 2}), ("three", {"kind": "x"})):
        await client.store.put_item([*place, key], key, value)
    search = client.store.search_items
    assert {one["key"] for one in (await search(place))["items"]} == {"one", "two", "three"}
    assert {one["key"] for one in (await search(place, filter={"kind": "x"}))["items"]} == {"one", "three"}
    assert len((await search(place, limit=2))["items"]) == 2
    assert len((await search(place, limit=2, offset=2))["items"]) == 1
    assert (await search([*place, "two"]))["items"][0]["value"] == {"kind": "y", "n": 2}


@check("store: search by comparison", "store.search_items(filter): operators as in LangGraph's stores")
async def _operators(client: LangGraphClient) -> None:
    place = ["conformance", fresh()]
    for number in range(4):
        await client.store.put_item(place, f"k{number}", {"n": number})
    found = await client.store.search_items(place, filter={"n": {"$gte": 2}})
    assert {one["key"] for one in found["items"]} == {"k2", "k3"}
    found = await client.store.search_items(place, filter={"n": {"$ne": 2}})
    assert {one["key"] for one in found["items"]} == {"k0", "k1", "k3"}


@check("store: namespaces", "store.list_namespaces: prefix, suffix, max_depth, limit, offset")
async def _namespaces(client: LangGraphClient) -> None:
    root = fresh()
    for place in (["a", "x"], ["a", "y", "z"], ["b", "x"]):
        await client.store.put_item([root, *place], "k", {})
    listed = client.store.list_namespaces

    async def found(**asked: Any) -> list[list[str]]:
        told: Any = await listed(**asked)
        return sorted(told["namespaces"] if isinstance(told, dict) else told)

    assert await found(prefix=[root]) == [[root, "a", "x"], [root, "a", "y", "z"], [root, "b", "x"]]
    assert await found(prefix=[root], suffix=["x"]) == [[root, "a", "x"], [root, "b", "x"]]
    assert await found(prefix=[root], max_depth=2) == [[root, "a"], [root, "b"]]
    assert await found(prefix=[root, "*", "x"]) == [[root, "a", "x"], [root, "b", "x"]]
    assert len(await found(prefix=[root], limit=2)) == 2


@check("store: a time to live", "store.put_item(ttl): minutes")
async def _ttl(client: LangGraphClient) -> None:
    place = ["conformance", fresh()]
    await client.store.put_item(place, "long", {"a": 1}, ttl=60)
    await client.http.put("/store/items", json={"namespace": place, "key": "short", "value": {"a": 1}, "ttl": 0.02})

    async def gone() -> bool:
        return await client.store.get_item(place, "short", refresh_ttl=False) is None

    await until(gone, "the item went with its time", 10)
    assert await client.store.get_item(place, "long", refresh_ttl=False) is not None


@check("store: a label with a period", "store.put_item(namespace): labels cannot contain periods")
async def _period(client: LangGraphClient) -> None:
    try:
        await client.store.put_item(["a.b"], "k", {})
    except ValueError:
        pass
    else:
        raise AssertionError("the SDK let it through")
    await refused(client.http.put("/store/items", json={"namespace": ["a.b"], "key": "k", "value": {}}), 400, 422)


@check("store: a value that is no object", "store.put_item(value): a dictionary")
async def _value(client: LangGraphClient) -> None:
    body = {"namespace": ["conformance", fresh()], "key": "k", "value": "text"}
    await refused(client.http.put("/store/items", json=body), 400, 422)
