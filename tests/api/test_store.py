"""The store as clients of the protocol use it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest
from langgraph_sdk.errors import APIStatusError

from fiel.infra.api.routes.resources import items_of, threads_of
from fiel.infra.runs.deadlines import Deadlines
from fiel.infra.runs.expiry import Expiry
from fiel.infra.runs.owned_store import OwnedStore
from fiel.tools.principal import Principal
from tests.api.graphs import PlainHost, plain_host
from tests.conftest import Urls


@pytest.fixture
async def host(database_urls: Urls) -> AsyncIterator[PlainHost]:
    async with plain_host(database_urls) as opened:
        yield opened


async def test_put_get_delete(client) -> None:
    ann = await client()
    await ann.store.put_item(["notes", "tea"], "one", {"cups": 2})
    item = await ann.store.get_item(["notes", "tea"], "one")
    assert (item["namespace"], item["key"], item["value"]) == (["notes", "tea"], "one", {"cups": 2})
    await ann.store.put_item(["notes", "tea"], "one", {"cups": 3})
    again = await ann.store.get_item(["notes", "tea"], "one")
    assert again["value"] == {"cups": 3}
    assert again["created_at"] == item["created_at"]
    assert again["updated_at"] > item["updated_at"]
    assert await ann.store.get_item(["notes"], "one") is None
    await ann.store.delete_item(["notes", "tea"], "one")
    assert await ann.store.get_item(["notes", "tea"], "one") is None
    await ann.store.delete_item(["notes", "tea"], "one")


async def test_a_namespace_may_come_in_pieces(client, http) -> None:
    ann = await client()
    await ann.store.put_item(["a", "b"], "k", {})
    async with http() as web:
        answer = await web.get("/store/items", params={"key": "k", "namespace": ["a", "b"]})
    assert answer.json()["namespace"] == ["a", "b"]


async def test_search_goes_below_a_namespace(client) -> None:
    ann = await client()
    for namespace in (["a"], ["a", "b"], ["a", "b", "c"], ["ab"], ["b"]):
        await ann.store.put_item(namespace, "k", {"n": ".".join(namespace)})

    async def found(*prefix: str, **query: Any) -> list[str]:
        items = (await ann.store.search_items(list(prefix), **query))["items"]
        return [item["value"]["n"] for item in items]

    assert await found("a") == ["a.b.c", "a.b", "a"], "changed last first"
    assert await found("a", "b") == ["a.b.c", "a.b"]
    assert len(await found()) == 5
    assert await found("a", limit=1, offset=1) == ["a.b"]
    assert await found("x") == []


FILTERS: list[tuple[dict[str, Any], list[str]]] = [
    ({"n": 2}, ["two"]),
    ({"n": {"$eq": 2}}, ["two"]),
    ({"n": {"$ne": 2}}, ["none", "text", "three"]),
    ({"n": {"$gt": 2}}, ["three"]),
    ({"n": {"$gte": 2, "$lt": 3}}, ["two"]),
    ({"n": {"$lte": 3}}, ["three", "two"]),
    ({"n": {"$gt": "a"}}, ["text"]),
    ({"deep": {"list": [1, 2]}}, ["three"]),
    ({"deep": {"list": [1]}}, []),
    ({"n": 2, "deep": {}}, []),
]


@pytest.mark.parametrize(("wanted", "keys"), FILTERS)
async def test_filters(client, wanted: dict[str, Any], keys: list[str]) -> None:
    ann = await client()
    values: dict[str, Any] = {
        "two": {"n": 2},
        "three": {"n": 3, "deep": {"list": [1, 2]}},
        "text": {"n": "x"},
        "none": {},
    }
    for key, value in values.items():
        await ann.store.put_item(["f"], key, value)
    items = (await ann.store.search_items(["f"], filter=wanted))["items"]
    assert sorted(item["key"] for item in items) == keys


async def test_a_filter_reaches_every_page(client) -> None:
    ann = await client()
    for n in range(7):
        await ann.store.put_item(["f"], str(n), {"even": n % 2 == 0})
    pages = [
        (await ann.store.search_items(["f"], filter={"even": True}, limit=2, offset=offset))["items"]
        for offset in (0, 2, 4)
    ]
    assert [[item["key"] for item in page] for page in pages] == [["6", "4"], ["2", "0"], []]


async def test_namespaces(client) -> None:
    ann = await client()
    for namespace in (["u", "1", "notes"], ["u", "2", "notes"], ["u", "2", "files"], ["v"]):
        await ann.store.put_item(namespace, "k", {})

    async def found(**query: Any) -> list[str]:
        return [".".join(one) for one in (await ann.store.list_namespaces(**query))["namespaces"]]

    assert await found() == ["u.1.notes", "u.2.files", "u.2.notes", "v"]
    assert await found(prefix=["u", "2"]) == ["u.2.files", "u.2.notes"]
    assert await found(prefix=["u", "*", "notes"]) == ["u.1.notes", "u.2.notes"]
    assert await found(suffix=["notes"]) == ["u.1.notes", "u.2.notes"]
    assert await found(suffix=["2", "*"]) == ["u.2.files", "u.2.notes"]
    assert await found(prefix=["u"], suffix=["u"]) == []
    assert await found(max_depth=2) == ["u.1", "u.2", "v"]
    assert await found(limit=2, offset=1) == ["u.2.files", "u.2.notes"]


async def _let_expire(urls: Urls) -> None:
    with psycopg.connect(urls.owner) as connection:
        connection.execute("SET ROLE fiel_owner")
        connection.execute("SELECT fiel.act_as('default', 'ann', '{}')")
        sql = "UPDATE fiel.items SET expires_at = now() - interval '1 second' WHERE expires_at < now() + interval '2 m'"
        connection.execute(sql)


async def _expires_in(urls: Urls, key: str) -> float:
    with psycopg.connect(urls.owner) as connection:
        connection.execute("SET ROLE fiel_owner")
        connection.execute("SELECT fiel.act_as('default', 'ann', '{}')")
        sql = "SELECT extract(epoch FROM expires_at - now())::float / 60 FROM fiel.items WHERE key = %s"
        row = connection.execute(sql, (key,)).fetchone()
    assert row is not None
    return float(row[0])


async def test_an_item_is_gone_when_its_time_is_over(client, server, database_urls: Urls) -> None:
    ann, service = await client(), server.service
    await ann.store.put_item(["t"], "short", {}, ttl=1)
    await ann.store.put_item(["t"], "long", {}, ttl=60)
    await ann.store.put_item(["t"], "ever", {})
    await _let_expire(database_urls)
    assert await ann.store.get_item(["t"], "short") is None
    assert {item["key"] for item in (await ann.store.search_items(["t"]))["items"]} == {"long", "ever"}
    expiry = Expiry(Deadlines(service.database), threads_of(service), items_of(service))
    assert await expiry.sweep() == 1
    assert await expiry.sweep() == 0
    with psycopg.connect(database_urls.owner) as connection:
        connection.execute("SET ROLE fiel_owner")
        connection.execute("SELECT fiel.act_as('default', 'ann', '{}')")
        left = connection.execute("SELECT key FROM fiel.items ORDER BY key").fetchall()
    assert left == [("ever",), ("long",)]


async def test_an_expired_name_begins_anew(client, database_urls: Urls) -> None:
    ann = await client()
    await ann.store.put_item(["t"], "k", {"n": 1}, ttl=1)
    first = await ann.store.get_item(["t"], "k")
    await _let_expire(database_urls)
    await ann.store.put_item(["t"], "k", {"n": 2})
    second = await ann.store.get_item(["t"], "k")
    assert second["value"] == {"n": 2}
    assert second["created_at"] > first["created_at"]


async def test_reading_lengthens_a_life_unless_told_otherwise(client, database_urls: Urls) -> None:
    ann = await client()

    async def age() -> None:
        with psycopg.connect(database_urls.owner) as connection:
            connection.execute("SET ROLE fiel_owner")
            connection.execute("SELECT fiel.act_as('default', 'ann', '{}')")
            connection.execute("UPDATE fiel.items SET expires_at = now() + interval '5 m'")

    await ann.store.put_item(["t"], "k", {"n": 1}, ttl=60)
    await age()
    await ann.store.get_item(["t"], "k", refresh_ttl=False)
    await ann.store.search_items(["t"], refresh_ttl=False)
    assert await _expires_in(database_urls, "k") < 6
    await ann.store.get_item(["t"], "k")
    assert await _expires_in(database_urls, "k") > 50
    for query in ({}, {"filter": {"n": 1}}):
        await age()
        await ann.store.search_items(["t"], **query)
        assert await _expires_in(database_urls, "k") > 50


async def test_values_are_sealed_at_rest_and_bound_to_their_name(client, database_urls: Urls) -> None:
    ann = await client()
    await ann.store.put_item(["s"], "one", {"secret": "zebra-7731"})
    await ann.store.put_item(["s"], "two", {"secret": "other"})
    with psycopg.connect(database_urls.owner) as connection:
        connection.execute("SET ROLE fiel_owner")
        connection.execute("SELECT fiel.act_as('default', 'ann', '{}')")
        rows = connection.execute("SELECT value FROM fiel.items").fetchall()
        swap = "UPDATE fiel.items SET value = (SELECT value FROM fiel.items WHERE key = 'one') WHERE key = 'two'"
        connection.execute(swap)
    assert all(b"zebra" not in bytes(row[0]) for row in rows)
    with pytest.raises(APIStatusError) as refused:
        await ann.store.get_item(["s"], "two")
    assert refused.value.status_code == 500
    assert "zebra" not in str(refused.value.body)


async def test_writes_at_once_leave_one_of_them(client) -> None:
    ann = await client()
    await asyncio.gather(*(ann.store.put_item(["c"], "k", {"n": n}, ttl=5) for n in range(12)))
    assert (await ann.store.get_item(["c"], "k"))["value"]["n"] in range(12)


BAD: list[tuple[str, str, dict[str, Any], str]] = [
    ("PUT", "items", {"namespace": [], "key": "k", "value": {}}, "namespace"),
    ("PUT", "items", {"namespace": ["a.b"], "key": "k", "value": {}}, "period"),
    ("PUT", "items", {"namespace": [""], "key": "k", "value": {}}, "namespace"),
    ("PUT", "items", {"namespace": ["langgraph"], "key": "k", "value": {}}, "langgraph"),
    ("PUT", "items", {"namespace": ["a"], "key": "", "value": {}}, "key"),
    ("PUT", "items", {"namespace": ["a"], "key": "k" * 999, "value": {}, "ttl": 0}, "ttl"),
    ("PUT", "items", {"namespace": ["é" * 500, "b"], "key": "k" * 900, "value": {}}, "bytes"),
    ("PUT", "items", {"namespace": ["a"], "key": "k", "value": 7}, "value"),
    ("PUT", "items", {"namespace": ["a"], "key": "k", "value": {}, "colour": 1}, "colour"),
    ("PUT", "items", {"namespace": ["a"], "key": "k", "value": {}, "ttl": -1}, "ttl"),
    ("DELETE", "items", {"namespace": ["a"]}, "key"),
    ("POST", "items/search", {"limit": 0}, "limit"),
    ("POST", "items/search", {"colour": 0}, "colour"),
    ("POST", "items/search", {"filter": {"n": {"$near": 1}}}, "$near"),
    ("POST", "items/search", {"filter": {"a": {"b": {"$in": [1]}}}}, "$in"),
    ("POST", "namespaces", {"max_depth": 0}, "max_depth"),
    ("POST", "namespaces", {"prefix": [7]}, "prefix"),
]


@pytest.mark.parametrize(("method", "path", "body", "named"), BAD)
async def test_what_cannot_be_is_refused_by_its_name(
    http, method: str, path: str, body: dict[str, Any], named: str
) -> None:
    async with http() as web:
        answer = await web.request(method, f"/store/{path}", json=body)
    assert answer.status_code in (400, 422), answer.text
    assert named in answer.text


async def test_a_name_that_postgresql_cannot_hold_is_refused(http) -> None:
    async with http() as web:
        for query in (
            "namespace=a&key=%00",
            "namespace=%00&key=k",
            "namespace=a&key=%ff%fe",
            "namespace=a&key=%ed%a0%80",
        ):
            answer = await web.get(f"/store/items?{query}")
            assert answer.status_code in (200, 400), answer.text


async def test_graphs_see_the_items_that_clients_see(client, server) -> None:
    ann, bob = await client("ann"), await client("bob")
    store = OwnedStore(items_of(server.service), Principal("default", "ann"))
    await store.aput(("u", "notes"), "one", {"n": 1}, ttl=5)
    assert (await ann.store.get_item(["u", "notes"], "one"))["value"] == {"n": 1}
    assert await bob.store.get_item(["u", "notes"], "one") is None
    await ann.store.put_item(["u", "files"], "two", {"n": 2})
    await bob.store.put_item(["u", "notes"], "three", {"n": 3})
    found = await store.asearch(("u",), filter={"n": {"$gt": 0}})
    assert [(item.namespace, item.key, item.value) for item in found] == [
        (("u", "files"), "two", {"n": 2}),
        (("u", "notes"), "one", {"n": 1}),
    ]
    assert await store.alist_namespaces(prefix=("u",), suffix=("notes",)) == [("u", "notes")]
    await store.adelete(("u", "notes"), "one")
    assert await store.aget(("u", "notes"), "one") is None
    assert await ann.store.get_item(["u", "notes"], "one") is None


async def test_a_key_must_be_given(http) -> None:
    async with http() as web:
        assert (await web.get("/store/items", params={"namespace": "a"})).status_code == 422
        assert (await web.get("/store/items", params={"key": "k"})).status_code == 400
