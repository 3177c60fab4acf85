"""Threads as clients of the protocol use them."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from langgraph_sdk.errors import APIStatusError, BadRequestError, ConflictError, NotFoundError

from fiel.infra.api.routes.resources import items_of, threads_of
from fiel.infra.runs.deadlines import Deadlines
from fiel.infra.runs.expiry import Expiry
from fiel.tools.principal import Principal
from tests.api.graphs import PlainHost, plain_host
from tests.conftest import Urls

ANN = Principal("default", "ann")


@pytest.fixture
async def host(database_urls: Urls) -> AsyncIterator[PlainHost]:
    async with plain_host(database_urls) as opened:
        yield opened


async def _with_past(client: Any, *steps: str, graph: str = "chain", **more: Any) -> str:
    """A thread on which nodes seem to have worked."""
    supersteps = [{"updates": [{"values": {"steps": [step]}, "as_node": step}]} for step in steps]
    thread = await client.threads.create(graph_id=graph, supersteps=supersteps, **more)
    return str(thread["thread_id"])


async def _busy(server, principal: Principal, thread_id: str, status: str = "running") -> None:
    """As if a run went on."""
    async with server.service.database.acting(principal) as connection:
        await connection.execute(
            "INSERT INTO fiel.thread_runs (run_id, tenant, owner, thread_id, assistant_id, graph_id, status, kwargs)"
            " VALUES (%s, %s, %s, %s, %s, 'chain', %s, '')",
            (uuid4(), principal.tenant, principal.id, thread_id, uuid4(), status),
        )


async def test_created_read_changed_deleted(client) -> None:
    ann = await client()
    made = await ann.threads.create(metadata={"topic": "tea"})
    assert (made["status"], made["metadata"], made["values"], made["interrupts"]) == (
        "idle",
        {"topic": "tea"},
        None,
        {},
    )
    assert UUID(made["thread_id"]).version == 7
    assert await ann.threads.get(made["thread_id"]) == made
    changed = await ann.threads.update(made["thread_id"], metadata={"cups": 2})
    assert changed["metadata"] == {"topic": "tea", "cups": 2}
    assert changed["updated_at"] > made["updated_at"]
    assert await ann.threads.update(made["thread_id"], metadata={"cups": 3}, return_minimal=True) is None
    assert (await ann.threads.get(made["thread_id"]))["metadata"]["cups"] == 3
    await ann.threads.delete(made["thread_id"])
    for call in (ann.threads.get, ann.threads.delete, ann.threads.copy, ann.threads.get_state, ann.threads.get_history):
        with pytest.raises(NotFoundError):
            await call(made["thread_id"])


async def test_metadata_come_back_as_they_went(client) -> None:
    ann = await client()
    metadata = {"far": -2.0409524802215791e142, "small": 1e-300, "n": 2**63 - 1, "é\u2028": ["", None, True, {"": 0.1}]}
    made = await ann.threads.create(metadata=metadata)
    assert made["metadata"] == metadata
    (found,) = await ann.threads.search(metadata={"far": metadata["far"]}, values={})
    assert found["metadata"] == metadata
    past = await _with_past(ann, "a", metadata=metadata)
    (found,) = await ann.threads.search(values={"steps": ["a"]})
    assert (found["thread_id"], found["metadata"]) == (past, {**metadata, "graph_id": "chain"})


async def test_the_same_id_twice(client) -> None:
    ann, wanted = await client(), str(uuid4())
    made = await ann.threads.create(thread_id=wanted, metadata={"n": 1})
    with pytest.raises(ConflictError):
        await ann.threads.create(thread_id=wanted)
    assert await ann.threads.create(thread_id=wanted, if_exists="do_nothing", metadata={"n": 2}) == made


async def test_two_users_may_use_the_same_id(client) -> None:
    ann, bob, wanted = await client("ann"), await client("bob"), str(uuid4())
    await ann.threads.create(thread_id=wanted, metadata={"of": "ann"})
    await bob.threads.create(thread_id=wanted, metadata={"of": "bob"})
    assert (await ann.threads.get(wanted))["metadata"] == {"of": "ann"}
    await bob.threads.delete(wanted)
    assert (await ann.threads.get(wanted))["metadata"] == {"of": "ann"}


async def test_a_thread_with_a_past(client) -> None:
    ann = await client()
    thread_id = await _with_past(ann, "a", "b")
    thread = await ann.threads.get(thread_id)
    assert (thread["values"], thread["status"]) == ({"steps": ["a", "b"]}, "interrupted")
    assert (await ann.threads.get_state(thread_id))["next"] == ["c"]
    with pytest.raises(ConflictError):
        await _with_past(ann, "a", thread_id=thread_id)


async def test_a_past_that_cannot_be_leaves_no_thread(client) -> None:
    ann, wanted = await client(), str(uuid4())
    with pytest.raises(APIStatusError):
        await _with_past(ann, "a", "nowhere", thread_id=wanted)
    with pytest.raises(NotFoundError):
        await ann.threads.get(wanted)
    await ann.threads.create(thread_id=wanted, graph_id="chain")
    assert (await ann.threads.get_state(wanted))["values"] == {}
    with pytest.raises(BadRequestError, match="belongs to no graph"):
        await ann.threads.create(supersteps=[{"updates": [{"values": {}, "as_node": "a"}]}])


async def test_copy_has_the_state_and_a_life_of_its_own(client) -> None:
    ann = await client()
    thread_id = await _with_past(ann, "a", "b", metadata={"topic": "tea"})
    copy = await ann.threads.copy(thread_id)
    assert copy["thread_id"] != thread_id
    assert copy["values"] == {"steps": ["a", "b"]}
    assert copy["metadata"] == {"topic": "tea", "graph_id": "chain"}
    states = await ann.threads.get_history(copy["thread_id"])
    assert [state["values"]["steps"] for state in states] == [["a", "b"], ["a"]]
    assert thread_id not in str(states)
    await ann.threads.update_state(copy["thread_id"], {"steps": ["c"]}, as_node="c")
    assert (await ann.threads.get(thread_id))["values"] == {"steps": ["a", "b"]}
    await ann.threads.delete(thread_id)
    assert (await ann.threads.get_state(copy["thread_id"]))["values"] == {"steps": ["a", "b", "c"]}


async def test_search_filters_sorts_and_pages(client) -> None:
    ann = await client()
    ids = [(await ann.threads.create(metadata={"n": n, "set": "x"}))["thread_id"] for n in range(3)]
    past = await _with_past(ann, "a", metadata={"set": "y"})

    async def found(**query: Any) -> list[str]:
        return [one["thread_id"] for one in await ann.threads.search(**query)]

    assert await found(metadata={"set": "x"}, sort_by="created_at", sort_order="asc") == ids
    assert await found(metadata={"set": "x"}, limit=1, offset=1, sort_by="thread_id", sort_order="desc") == [ids[1]]
    assert await found(values={"steps": ["a"]}) == [past]
    assert await found(values={"steps": ["z"]}) == []
    assert await found(values={"steps": ["a"]}, offset=1) == []
    assert await found(status="interrupted") == [past]
    assert sorted(await found(ids=[ids[0], past])) == sorted([ids[0], past])
    assert await ann.threads.count(metadata={"set": "x"}) == 3
    assert await ann.threads.count(values={"steps": ["a"]}) == 1
    assert await ann.threads.count(status="busy") == 0
    assert await found(metadata={"n": 1}) == [ids[1]]
    some = await ann.threads.search(select=["thread_id", "values"], metadata={"set": "y"})
    assert some == [{"thread_id": past, "values": {"steps": ["a"]}}]


async def test_values_of_many_threads_are_searched_in_pages(client) -> None:
    ann = await client()
    wanted = [await _with_past(ann, "a", metadata={"n": n}) for n in range(5)]
    await _with_past(ann, "b")
    query: dict[str, Any] = {"values": {"steps": ["a"]}, "sort_by": "created_at", "sort_order": "asc", "limit": 2}
    pages = [await ann.threads.search(**query, offset=offset) for offset in (0, 2, 4)]
    assert [one["thread_id"] for page in pages for one in page] == wanted


async def test_extract_takes_values_out(client) -> None:
    ann = await client()
    thread_id = await _with_past(ann, "a", "b", metadata={"deep": {"list": [1, 2]}})
    paths = {
        "last": "values.steps[-1]",
        "two": "metadata.deep.list[1]",
        "none": "values.nothing.here",
        "far": "values.steps[9]",
    }
    found = await ann.threads.search(select=["thread_id"], extract=paths)
    assert found == [{"thread_id": thread_id, "extracted": {"last": "b", "two": 2, "none": None, "far": None}}]
    for bad in ({"x": "steps"}, {"x": "values..a"}, {"x": "values[a]"}, {"values": "values.a"}, {"1": "values.a"}):
        with pytest.raises(BadRequestError):
            await ann.threads.search(extract=bad)


async def test_ttl_is_shown_and_kept(client) -> None:
    ann = await client()
    made = await ann.threads.create(ttl=10)
    assert made["ttl"]["strategy"] == "delete"
    assert made["ttl"]["ttl_minutes"] == 10
    assert "ttl" not in await ann.threads.get(made["thread_id"])
    shown = await ann.threads.get(made["thread_id"], include=["ttl"])
    assert shown["ttl"] == made["ttl"]
    changed = await ann.threads.update(made["thread_id"], metadata={}, ttl={"ttl": 20, "strategy": "keep_latest"})
    assert (changed["ttl"]["ttl_minutes"], changed["ttl"]["strategy"]) == (20, "keep_latest")
    assert changed["ttl"]["expires_at"] > made["ttl"]["expires_at"]
    with pytest.raises(BadRequestError, match="weather"):
        await ann.threads.get(made["thread_id"], include=["weather"])


async def _age(urls: Urls, thread_id: str) -> None:
    """As if the thread's time were over."""
    with psycopg.connect(urls.owner) as connection:
        connection.execute("SET ROLE fiel_owner")
        connection.execute("SELECT fiel.act_as('default', 'ann', '{}')")
        sql = "UPDATE fiel.threads SET expires_at = now() - interval '1 second' WHERE thread_id = %s"
        assert connection.execute(sql, (thread_id,)).rowcount == 1


async def test_expired_threads_are_swept_as_their_ttl_says(client, server, database_urls: Urls) -> None:
    ann, service = await client(), server.service
    expiry = Expiry(Deadlines(service.database), threads_of(service), items_of(service))
    gone = await _with_past(ann, "a", "b", ttl=10)
    kept = await _with_past(ann, "a", "b", ttl={"ttl": 10, "strategy": "keep_latest"})
    young = await _with_past(ann, "a", ttl=10)
    assert await expiry.sweep() == 0
    await _age(database_urls, gone)
    await _age(database_urls, kept)
    await _busy(server, ANN, gone, "pending")
    assert await expiry.sweep() == 1
    assert len(await ann.threads.get_history(kept)) == 1
    assert (await ann.threads.get(kept))["values"] == {"steps": ["a", "b"]}
    assert (await ann.threads.get(gone))["status"] == "interrupted"
    assert await expiry.sweep() == 0, "what could not be done waits for its lease"
    async with service.database.acting(ANN) as connection:
        await connection.execute("DELETE FROM fiel.thread_runs")
    async with service.database.system() as connection:
        await connection.execute("UPDATE fiel.deadlines SET at = now() WHERE id = %s", (gone,))
    assert await expiry.sweep() == 1
    with pytest.raises(NotFoundError):
        await ann.threads.get(gone)
    assert (await ann.threads.get(young))["status"] == "interrupted"
    async with service.database.system() as connection:
        rows = await (await connection.execute("SELECT id::text FROM fiel.deadlines")).fetchall()
    assert rows == [(young,)]


async def test_prune_deletes_or_keeps_the_latest(client) -> None:
    ann = await client()
    one, two, three = [await _with_past(ann, "a", "b") for _ in range(3)]
    assert await ann.threads.prune([one, str(uuid4())]) == {"pruned_count": 1}
    assert await ann.threads.prune([two], strategy="keep_latest") == {"pruned_count": 1}
    assert [len(await ann.threads.get_history(thread)) for thread in (two, three)] == [1, 2]
    with pytest.raises(NotFoundError):
        await ann.threads.get(one)


async def test_a_thread_with_a_run_is_not_deleted_under_it(client, server) -> None:
    ann, engine = await client(), server.service.engine
    thread_id = await _with_past(ann, "a")
    await _busy(server, ANN, thread_id)
    engine.bounds = replace(engine.bounds, stop=0.2)
    with pytest.raises(ConflictError):
        await ann.threads.delete(thread_id)
    with pytest.raises(ConflictError):
        await ann.threads.prune([thread_id], strategy="keep_latest")
    assert len(await ann.threads.get_history(thread_id)) == 1


async def test_nothing_of_a_thread_resurfaces_under_the_same_id(client) -> None:
    ann, wanted = await client(), str(uuid4())
    await _with_past(ann, "a", thread_id=wanted)
    await ann.threads.delete(wanted)
    await ann.threads.create(thread_id=wanted, graph_id="chain")
    assert (await ann.threads.get_state(wanted))["values"] == {}
    assert await ann.threads.get_history(wanted) == []


async def test_values_and_interrupts_are_sealed_at_rest(client, database_urls: Urls) -> None:
    ann = await client()
    thread = await ann.threads.create(
        graph_id="chain", supersteps=[{"updates": [{"values": {"steps": ["zebra-7731"]}, "as_node": "a"}]}]
    )
    with psycopg.connect(database_urls.owner) as connection:
        connection.execute("SET ROLE fiel_owner")
        connection.execute("SELECT fiel.act_as('default', 'ann', '{}')")
        row = connection.execute("SELECT values, t::text FROM fiel.threads t").fetchone()
        everything = connection.execute("SELECT checkpoint::text, metadata::text FROM fiel.checkpoints").fetchall()
    assert row is not None
    assert b"zebra" not in bytes(row[0])
    assert "zebra" not in row[1]
    assert "zebra" not in str(everything)
    assert (await ann.threads.get(thread["thread_id"]))["values"] == {"steps": ["zebra-7731"]}


BAD = [
    ("/threads", {"thread_id": "x"}, "thread_id"),
    ("/threads", {"colour": 1}, "colour"),
    ("/threads", {"ttl": {"ttl": 0}}, "ttl"),
    ("/threads", {"ttl": {"ttl": 1e300}}, "ttl"),
    ("/threads", {"ttl": {"ttl": 5, "strategy": "burn"}}, "strategy"),
    ("/threads", {"ttl": {"ttl": 5, "colour": 1}}, "colour"),
    ("/threads/search", {"limit": 0}, "limit"),
    ("/threads/search", {"limit": 1001}, "limit"),
    ("/threads/search", {"offset": -1}, "offset"),
    ("/threads/search", {"offset": 10**30}, "offset"),
    ("/threads/search", {"sort_by": "colour"}, "sort_by"),
    ("/threads/search", {"sort_order": "up"}, "sort_order"),
    ("/threads/search", {"select": ["colour"]}, "select"),
    ("/threads/search", {"ids": ["x"]}, "ids"),
    ("/threads/search", {"colour": 1}, "colour"),
    ("/threads/count", {"status": "odd"}, "status"),
    ("/threads/prune", {}, "thread_ids"),
    ("/threads/prune", {"thread_ids": [], "strategy": "burn"}, "strategy"),
]


@pytest.mark.parametrize(("path", "body", "named"), BAD)
async def test_what_cannot_be_is_refused_by_its_name(http, path: str, body: dict[str, Any], named: str) -> None:
    async with http() as web:
        answer = await web.post(path, json=body)
    assert answer.status_code == 422
    assert named in answer.json()["detail"]


async def test_an_id_that_is_none_is_no_crash(http) -> None:
    async with http() as web:
        for path in ("/threads/x", "/threads/%00", "/threads/" + "9" * 5000):
            assert (await web.get(path)).status_code == 422
