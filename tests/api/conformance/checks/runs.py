"""Checks of runs: made, awaited, joined, listed, deleted, on a thread and without one."""

import asyncio
import time
from typing import Any

from langgraph_sdk.client import LangGraphClient

from tests.api.conformance.check import check
from tests.api.conformance.talk import chained, ended, fresh, heard, refused, thread, until, working


@check("runs: wait", "runs.wait: waits until it finishes and returns the final state")
async def _wait(client: LangGraphClient) -> None:
    mine = await thread(client)
    values: Any = await client.runs.wait(mine, "chain", input={"topic": "x"})
    assert values == {"topic": "x", "steps": ["a", "b", "c"], "mood": "calm"}
    values = await client.runs.wait(mine, "chain", input={"topic": "y"})
    assert (values["topic"], len(values["steps"])) == ("y", 6)


@check("runs: create, get, join", "runs.create, get, join: schema.Run; join returns the final state of the thread")
async def _create(client: LangGraphClient) -> None:
    mine = await thread(client)
    run: Any = await client.runs.create(mine, "chain", input={"topic": "x"}, metadata={"n": 1})
    assert run["status"] in ("pending", "running") and run["thread_id"] == mine
    assert (run["metadata"]["n"], run["multitask_strategy"]) == (1, "enqueue")
    assert {"assistant_id", "created_at", "updated_at"} <= run.keys()
    values: Any = await client.runs.join(mine, run["run_id"])
    assert values["steps"] == ["a", "b", "c"]
    assert (await ended(client, mine, run["run_id"], "success"))["run_id"] == run["run_id"]


@check("runs: on_run_created tells of the run", "runs.wait, create, stream(on_run_created): run_id and thread_id")
async def _told(client: LangGraphClient) -> None:
    mine, told = await thread(client), []
    await client.runs.wait(mine, "chain", input={}, on_run_created=told.append)
    await heard(client, mine, "chain", input={}, on_run_created=told.append)
    await client.runs.create(mine, "chain", input={}, on_run_created=told.append)
    ids = {run["run_id"] for run in await client.runs.list(mine)}
    assert {one["run_id"] for one in told} == ids and len(told) == 3
    assert {one.get("thread_id") for one in told} == {mine}


@check("runs: list", "runs.list: limit, offset, status, select; the newest first")
async def _list(client: LangGraphClient) -> None:
    mine = await thread(client)
    for _ in range(2):
        await client.runs.wait(mine, "chain", input={})
    await client.runs.wait(mine, "asks", input={})
    every = await client.runs.list(mine)
    assert [one["created_at"] for one in every] == sorted((one["created_at"] for one in every), reverse=True)
    assert len(every) == 3
    assert [one["run_id"] for one in await client.runs.list(mine, limit=1, offset=1)] == [every[1]["run_id"]]
    assert len(await client.runs.list(mine, status="success")) >= 2
    assert await client.runs.list(mine, status="error") == []
    assert [set(one) for one in await client.runs.list(mine, limit=1, select=["run_id"])] == [{"run_id"}]


@check("runs: delete", "runs.delete: it is gone")
async def _delete(client: LangGraphClient) -> None:
    mine = await thread(client)
    run = await client.runs.create(mine, "chain", input={})
    await client.runs.join(mine, run["run_id"])
    await ended(client, mine, run["run_id"], "success")
    await client.runs.delete(mine, run["run_id"])
    await refused(client.runs.get(mine, run["run_id"]), 404)
    assert await client.runs.list(mine) == []


@check("runs: a failing graph", "runs.wait(raise_error); schema.RunStatus: error")
async def _fails(client: LangGraphClient) -> None:
    mine = await thread(client)
    try:
        await client.runs.wait(mine, "pace", input={"fails": True})
    except Exception as error:
        assert "ValueError" in str(error)
    else:
        raise AssertionError("the error was not raised")
    told: Any = await client.runs.wait(mine, "pace", input={"fails": True}, raise_error=False)
    assert told["__error__"]["error"] == "ValueError"
    assert {one["status"] for one in await client.runs.list(mine)} == {"error"}


@check("runs: no such assistant", "errors.NotFoundError: neither an assistant nor a graph")
async def _nobody(client: LangGraphClient) -> None:
    mine = await thread(client)
    await refused(client.runs.create(mine, fresh(), input={}), 404)
    await refused(client.runs.create(mine, "there-is-none", input={}), 404, 422)


@check("runs: no such thread", "runs.create(if_not_exists): 'reject' by default")
async def _no_thread(client: LangGraphClient) -> None:
    await refused(client.runs.create(fresh(), "chain", input={}), 404)
    await refused(client.runs.wait(fresh(), "chain", input={}), 404)
    await refused(client.runs.wait(fresh(), "chain", input={}, if_not_exists="reject"), 404)


@check("runs: a thread made on the way", "runs.create(if_not_exists='create'): a new thread")
async def _made(client: LangGraphClient) -> None:
    mine = fresh()
    values: Any = await client.runs.wait(mine, "chain", input={}, if_not_exists="create")
    assert values["steps"] == ["a", "b", "c"]
    assert (await client.threads.get(mine))["thread_id"] == mine


@check("runs: context of the run and of the assistant", "runs.wait(context); assistants.create(context)")
async def _context(client: LangGraphClient) -> None:
    made = await client.assistants.create("chain", context={"mood": "sad"})
    mine = await thread(client)
    values: Any = await client.runs.wait(mine, made["assistant_id"], input={})
    assert values["mood"] == "sad"
    values = await client.runs.wait(mine, made["assistant_id"], input={}, context={"mood": "gay"})
    assert values["mood"] == "gay"
    values = await client.runs.wait(mine, "chain", input={})
    assert values["mood"] == "calm"


@check("runs: configurable", "schema.Config.configurable: values for a graph that reads them")
async def _configurable(client: LangGraphClient) -> None:
    values: Any = await client.runs.wait(
        await thread(client), "made", input={}, config={"configurable": {"called": "ada"}}
    )
    assert values["steps"] == ["ada"]


@check("runs: recursion_limit", "schema.Config.recursion_limit: the run ends with an error")
async def _limit(client: LangGraphClient) -> None:
    told: Any = await client.runs.wait(
        await thread(client), "chain", input={}, config={"recursion_limit": 2}, raise_error=False
    )
    assert told["__error__"]["error"] == "GraphRecursionError"


@check("runs: after_seconds", "runs.create(after_seconds): seconds to wait before starting the run")
async def _later(client: LangGraphClient) -> None:
    mine, began = await thread(client), time.monotonic()
    run = await client.runs.create(mine, "chain", input={}, after_seconds=2)
    assert run["status"] == "pending"
    await ended(client, mine, run["run_id"], "success")
    assert time.monotonic() - began >= 1.9


@check("runs: input null continues", "runs.wait(input=None): goes on where the thread stopped")
async def _continues(client: LangGraphClient) -> None:
    mine = await thread(client)
    await client.runs.wait(mine, "chain", input={"topic": "x"}, interrupt_before=["c"])
    values: Any = await client.runs.wait(mine, "chain", input=None)
    assert values["steps"] == ["a", "b", "c"]


@check("runs: interrupt_before", "runs.wait(interrupt_before): nodes to interrupt before, or '*'")
async def _before(client: LangGraphClient) -> None:
    mine = await thread(client)
    values: Any = await client.runs.wait(mine, "chain", input={}, interrupt_before=["b"])
    assert values["steps"] == ["a"]
    assert (await client.threads.get_state(mine))["next"] == ["b"]
    assert (await client.threads.get(mine))["status"] == "interrupted"
    await client.runs.wait(mine, "chain", input={}, interrupt_before="*")
    assert (await client.threads.get_state(mine))["next"] == ["a"]


@check("runs: interrupt_after", "runs.wait(interrupt_after): nodes to interrupt after, or '*'")
async def _after(client: LangGraphClient) -> None:
    mine = await thread(client)
    values: Any = await client.runs.wait(mine, "chain", input={}, interrupt_after=["b"])
    assert values["steps"] == ["a", "b"]
    assert (await client.threads.get_state(mine))["next"] == ["c"]
    await client.runs.wait(mine, "chain", input={}, interrupt_after="*")
    assert (await client.threads.get_state(mine))["next"] == ["b"]


@check("runs: an interrupt in the result", "schema.Interrupt: what runs.wait returns tells of it")
async def _interrupt(client: LangGraphClient) -> None:
    mine = await thread(client)
    asked: Any = await client.runs.wait(mine, "asks", input={})
    (told,) = asked["__interrupt__"]
    assert told["value"] == {"question": "go on?"} and told["id"]


@check("runs: command resume", "schema.Command.resume: the answer to an interrupt")
async def _resume(client: LangGraphClient) -> None:
    mine = await thread(client)
    await client.runs.wait(mine, "asks", input={})
    values: Any = await client.runs.wait(mine, "asks", command={"resume": "yes"})
    assert values["steps"] == ["yes", "after"]
    assert (await client.threads.get(mine))["status"] == "idle"


@check("runs: command resume, by interrupt", "schema.Interrupt.id: can be used to resume the interrupt")
async def _resume_ids(client: LangGraphClient) -> None:
    mine = await thread(client)
    asked: Any = await client.runs.wait(mine, "both", input={})
    answers = {one["id"]: one["value"].upper() for one in asked["__interrupt__"]}
    assert len(answers) == 2
    values: Any = await client.runs.wait(mine, "both", command={"resume": answers})
    assert sorted(values["steps"]) == ["left: LEFT", "right: RIGHT"]


@check("runs: command resume in a subgraph", "schema.Command.resume: also where a subgraph asks")
async def _resume_inner(client: LangGraphClient) -> None:
    mine = await thread(client)
    await client.runs.wait(mine, "nested", input={"topic": "x"})
    values: Any = await client.runs.wait(mine, "nested", command={"resume": "yes"})
    assert values["steps"] == ["yes", "after"]


@check("runs: command update", "schema.Command.update: the state is updated")
async def _update(client: LangGraphClient) -> None:
    mine = await thread(client)
    await client.runs.wait(mine, "asks", input={"topic": "x"})
    values: Any = await client.runs.wait(mine, "asks", command={"resume": "yes", "update": {"topic": "y"}})
    assert (values["topic"], values["steps"]) == ("y", ["yes", "after"])


@check("runs: command goto", "schema.Command.goto: the name of a node, or a Send with an input of its own")
async def _goto(client: LangGraphClient) -> None:
    mine = await chained(client)
    values: Any = await client.runs.wait(mine, "chain", command={"goto": "b"})
    assert values["steps"] == ["a", "b", "c", "b", "c"]
    values = await client.runs.wait(mine, "chain", command={"goto": {"node": "c", "input": {"topic": "z"}}})
    assert values["steps"][5:] == ["c"]


@check("runs: a command and an input", "runs.create(command): cannot be combined with input")
async def _either(client: LangGraphClient) -> None:
    mine = await thread(client)
    await client.runs.wait(mine, "asks", input={})
    await refused(client.runs.create(mine, "asks", input={"topic": "x"}, command={"resume": "yes"}), 400, 422)


@check("runs: from a checkpoint", "runs.wait(checkpoint, checkpoint_id): the checkpoint to resume from")
async def _checkpoint(client: LangGraphClient) -> None:
    mine = await chained(client)
    history: Any = await client.threads.get_history(mine)
    earlier = next(one for one in history if one["next"] == ["c"])
    asked: Any = {"checkpoint_id": earlier["checkpoint"]["checkpoint_id"]}
    values: Any = await client.runs.wait(mine, "chain", input=None, **asked)
    assert values["steps"] == ["a", "b", "c"]
    values = await client.runs.wait(mine, "chain", input={"topic": "y"}, checkpoint=earlier["checkpoint"])
    assert (values["topic"], values["steps"]) == ("y", ["a", "b", "a", "b", "c"])


@check("runs: durability", "schema.Durability: with exit only the end is kept, with sync and async each step")
async def _durability(client: LangGraphClient) -> None:
    for durability, states in (("exit", 1), ("async", 5), ("sync", 5)):
        mine = await thread(client)
        await client.runs.wait(mine, "chain", input={}, durability=durability)  # type: ignore[call-overload]
        assert len(await client.threads.get_history(mine)) == states, durability


@check("runs: cancel, interrupt", "schema.CancelAction: interrupt simply cancels the run")
async def _cancel(client: LangGraphClient) -> None:
    mine = await thread(client)
    run = await working(client, mine)
    began = time.monotonic()
    await client.runs.cancel(mine, run, wait=True)
    assert time.monotonic() - began < 15
    await ended(client, mine, run, "interrupted")
    found = await client.threads.get(mine)
    assert (found["status"] in ("interrupted", "idle"), found["values"]["done"]) == (True, ["first"])  # type: ignore[index]


@check("runs: cancel, and go on", "runs.wait(input=None): a cancelled run can be continued")
async def _cancelled(client: LangGraphClient) -> None:
    mine = await thread(client)
    run = await working(client, mine, seconds=3)
    await client.runs.cancel(mine, run, wait=True)
    await ended(client, mine, run, "interrupted")
    assert (await client.threads.get_state(mine))["next"] == ["work"]
    values: Any = await client.runs.wait(mine, "pace", input=None)
    assert values["done"] == ["first", "work"]


@check("runs: cancel, rollback", "schema.CancelAction: rollback deletes the run and associated checkpoints")
async def _rollback(client: LangGraphClient) -> None:
    mine = await thread(client)
    await client.runs.wait(mine, "pace", input={})
    before = await client.threads.get_state(mine)
    run = await working(client, mine)
    await client.runs.cancel(mine, run, wait=True, action="rollback")

    async def gone() -> bool:
        return run not in {one["run_id"] for one in await client.runs.list(mine)}

    await until(gone, "the run is deleted")
    after = await client.threads.get_state(mine)
    assert after["checkpoint"]["checkpoint_id"] == before["checkpoint"]["checkpoint_id"]
    assert len(await client.threads.get_history(mine)) == 4


@check("runs: cancel one that waits", "runs.cancel: a pending run never starts")
async def _cancel_pending(client: LangGraphClient) -> None:
    mine = await thread(client)
    run = await client.runs.create(mine, "chain", input={}, after_seconds=600)
    await client.runs.cancel(mine, run["run_id"])
    await ended(client, mine, run["run_id"], "interrupted")


@check("runs: cancel many", "runs.cancel_many(thread_id, run_ids)")
async def _cancel_many(client: LangGraphClient) -> None:
    mine = await thread(client)
    first = await working(client, mine)
    second = (await client.runs.create(mine, "pace", input={"seconds": 30}))["run_id"]
    await client.runs.cancel_many(thread_id=mine, run_ids=[first, second])
    for run in (first, second):
        await ended(client, mine, run, "interrupted")


@check("runs: cancel all", "runs.cancel_many(status): all pending, all running, or all", alone=True)
async def _cancel_all(client: LangGraphClient) -> None:
    threads = [await thread(client) for _ in range(2)]
    runs = [await working(client, one) for one in threads]
    await client.runs.cancel_many(status="all")
    for one, run in zip(threads, runs, strict=True):
        await ended(client, one, run, "interrupted")


@check("runs: reject on a busy thread", "schema.MultitaskStrategy: reject new tasks when busy")
async def _reject(client: LangGraphClient) -> None:
    mine = await thread(client)
    run = await working(client, mine)
    await refused(client.runs.create(mine, "pace", input={}, multitask_strategy="reject"), 409)
    assert len(await client.runs.list(mine)) == 1
    await client.runs.cancel(mine, run, wait=True)


@check("runs: enqueue on a busy thread", "schema.MultitaskStrategy: queue new tasks for later execution")
async def _enqueue(client: LangGraphClient) -> None:
    mine = await thread(client)
    runs = [
        (await client.runs.create(mine, "pace", input={"seconds": 0.5}, multitask_strategy="enqueue"))["run_id"]
        for _ in range(3)
    ]
    for run in runs:
        await ended(client, mine, run, "success")
    state: Any = await client.threads.get_state(mine)
    assert state["values"]["done"] == ["first", "work"] * 3, "one after the other"


@check("runs: interrupt a busy thread", "schema.MultitaskStrategy: interrupt current task for new ones")
async def _interrupt_strategy(client: LangGraphClient) -> None:
    mine = await thread(client)
    old = await working(client, mine)
    values: Any = await client.runs.wait(mine, "pace", input={"seconds": 0}, multitask_strategy="interrupt")
    assert values["done"] == ["first", "first", "work"]
    assert (await ended(client, mine, old, "interrupted"))["run_id"] == old


@check("runs: roll a busy thread back", "schema.MultitaskStrategy: roll back current task and start new one")
async def _rollback_strategy(client: LangGraphClient) -> None:
    mine = await thread(client)
    old = await working(client, mine)
    values: Any = await client.runs.wait(mine, "pace", input={"seconds": 0}, multitask_strategy="rollback")
    assert values["done"] == ["first", "work"]
    assert old not in {one["run_id"] for one in await client.runs.list(mine)}


@check("runs: delete a thread with a run", "threads.delete: also while a run goes on")
async def _delete_busy(client: LangGraphClient) -> None:
    mine = await thread(client)
    await working(client, mine)
    await client.threads.delete(mine)
    await refused(client.threads.get(mine), 404)


@check("runs: stateless", "runs.wait(thread_id=None): a stateless run; its thread is deleted afterwards")
async def _stateless(client: LangGraphClient) -> None:
    topic, told = fresh(), []
    values: Any = await client.runs.wait(None, "chain", input={"topic": topic}, on_run_created=told.append)
    assert (values["topic"], values["steps"]) == (topic, ["a", "b", "c"])

    async def gone() -> bool:
        threads = await client.threads.search(metadata={"graph_id": "chain"}, limit=1000)
        return all((one["values"] or {}).get("topic") != topic for one in threads)

    await until(gone, "the thread of a stateless run is deleted")


@check("runs: stateless, kept", "runs.wait(on_completion='keep'): the thread stays")
async def _kept(client: LangGraphClient) -> None:
    told: list[Any] = []
    await client.runs.wait(None, "chain", input={"topic": "x"}, on_completion="keep", on_run_created=told.append)
    found = await client.threads.get(told[0]["thread_id"])
    assert found["values"]["topic"] == "x"  # type: ignore[index]


@check("runs: stateless, streamed", "runs.stream(thread_id=None)")
async def _stateless_stream(client: LangGraphClient) -> None:
    parts = await heard(client, None, "chain", input={}, stream_mode="updates")
    assert [next(iter(part.data)) for part in parts if part.event == "updates"] == ["a", "b", "c"]


@check("runs: stateless, in the background", "runs.create(None): schema.Run")
async def _stateless_create(client: LangGraphClient) -> None:
    run = await client.runs.create(None, "chain", input={})
    assert run["run_id"] and run["status"] in ("pending", "running")


@check("runs: batch", "runs.create_batch: a batch of stateless background runs")
async def _batch(client: LangGraphClient) -> None:
    runs: Any = await client.runs.create_batch(
        [{"assistant_id": "chain", "input": {}}, {"assistant_id": "asks", "input": {}, "metadata": {"n": 1}}]
    )
    assert len({run["run_id"] for run in runs}) == 2
    assert runs[1]["metadata"]["n"] == 1


@check("runs: a store for the graph", "langgraph.json graphs get a store; what they put is there for clients and runs")
async def _store(client: LangGraphClient) -> None:
    topic = fresh()
    for count in ("1", "2"):
        values: Any = await client.runs.wait(None, "keeps", input={"topic": topic})
        assert values["steps"] == [count]
    item = await client.store.get_item(["conformance", topic], "count")
    assert item is not None and item["value"] == {"count": 2}


@check("runs: wait, and leave", "runs.wait(on_disconnect='cancel'): the run ends with its listener")
async def _leave(client: LangGraphClient) -> None:
    mine = await thread(client)
    waiting = asyncio.create_task(
        client.runs.wait(mine, "pace", input={"seconds": 30, "ticks": 60}, on_disconnect="cancel")
    )

    async def begun() -> bool:
        return (await client.threads.get_state(mine))["next"] == ["work"]

    await until(begun, "the run began")
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    (run,) = await client.runs.list(mine)
    await ended(client, mine, run["run_id"], "interrupted")


@check("runs: wait, leave, and it goes on", "runs.wait(on_disconnect='continue'): the run goes on without its listener")
async def _stay(client: LangGraphClient) -> None:
    mine = await thread(client)
    waiting = asyncio.create_task(client.runs.wait(mine, "pace", input={"seconds": 3}, on_disconnect="continue"))

    async def begun() -> bool:
        return (await client.threads.get_state(mine))["next"] == ["work"]

    await until(begun, "the run began")
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    (run,) = await client.runs.list(mine)
    await ended(client, mine, run["run_id"], "success")
