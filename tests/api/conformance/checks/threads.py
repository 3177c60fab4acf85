"""Checks of threads, as things of their own."""

from typing import Any

from langgraph_sdk.client import LangGraphClient

from tests.api.conformance.check import check
from tests.api.conformance.talk import chained, fresh, refused, thread, until, working


@check("threads: create and get", "threads.create(thread_id, metadata); schema.Thread")
async def _create(client: LangGraphClient) -> None:
    mine = fresh()
    made = await client.threads.create(thread_id=mine, metadata={"n": 1})
    assert (made["thread_id"], made["metadata"]["n"], made["status"]) == (mine, 1, "idle")
    found = await client.threads.get(mine)
    assert {"created_at", "updated_at", "values", "interrupts"} <= found.keys()
    assert not found["values"]


@check("threads: create one that exists", "threads.create(if_exists): 'raise' by default, or 'do_nothing'")
async def _exists(client: LangGraphClient) -> None:
    mine = await thread(client, metadata={"n": 1})
    await refused(client.threads.create(thread_id=mine), 409)
    again = await client.threads.create(thread_id=mine, if_exists="do_nothing", metadata={"n": 2})
    assert (again["thread_id"], again["metadata"]["n"]) == (mine, 1)


@check("threads: create for a graph", "threads.create(graph_id): associates the thread with the graph")
async def _graph(client: LangGraphClient) -> None:
    made = await client.threads.create(graph_id="chain")
    assert (made["metadata"] or {})["graph_id"] == "chain"
    await client.threads.update_state(made["thread_id"], {"topic": "x"}, as_node="a")
    state: Any = await client.threads.get_state(made["thread_id"])
    assert (state["values"]["topic"], state["next"]) == ("x", ["b"])


@check("threads: create with a time to live", "threads.create(ttl): minutes; threads.get(include=['ttl'])")
async def _ttl(client: LangGraphClient) -> None:
    made = await client.threads.create(ttl=30)
    found: Any = await client.threads.get(made["thread_id"], include=["ttl"])
    assert (found["ttl"]["strategy"], float(found["ttl"]["ttl_minutes"])) == ("delete", 30.0)


@check("threads: create with a past", "threads.create(supersteps): applied in their order, as their nodes")
async def _supersteps(client: LangGraphClient) -> None:
    steps: Any = [
        {"updates": [{"values": {"topic": "x", "steps": ["zero"]}, "as_node": "__start__"}]},
        {"updates": [{"values": {"steps": ["a"]}, "as_node": "a"}]},
    ]
    made = await client.threads.create(graph_id="chain", supersteps=steps)
    state: Any = await client.threads.get_state(made["thread_id"])
    assert (state["values"]["steps"], state["next"]) == (["zero", "a"], ["b"])


@check("threads: update merges metadata", "threads.update(metadata): merged with what is there")
async def _update(client: LangGraphClient) -> None:
    mine = await thread(client, metadata={"a": 1})
    new: Any = await client.threads.update(mine, metadata={"b": 2})
    assert (new["metadata"]["a"], new["metadata"]["b"]) == (1, 2)
    assert (await client.threads.get(mine))["metadata"]["b"] == 2  # type: ignore[index]


@check("threads: update without an answer", "threads.update(return_minimal=True): 204, None")
async def _minimal(client: LangGraphClient) -> None:
    mine = await thread(client)
    assert await client.threads.update(mine, metadata={"b": 2}, return_minimal=True) is None
    assert (await client.threads.get(mine))["metadata"]["b"] == 2  # type: ignore[index]


@check("threads: update the time to live", "threads.update(ttl): minutes, or a mapping with ttl and strategy")
async def _update_ttl(client: LangGraphClient) -> None:
    mine = await thread(client)
    await client.threads.update(mine, metadata={}, ttl={"ttl": 5, "strategy": "delete"})
    found: Any = await client.threads.get(mine, include=["ttl"])
    assert float(found["ttl"]["ttl_minutes"]) == 5.0


@check("threads: a thread lives as long as its time", "threads.create(ttl): gone afterwards")
async def _expires(client: LangGraphClient) -> None:
    mine = await thread(client, ttl={"ttl": 0.02, "strategy": "delete"})

    async def gone() -> bool:
        return not await client.threads.search(ids=[mine])

    await until(gone, "a thread with 1.2 s to live is gone", 75)


@check("threads: delete", "threads.delete: it is gone, with its runs")
async def _delete(client: LangGraphClient) -> None:
    mine = await chained(client)
    await client.threads.delete(mine)
    await refused(client.threads.get(mine), 404)
    await refused(client.threads.delete(mine), 404)


@check("threads: search by metadata, with pages", "threads.search: metadata, limit, offset, sort_by, sort_order")
async def _search(client: LangGraphClient) -> None:
    tag = fresh()
    made = [await thread(client, metadata={"tag": tag, "n": number}) for number in range(4)]
    found = await client.threads.search(metadata={"tag": tag}, sort_by="created_at", sort_order="asc")
    assert [one["thread_id"] for one in found] == made
    found = await client.threads.search(
        metadata={"tag": tag}, sort_by="created_at", sort_order="desc", limit=2, offset=1
    )
    assert [one["thread_id"] for one in found] == [made[2], made[1]]
    found = await client.threads.search(metadata={"tag": tag, "n": 2})
    assert [one["thread_id"] for one in found] == [made[2]]


@check("threads: search by ids", "threads.search(ids)")
async def _ids(client: LangGraphClient) -> None:
    made = [await thread(client) for _ in range(3)]
    found = await client.threads.search(ids=made[:2])
    assert {one["thread_id"] for one in found} == set(made[:2])


@check("threads: search by values", "threads.search(values): state values to filter on")
async def _values(client: LangGraphClient) -> None:
    topic = fresh()
    mine = await thread(client)
    await client.runs.wait(mine, "chain", input={"topic": topic})
    found = await client.threads.search(values={"topic": topic})
    assert [one["thread_id"] for one in found] == [mine]
    assert found[0]["values"]["steps"] == ["a", "b", "c"]  # type: ignore[index]


@check("threads: search by status", "threads.search(status); schema.ThreadStatus")
async def _status(client: LangGraphClient) -> None:
    tag = fresh()
    calm, asking, failed = [await thread(client, metadata={"tag": tag}) for _ in range(3)]
    await client.runs.wait(asking, "asks", input={})
    await client.runs.wait(failed, "pace", input={"fails": True}, raise_error=False)
    for status, wanted in (("idle", calm), ("interrupted", asking), ("error", failed)):
        found = await client.threads.search(metadata={"tag": tag}, status=status)  # type: ignore[arg-type]
        assert [one["thread_id"] for one in found] == [wanted], status


@check("threads: busy while a run goes on", "schema.ThreadStatus: busy while a task is processed")
async def _busy(client: LangGraphClient) -> None:
    mine = await thread(client)
    run = await working(client, mine)
    assert (await client.threads.get(mine))["status"] == "busy"
    await client.runs.cancel(mine, run, wait=True)
    assert (await client.threads.get(mine))["status"] != "busy"


@check("threads: select", "threads.search(select): fields to include in the response")
async def _select(client: LangGraphClient) -> None:
    mine = await thread(client)
    (found,) = await client.threads.search(ids=[mine], select=["thread_id", "status"])
    assert found == {"thread_id": mine, "status": "idle"}


@check("threads: extract", "threads.search(extract): aliases of paths, in the field extracted")
async def _extract(client: LangGraphClient) -> None:
    mine = await chained(client)
    (found,) = await client.threads.search(ids=[mine], extract={"last": "values.steps[-1]", "t": "values.topic"})
    assert found["extracted"] == {"last": "c", "t": "x"}


@check("threads: count", "threads.count: metadata, values, status")
async def _count(client: LangGraphClient) -> None:
    tag = fresh()
    first, _ = [await thread(client, metadata={"tag": tag}) for _ in range(2)]
    await client.runs.wait(first, "chain", input={"topic": tag})
    assert await client.threads.count(metadata={"tag": tag}) == 2
    assert await client.threads.count(values={"topic": tag}) == 1
    assert await client.threads.count(metadata={"tag": tag}, status="interrupted") == 0


@check("threads: copy", "threads.copy: another thread with the same state, and a life of its own")
async def _copy(client: LangGraphClient) -> None:
    mine = await chained(client)
    copied: Any = await client.threads.copy(mine)
    assert copied["thread_id"] != mine
    one, two = [await client.threads.get_state(name) for name in (mine, copied["thread_id"])]
    assert one["values"] == two["values"]
    assert len(await client.threads.get_history(mine)) == len(await client.threads.get_history(copied["thread_id"]))
    await client.runs.wait(copied["thread_id"], "chain", input={"topic": "y"})
    state: Any = await client.threads.get_state(mine)
    assert state["values"]["topic"] == "x"


@check("threads: prune away", "threads.prune('delete'): pruned_count")
async def _prune(client: LangGraphClient) -> None:
    mine = [await thread(client) for _ in range(2)]
    assert (await client.threads.prune(mine))["pruned_count"] == 2
    await refused(client.threads.get(mine[0]), 404)


@check("threads: prune to the latest state", "threads.prune('keep_latest'): old checkpoints go, the latest state stays")
async def _keep_latest(client: LangGraphClient) -> None:
    mine = await chained(client)
    assert len(await client.threads.get_history(mine)) > 1
    await client.threads.prune([mine], strategy="keep_latest")
    state: Any = await client.threads.get_state(mine)
    assert state["values"]["steps"] == ["a", "b", "c"]
    assert len(await client.threads.get_history(mine)) == 1


@check("threads: metadata tells graph and assistant", "a run leaves graph_id and assistant_id in its thread's metadata")
async def _metadata(client: LangGraphClient) -> None:
    mine = await chained(client)
    metadata = (await client.threads.get(mine))["metadata"] or {}
    assert metadata["graph_id"] == "chain" and metadata["assistant_id"]


@check("threads: values and interrupts", "schema.Thread: values, and interrupts by the id of their task")
async def _interrupts(client: LangGraphClient) -> None:
    mine = await thread(client)
    await client.runs.wait(mine, "asks", input={"topic": "x"})
    found = await client.threads.get(mine)
    assert found["values"]["topic"] == "x"  # type: ignore[index]
    ((interrupt,),) = found["interrupts"].values()
    assert interrupt["value"] == {"question": "go on?"} and interrupt["id"]
    await client.runs.wait(mine, "asks", command={"resume": "yes"})
    assert (await client.threads.get(mine))["interrupts"] == {}
