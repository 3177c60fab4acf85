"""Assistants as clients of the protocol use them."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import httpx
import pytest
from langgraph_sdk.errors import APIStatusError, ConflictError, NotFoundError, PermissionDeniedError

from fiel.infra.runs.names import system_assistant
from tests.api.graphs import PlainHost, plain_host
from tests.conftest import Urls

CHAIN = str(system_assistant("chain"))


@pytest.fixture
async def host(database_urls: Urls) -> AsyncIterator[PlainHost]:
    async with plain_host(database_urls) as opened:
        yield opened


async def test_created_read_changed_deleted(client) -> None:
    ann = await client()
    made = await ann.assistants.create("chain", {"tags": ["x"]}, metadata={"team": "blue"}, name="Mine")
    assert (made["graph_id"], made["name"], made["version"], made["description"]) == ("chain", "Mine", 1, None)
    assert made["metadata"] == {"team": "blue"}
    assert await ann.assistants.get(made["assistant_id"]) == made
    changed = await ann.assistants.update(made["assistant_id"], metadata={"year": 1}, graph_id="asks", description="d")
    assert (changed["version"], changed["graph_id"], changed["name"]) == (2, "asks", "Mine")
    assert changed["metadata"] == {"team": "blue", "year": 1}
    assert changed["config"] == {"tags": ["x"]}
    await ann.assistants.delete(made["assistant_id"])
    with pytest.raises(NotFoundError):
        await ann.assistants.get(made["assistant_id"])
    with pytest.raises(NotFoundError):
        await ann.assistants.delete(made["assistant_id"])


async def test_versions_are_kept_and_any_can_be_the_latest_again(client) -> None:
    ann = await client()
    made = await ann.assistants.create("chain", name="one")
    await ann.assistants.update(made["assistant_id"], name="two", graph_id="asks")
    back = await ann.assistants.set_latest(made["assistant_id"], 1)
    assert (back["version"], back["name"], back["graph_id"]) == (1, "one", "chain")
    assert (await ann.assistants.update(made["assistant_id"], name="three"))["version"] == 3
    versions = await ann.assistants.get_versions(made["assistant_id"])
    assert [(one["version"], one["name"]) for one in versions] == [(3, "three"), (2, "two"), (1, "one")]
    assert len(await ann.assistants.get_versions(made["assistant_id"], limit=1, offset=1)) == 1
    with pytest.raises(NotFoundError):
        await ann.assistants.set_latest(made["assistant_id"], 9)


async def test_changes_at_once_become_versions_of_their_own(client) -> None:
    ann = await client()
    made = await ann.assistants.create("chain")
    await asyncio.gather(*(ann.assistants.update(made["assistant_id"], name=f"n{i}") for i in range(8)))
    versions = await ann.assistants.get_versions(made["assistant_id"], limit=20)
    assert [one["version"] for one in versions] == list(range(9, 0, -1))


async def test_configurable_and_context_say_the_same(client) -> None:
    ann = await client()
    one = await ann.assistants.create("chain", {"configurable": {"k": 1}})
    assert one["context"] == {"k": 1}
    two = await ann.assistants.create("chain", context={"k": 2})
    assert two["config"] == {"configurable": {"k": 2}}
    with pytest.raises(APIStatusError, match="both configurable and context"):
        await ann.assistants.create("chain", {"configurable": {"k": 1}}, context={"k": 2})


@pytest.mark.parametrize("key", ["thread_id", "fiel_principal", "langgraph_auth_user", "__pregel_store"])
async def test_reserved_keys_of_a_config_are_refused_by_name(client, key: str) -> None:
    ann = await client()
    with pytest.raises(APIStatusError, match=key):
        await ann.assistants.create("chain", {"configurable": {key: "x"}})


async def test_the_same_id_twice(client) -> None:
    ann, wanted = await client(), str(uuid4())
    made = await ann.assistants.create("chain", assistant_id=wanted, name="first")
    with pytest.raises(ConflictError):
        await ann.assistants.create("chain", assistant_id=wanted)
    again = await ann.assistants.create("asks", assistant_id=wanted, if_exists="do_nothing")
    assert again == made


async def test_an_unknown_graph(client) -> None:
    ann = await client()
    with pytest.raises(NotFoundError, match="no graph 'nope'"):
        await ann.assistants.create("nope")
    with pytest.raises(NotFoundError, match="no graph 'nope'"):
        await ann.assistants.search(graph_id="nope")


async def test_every_graph_has_an_assistant_that_nobody_changes(client) -> None:
    ann = await client(roles=("administrator", "developer"))
    found = await ann.assistants.search(metadata={"created_by": "system"})
    assert {one["graph_id"] for one in found} == {"chain", "asks", "nested"}
    own = await ann.assistants.get(CHAIN)
    assert (own["name"], own["metadata"], own["version"]) == ("chain", {"created_by": "system"}, 1)
    assert await ann.assistants.get_versions(CHAIN) == [own]
    for change in (
        ann.assistants.update(CHAIN, name="x"),
        ann.assistants.delete(CHAIN),
        ann.assistants.set_latest(CHAIN, 1),
    ):
        with pytest.raises((PermissionDeniedError, NotFoundError)) as refused:
            await change
        assert refused.value.status_code == 403
    with pytest.raises(ConflictError):
        await ann.assistants.create("chain", assistant_id=CHAIN)
    assert await ann.assistants.create("chain", assistant_id=CHAIN, if_exists="do_nothing") == own


async def test_search_filters_sorts_and_pages(client) -> None:
    ann = await client()
    for name in ("Alpha", "beta", "Gamma"):
        await ann.assistants.create("chain", name=name, metadata={"set": {"n": 1}, "name": name})

    async def names(**query) -> list[str]:
        return [one["name"] for one in await ann.assistants.search(metadata={"set": {"n": 1}}, **query)]

    assert await names() == ["Gamma", "beta", "Alpha"]
    assert await names(sort_by="name", sort_order="asc") in (["Alpha", "beta", "Gamma"], ["Alpha", "Gamma", "beta"])
    assert await names(name="ET") == ["beta"]
    assert await names(name="%") == []
    assert await names(sort_by="created_at", sort_order="asc", limit=2, offset=1) == ["beta", "Gamma"]
    assert await ann.assistants.count(graph_id="chain", name="alp") == 1
    assert await ann.assistants.count() == 6
    page = await ann.assistants.search(limit=4, response_format="object")
    assert (len(page["assistants"]), page["next"]) == (4, "4")
    rest = await ann.assistants.search(limit=4, offset=4, response_format="object")
    assert (len(rest["assistants"]), rest["next"]) == (2, None)
    some = await ann.assistants.search(select=["name", "version"], limit=1)
    assert set(some[0]) == {"name", "version"}


async def test_pages_tell_their_totals(http) -> None:
    async with http() as web:
        answer = await web.post("/assistants/search", json={"limit": 2})
        assert answer.headers["x-pagination-next"] == "2"
        assert answer.headers["x-pagination-total"] == "3"
        answer = await web.post("/assistants/search", json={"limit": 2, "offset": 2})
        assert answer.headers["x-pagination-total"] == "3"
        assert "x-pagination-next" not in answer.headers


async def test_graph_schemas_and_subgraphs(client, http) -> None:
    ann = await client()
    drawn = await ann.assistants.get_graph(CHAIN)
    assert [node["id"] for node in drawn["nodes"]] == ["__start__", "a", "b", "c", "__end__"]
    nested = str(system_assistant("nested"))
    assert len((await ann.assistants.get_graph(nested, xray=True))["nodes"]) > 3
    assert len((await ann.assistants.get_graph(nested, xray=1))["nodes"]) > 3
    assert len((await ann.assistants.get_graph("nested"))["nodes"]) == 3
    schemas = await ann.assistants.get_schemas(CHAIN)
    assert schemas["graph_id"] == "chain"
    assert "steps" in schemas["input_schema"]["properties"]
    assert list(await ann.assistants.get_subgraphs(nested)) == ["inner"]
    assert list(await ann.assistants.get_subgraphs(nested, "inner", recurse=True)) == ["inner"]
    async with http() as web:
        for xray in ("0", "-1", "x", "99999999999999999999"):
            answer = await web.get(f"/assistants/{CHAIN}/graph", params={"xray": xray})
            assert (answer.status_code, answer.json()["where"]) == (400, "xray")


async def test_threads_and_crons_go_with_an_assistant(client) -> None:
    ann = await client()
    made = await ann.assistants.create("chain")
    assistant_id = made["assistant_id"]
    thread = await ann.threads.create(metadata={"assistant_id": assistant_id})
    other = await ann.threads.create()
    await ann.crons.create(assistant_id, schedule="0 0 1 1 *")
    await ann.assistants.delete(assistant_id, delete_threads=True)
    with pytest.raises(NotFoundError):
        await ann.threads.get(thread["thread_id"])
    assert (await ann.threads.get(other["thread_id"]))["status"] == "idle"
    assert await ann.crons.count() == 0


BAD = [
    ({}, "graph_id"),
    ({"graph_id": 7}, "graph_id"),
    ({"graph_id": "chain", "colour": "red"}, "colour"),
    ({"graph_id": "chain", "assistant_id": "x"}, "assistant_id"),
    ({"graph_id": "chain", "if_exists": "maybe"}, "if_exists"),
    ({"graph_id": "chain", "metadata": []}, "metadata"),
    ({"graph_id": "chain", "metadata": {"a": "\0"}}, "U+0000"),
]


@pytest.mark.parametrize(("body", "named"), BAD)
async def test_what_cannot_be_is_refused_by_its_name(http, body: dict, named: str) -> None:
    async with http() as web:
        answer = await web.post("/assistants", json=body)
    assert answer.status_code == 422
    assert named in answer.text


@pytest.mark.parametrize("body", [b"{", b"", b"[]", b'"x"', b"{'a': 1}", b"NaN", b'{"graph_id": "\xff"}', b"[" * 5000])
async def test_a_body_that_is_no_json_object_is_refused(http, body: bytes) -> None:
    async with http() as web:
        answer = await web.post("/assistants", content=body, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422), answer.text


async def test_too_deep_a_body_is_refused(http) -> None:
    async with http() as web:
        answer = await web.post(
            "/assistants", content=b'{"graph_id": "chain", "metadata": ' + b'{"a":' * 600 + b"1" + b"}" * 601
        )
    assert answer.status_code == 422


@pytest.mark.parametrize("kind", ["text/plain", "text/plain;charset=UTF-8", "application/json", None])
async def test_json_is_read_whatever_it_is_called(server, http, kind: str | None) -> None:
    async with http() as web:
        headers = {"content-type": kind} if kind else {}
        answer = await web.post("/assistants", content=b'{"graph_id": "chain"}', headers=headers)
    assert answer.status_code == 200, answer.text
    assert UUID(answer.json()["assistant_id"])


async def test_without_a_token_nobody_comes_in(server) -> None:
    async with httpx.AsyncClient(base_url=server.url, timeout=60) as web:
        assert (await web.post("/assistants/search", json={})).status_code == 401
