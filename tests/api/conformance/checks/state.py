"""Checks of the states of threads: the latest, earlier ones, and writing into one."""

from typing import Any

from langgraph_sdk.client import LangGraphClient

from tests.api.conformance.check import check
from tests.api.conformance.talk import chained, thread


@check("state: of a thread without runs", "threads.get_state: schema.ThreadState, empty")
async def _empty(client: LangGraphClient) -> None:
    state = await client.threads.get_state(await thread(client))
    assert not state["values"] and list(state["next"]) == []


@check("state: after a run", "threads.get_state: schema.ThreadState")
async def _after(client: LangGraphClient) -> None:
    mine = await chained(client)
    state: Any = await client.threads.get_state(mine)
    assert state["values"] == {"topic": "x", "steps": ["a", "b", "c"], "mood": "calm"}
    assert (state["next"], state["tasks"], state["interrupts"]) == ([], [], [])
    assert (state["checkpoint"]["thread_id"], state["checkpoint"]["checkpoint_ns"]) == (mine, "")
    assert state["checkpoint"]["checkpoint_id"] and state["parent_checkpoint"]["checkpoint_id"]
    assert (state["metadata"]["source"], state["metadata"]["step"]) == ("loop", 3)
    assert state["created_at"]


@check("state: an interrupt waits in it", "schema.ThreadTask: id, name, interrupts; ThreadState.interrupts")
async def _interrupt(client: LangGraphClient) -> None:
    mine = await thread(client)
    await client.runs.wait(mine, "asks", input={})
    state: Any = await client.threads.get_state(mine)
    (task,) = state["tasks"]
    assert (state["next"], task["name"]) == (["ask"], "ask") and task["id"]
    assert task["interrupts"] == state["interrupts"]
    assert state["interrupts"][0]["value"] == {"question": "go on?"} and state["interrupts"][0]["id"]


@check("state: an error stands in it", "schema.ThreadTask: tasks may contain an error")
async def _error(client: LangGraphClient) -> None:
    mine = await thread(client)
    await client.runs.wait(mine, "pace", input={"fails": True}, raise_error=False)
    state: Any = await client.threads.get_state(mine)
    assert state["next"] == ["work"] and "ValueError" in state["tasks"][0]["error"]


@check("state: with its subgraphs", "threads.get_state(subgraphs=True): the states of subgraphs in their tasks")
async def _subgraphs(client: LangGraphClient) -> None:
    mine = await thread(client)
    await client.runs.wait(mine, "nested", input={"topic": "x"})
    flat: Any = await client.threads.get_state(mine)
    assert flat["tasks"][0]["checkpoint"]["checkpoint_ns"].startswith("inner") and not flat["tasks"][0].get("state")
    deep: Any = await client.threads.get_state(mine, subgraphs=True)
    inner = deep["tasks"][0]["state"]
    assert (inner["next"], inner["values"]["topic"]) == (["ask"], "x")


@check("state: of a subgraph", "threads.get_state(checkpoint): the namespace of a task's checkpoint")
async def _of_subgraph(client: LangGraphClient) -> None:
    mine = await thread(client)
    await client.runs.wait(mine, "nested", input={"topic": "x"})
    state: Any = await client.threads.get_state(mine)
    inner: Any = await client.threads.get_state(mine, checkpoint=state["tasks"][0]["checkpoint"])
    assert (inner["next"], inner["values"]["topic"]) == (["ask"], "x")


@check("state: at a checkpoint", "threads.get_state(checkpoint, checkpoint_id)")
async def _at(client: LangGraphClient) -> None:
    mine = await chained(client)
    history: Any = await client.threads.get_history(mine)
    earlier = next(one for one in history if one["next"] == ["b"])
    for asked in (
        {"checkpoint": earlier["checkpoint"]},
        {"checkpoint_id": earlier["checkpoint"]["checkpoint_id"]},
    ):
        found: Any = await client.threads.get_state(mine, **asked)  # type: ignore[call-overload]
        assert (found["next"], found["values"]["steps"]) == (["b"], ["a"])
        assert found["checkpoint"]["checkpoint_id"] == earlier["checkpoint"]["checkpoint_id"]


@check("state: select", "threads.get_state(select): fields, and values.<key> for a single key")
async def _select(client: LangGraphClient) -> None:
    mine = await chained(client)
    found: Any = await client.threads.get_state(mine, select=["values.topic", "next"])  # type: ignore[list-item]
    assert found == {"values": {"topic": "x"}, "next": []}


@check("state: update", "threads.update_state(values): a new checkpoint is the latest")
async def _update(client: LangGraphClient) -> None:
    mine = await chained(client)
    before = await client.threads.get_state(mine)
    answer = await client.threads.update_state(mine, {"topic": "y", "steps": ["me"]})
    after: Any = await client.threads.get_state(mine)
    assert after["checkpoint"]["checkpoint_id"] == answer["checkpoint"]["checkpoint_id"]
    assert after["checkpoint"]["checkpoint_id"] != before["checkpoint"]["checkpoint_id"]
    assert (after["values"]["topic"], after["values"]["steps"]) == ("y", ["a", "b", "c", "me"])
    assert (await client.threads.get(mine))["values"]["topic"] == "y"  # type: ignore[index]


@check("state: update as a node", "threads.update_state(as_node): as if this node had just executed")
async def _as_node(client: LangGraphClient) -> None:
    mine = await chained(client)
    await client.threads.update_state(mine, {"steps": ["me"]}, as_node="a")
    assert (await client.threads.get_state(mine))["next"] == ["b"]
    values: Any = await client.runs.wait(mine, "chain", input=None)
    assert values["steps"] == ["a", "b", "c", "me", "b", "c"]


@check("state: update at a checkpoint", "threads.update_state(checkpoint): a branch of the history")
async def _fork(client: LangGraphClient) -> None:
    mine = await chained(client)
    history: Any = await client.threads.get_history(mine)
    earlier = next(one for one in history if one["next"] == ["b"])
    await client.threads.update_state(mine, {"steps": ["me"]}, checkpoint=earlier["checkpoint"])
    state: Any = await client.threads.get_state(mine)
    assert (state["values"]["steps"], state["next"]) == (["a", "me"], ["b"])
    assert state["parent_checkpoint"]["checkpoint_id"] == earlier["checkpoint"]["checkpoint_id"]
    values: Any = await client.runs.wait(mine, "chain", input=None)
    assert values["steps"] == ["a", "me", "b", "c"]


@check("history: newest first, with a limit", "threads.get_history(limit)")
async def _history(client: LangGraphClient) -> None:
    mine = await chained(client)
    states: Any = await client.threads.get_history(mine)
    assert [one["next"] for one in states] == [[], ["c"], ["b"], ["a"], ["__start__"]]
    assert [one["metadata"]["step"] for one in states] == [3, 2, 1, 0, -1]
    assert states[0]["parent_checkpoint"]["checkpoint_id"] == states[1]["checkpoint"]["checkpoint_id"]
    assert states[-1]["parent_checkpoint"] is None
    assert len(await client.threads.get_history(mine, limit=2)) == 2


@check("history: before a checkpoint", "threads.get_history(before): states before this checkpoint")
async def _before(client: LangGraphClient) -> None:
    mine = await chained(client)
    states: Any = await client.threads.get_history(mine)
    found: Any = await client.threads.get_history(mine, before=states[1]["checkpoint"])
    assert [one["metadata"]["step"] for one in found] == [1, 0, -1]


@check("history: by metadata", "threads.get_history(metadata): key-value pairs to filter by")
async def _by_metadata(client: LangGraphClient) -> None:
    mine = await chained(client)
    found: Any = await client.threads.get_history(mine, metadata={"source": "input"})
    assert [one["metadata"]["step"] for one in found] == [-1]


@check("history: select", "threads.get_history(select): fields to include")
async def _history_select(client: LangGraphClient) -> None:
    mine = await chained(client)
    (found,) = await client.threads.get_history(mine, limit=1, select=["next"])
    assert found == {"next": []}


@check("history: of a subgraph", "threads.get_history(checkpoint): states for this subgraph")
async def _of_inner(client: LangGraphClient) -> None:
    mine = await thread(client)
    await client.runs.wait(mine, "nested", input={"topic": "x"})
    state: Any = await client.threads.get_state(mine)
    found: Any = await client.threads.get_history(mine, checkpoint=state["tasks"][0]["checkpoint"])
    assert found and all(one["checkpoint"]["checkpoint_ns"].startswith("inner") for one in found)
    assert found[0]["next"] == ["ask"]
