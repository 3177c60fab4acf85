"""What every graph host does, whatever it runs: the contract of `fiel.infra.hosts.port.GraphHost`.

Collected by one module for each host, which sets the fixture `served`.
"""

import asyncio
import time
import uuid
from dataclasses import dataclass, replace
from typing import Any, cast

import pytest

from fiel.infra.hosts.port import (
    MODES,
    BadOrder,
    GraphHost,
    HostEvent,
    HostItem,
    HostMark,
    RunOrder,
    Said,
    UnknownCheckpoint,
    UnknownGraph,
    Update,
)
from fiel.infra.runs.events import Feed
from tests.hosts_support import DEVELOPER, named, new_thread, order, query, read


@dataclass(frozen=True)
class Served:
    """A host and what to ask of it."""

    host: GraphHost
    graph: str
    input: dict[str, Any]
    nodes: list[str]
    last: str
    """A channel that the last node writes."""
    update: dict[str, Any]
    as_node: str


async def test_a_run_ends_with_its_values(served: Served) -> None:
    thread = new_thread()
    events, end = await read(served.host, order(served.graph, thread, DEVELOPER, input=served.input))
    assert events == []
    assert (end.status, end.next, end.interrupts) == ("success", (), {})
    assert end.value()[served.last]
    assert end.output == end.values
    state = await served.host.state(query(served.graph, thread, DEVELOPER))
    assert state["values"] == end.value()
    assert (state["next"], state["interrupts"]) == ([], [])
    assert state["checkpoint"].items() >= {"thread_id": thread.public_id, "checkpoint_ns": ""}.items()
    assert state["metadata"]["graph_id"] == served.graph
    assert state["created_at"]


@pytest.mark.parametrize("mode", MODES)
async def test_every_mode_speaks_under_its_name(served: Served, mode: str) -> None:
    asked = order(served.graph, new_thread(), DEVELOPER, input=served.input, stream_modes=[mode])
    events, _ = await read(served.host, asked)
    if served.graph == "plain" and mode in ("messages", "messages-tuple", "custom"):
        assert events == []
        return
    names = {event.event for event in events}
    assert names == {
        "messages": {"messages/metadata", "messages/complete"},
        "messages-tuple": {"messages"},
    }.get(mode, {mode})


async def test_several_modes_speak_side_by_side(served: Served) -> None:
    asked = order(
        served.graph, new_thread(), DEVELOPER, input=served.input, stream_modes=["values", "updates", "debug"]
    )
    events, end = await read(served.host, asked)
    assert {event.event for event in events} == {"values", "updates", "debug"}
    assert named(events, "values")[-1] == end.value()
    assert [node for one in named(events, "updates") for node in one] == served.nodes
    kinds = [one["type"] for one in named(events, "debug")]
    assert kinds.count("task") == kinds.count("task_result") == len(served.nodes)
    saved = [one["payload"] for one in named(events, "debug") if one["type"] == "checkpoint"]
    assert saved[-1]["checkpoint"]["thread_id"] == asked.thread.public_id
    assert saved[-1]["parent_checkpoint"]["checkpoint_id"] == saved[-2]["checkpoint"]["checkpoint_id"]


async def test_the_inner_name_of_a_thread_never_leaves(served: Served) -> None:
    thread = new_thread()
    asked = order(served.graph, thread, DEVELOPER, input=served.input, stream_modes=list(MODES), subgraphs=True)
    events, _ = await read(served.host, asked)
    assert not any(thread.checkpoint_thread.encode() in event.data for event in events)
    shown = await served.host.history(query(served.graph, thread, DEVELOPER), limit=50)
    assert thread.checkpoint_thread not in str(shown)
    assert thread.public_id in str(shown)


async def test_stepping_stops_before_and_after_and_goes_on(served: Served) -> None:
    thread, second = new_thread(), served.nodes[1]
    asked = order(served.graph, thread, DEVELOPER, input=served.input, interrupt_before=[second])
    _, end = await read(served.host, asked)
    assert (end.status, end.next) == ("interrupted", (second,))
    assert end.checkpoint_id
    _, end = await read(served.host, order(served.graph, thread, DEVELOPER, interrupt_after="*"))
    assert end.next == (served.nodes[2],)
    _, end = await read(served.host, order(served.graph, thread, DEVELOPER))
    assert (end.status, end.next) == ("success", ())
    assert end.value()[served.last]


async def test_history_is_newest_first_and_can_be_cut(served: Served) -> None:
    thread = new_thread()
    await read(served.host, order(served.graph, thread, DEVELOPER, input=served.input))
    asked = query(served.graph, thread, DEVELOPER)
    states = await served.host.history(asked, limit=100)
    assert len(states) == len(served.nodes) + 2
    assert [one["created_at"] for one in states] == sorted((one["created_at"] for one in states), reverse=True)
    assert states[0]["parent_checkpoint"] == states[1]["checkpoint"]
    assert await served.host.history(asked, limit=2) == states[:2]
    assert await served.host.history(asked, before=states[1]["checkpoint"], limit=1) == [states[2]]
    source = await served.host.history(asked, metadata={"source": "input"}, limit=100)
    assert [one["metadata"]["source"] for one in source] == ["input"]
    there = query(served.graph, thread, DEVELOPER, checkpoint=states[3]["checkpoint"])
    assert (await served.host.state(there))["checkpoint"] == states[3]["checkpoint"]


async def test_durability_exit_keeps_one(served: Served) -> None:
    thread = new_thread()
    await read(served.host, order(served.graph, thread, DEVELOPER, input=served.input, durability="exit"))
    assert len(await served.host.history(query(served.graph, thread, DEVELOPER), limit=50)) == 1


async def test_a_run_forks_from_a_checkpoint(served: Served) -> None:
    thread = new_thread()
    await read(served.host, order(served.graph, thread, DEVELOPER, input=served.input))
    asked = query(served.graph, thread, DEVELOPER)
    before = await served.host.history(asked, limit=100)
    at = next(one for one in before if one["next"] == [served.nodes[-1]])
    _, end = await read(served.host, order(served.graph, thread, DEVELOPER, checkpoint=at["checkpoint"]))
    assert end.status == "success"
    after = await served.host.history(asked, limit=100)
    assert len(after) > len(before)
    assert after[0]["values"][served.last]


async def test_state_is_edited_as_a_node(served: Served) -> None:
    thread = new_thread()
    await read(
        served.host,
        order(served.graph, thread, DEVELOPER, input=served.input, interrupt_before=[served.nodes[1]]),
    )
    asked = query(served.graph, thread, DEVELOPER)
    made = await served.host.update(asked, [Update(served.update, served.as_node)])
    state = await served.host.state(asked)
    assert made["checkpoint"] == state["checkpoint"]
    assert made["checkpoint"]["thread_id"] == thread.public_id
    assert state["values"].items() >= served.update.items()
    assert state["metadata"]["source"] == "update"
    with pytest.raises(BadOrder):
        await served.host.update(asked, [Update(served.update, "no_such_node")])


async def test_a_thread_is_made_of_supersteps(served: Served) -> None:
    thread = new_thread()
    steps = [[Update(served.input, "__input__")], [Update(served.update, served.as_node)]]
    await served.host.update_many(query(served.graph, thread, DEVELOPER), steps)
    state = await served.host.state(query(served.graph, thread, DEVELOPER))
    assert state["values"].items() >= served.update.items()


async def test_threads_are_copied_cut_back_and_forgotten(served: Served) -> None:
    thread, copied = new_thread(), new_thread()
    first, second = str(uuid.uuid4()), str(uuid.uuid4())
    await read(served.host, order(served.graph, thread, DEVELOPER, input=served.input, run_id=first))
    after_first = await served.host.state(query(served.graph, thread, DEVELOPER))
    await read(served.host, order(served.graph, thread, DEVELOPER, input=served.input, run_id=second))
    states = await served.host.history(query(served.graph, thread, DEVELOPER), limit=100)

    await served.host.copy_thread(thread, copied)
    theirs = await served.host.history(query(served.graph, copied, DEVELOPER), limit=100)
    assert [one["values"] for one in theirs] == [one["values"] for one in states]
    assert {one["checkpoint"]["thread_id"] for one in theirs} == {copied.public_id}

    await served.host.forget_run(thread, second)
    assert await served.host.state(query(served.graph, thread, DEVELOPER)) == after_first

    await served.host.prune(copied)
    kept = await served.host.history(query(served.graph, copied, DEVELOPER), limit=100)
    assert [one["checkpoint"] for one in kept] == [theirs[0]["checkpoint"]]
    assert kept[0]["values"] == theirs[0]["values"]

    await served.host.delete_thread(thread)
    state = await served.host.state(query(served.graph, thread, DEVELOPER))
    assert (state["values"], state["next"], state["tasks"], state["created_at"]) == ({}, [], [], None)


async def test_a_graph_is_drawn_and_described(served: Served) -> None:
    assert served.graph in served.host.graph_ids()
    assert served.host.description(served.graph)
    drawn = await served.host.draw(served.graph, xray=True)
    assert {*served.nodes, "__start__", "__end__"} <= {node["id"] for node in drawn["nodes"]}
    assert {"source", "target"} <= drawn["edges"][0].keys()
    schemas = await served.host.schemas(served.graph)
    assert set(schemas) == {
        *("graph_id", "input_schema", "output_schema", "state_schema", "config_schema", "context_schema")
    }
    assert served.last in schemas["state_schema"]["properties"]
    assert await served.host.subgraphs(served.graph) == {}


@pytest.mark.parametrize(
    "wrong",
    [
        {"stream_modes": ["loud"]},
        {"interrupt_before": ["no_such_node"]},
        {"interrupt_after": "one"},
        {"config": {"configurable": {"thread_id": "another"}}},
        {"config": {"configurable": {"langgraph_auth_user": {"identity": "root"}}}},
        {"config": {"configurable": {"fiel_principal": "root"}}},
        {"config": {"callbacks": []}},
        {"config": {"recursion_limit": 0}},
        {"command": {"resume": 1}},
        {"input": None, "command": {"graph": "parent"}},
        {"input": None, "command": {"goto": [{"to": "one"}]}},
        {"checkpoint": {"checkpoint_id": 7}},
        {"checkpoint": {"id": "7"}},
    ],
    ids=str,
)
async def test_what_a_graph_cannot_take_is_refused_by_name(served: Served, wrong: dict[str, Any]) -> None:
    with pytest.raises(BadOrder) as refused:
        await read(served.host, order(served.graph, new_thread(), DEVELOPER, **{"input": served.input, **wrong}))
    assert refused.value.where


async def test_what_is_not_there_is_said(served: Served) -> None:
    gone = {"checkpoint_id": "1ef4f797-8335-6428-8001-8a1503f9b875"}
    thread = new_thread()
    await read(served.host, order(served.graph, thread, DEVELOPER, input=served.input))
    with pytest.raises(UnknownGraph):
        await read(served.host, order("no_such_graph", thread, DEVELOPER, input=served.input))
    with pytest.raises(UnknownGraph):
        await served.host.draw("no_such_graph")
    with pytest.raises(UnknownCheckpoint):
        await read(served.host, order(served.graph, thread, DEVELOPER, checkpoint=gone))
    with pytest.raises(UnknownCheckpoint):
        await served.host.state(query(served.graph, thread, DEVELOPER, checkpoint=gone))
    with pytest.raises(UnknownCheckpoint):
        await served.host.update(query(served.graph, thread, DEVELOPER, checkpoint=gone), [Update(served.update)])


async def test_threads_do_not_see_each_other(served: Served) -> None:
    one, other = new_thread(), new_thread()
    await read(served.host, order(served.graph, one, DEVELOPER, input=served.input))
    assert (await served.host.state(query(served.graph, other, DEVELOPER)))["values"] == {}


async def test_what_was_said_and_what_is_said_after_going_back_is_all_of_it(served: Served) -> None:
    """Wherever a process dies behind a mark: the graph has kept more than was written of its events."""
    kept = [item for item in await items(served.host, marked(served)) if isinstance(item, HostMark)]
    assert len(kept) > 2 * len(served.nodes), "each checkpoint, and each task that ended"
    for count in (*range(0, len(kept), 3), len(kept)):
        asked, thread = marked(served), new_thread()
        asked = replace(asked, thread=thread)
        before, said = until(await items(served.host, asked), count)
        await served.host.rewind(thread, asked.run_id, said, deep=False)
        state = await served.host.state(query(served.graph, thread, DEVELOPER))
        goes_on = (state["metadata"] or {}).get("run_id") == asked.run_id
        after: list[HostItem] = []
        if state["tasks"] or not goes_on:
            again = replace(asked, attempt=2, goes_on=goes_on, input=None if goes_on else asked.input)
            after = await items(served.host, again)
        told = [item for item in (*before, *after) if isinstance(item, HostEvent)]
        assert [node for one in named(told, "updates") for node in one] == served.nodes, f"after {count} marks"
        assert not (await served.host.state(query(served.graph, thread, DEVELOPER)))["tasks"]


def marked(served: Served) -> RunOrder:
    return order(served.graph, new_thread(), DEVELOPER, input=served.input, stream_modes=["updates"], marks=True)


async def items(host: GraphHost, asked: RunOrder) -> list[HostItem]:
    return [item async for item in host.run(asked)]


def until(said: list[HostItem], count: int) -> tuple[list[HostItem], Said]:
    """What comes before so many marks, and what they amount to."""
    feed = Feed(uuid.uuid4(), DEVELOPER, 0, 0)
    places = [place for place, item in enumerate(said) if isinstance(item, HostMark)][:count]
    for place in places:
        feed.mark(cast("HostMark", said[place]))
    return said[: max(places, default=0)], feed.said


async def test_many_runs_at_once(served: Served) -> None:
    async def one() -> Any:
        return (await read(served.host, order(served.graph, new_thread(), DEVELOPER, input=served.input)))[1]

    ends = await asyncio.gather(*(one() for _ in range(12)))
    assert {end.status for end in ends} == {"success"}


async def test_a_closed_stream_cancels_the_run(served: Served) -> None:
    thread = new_thread()
    stream: Any = served.host.run(order(served.graph, thread, DEVELOPER, input=served.input, stream_modes=["updates"]))
    await anext(stream)
    await stream.aclose()

    async def kept() -> list[Any]:
        return list(await served.host.history(query(served.graph, thread, DEVELOPER), limit=50))

    before = await kept()
    for _ in range(20):  # another process hears of it a little later
        await asyncio.sleep(0.2)
        if (now := await kept()) == before:
            break
        before = now
    assert await kept() == before
    if before[0]["next"]:  # a quick graph in another process may have ended before it heard of it
        _, end = await read(served.host, order(served.graph, thread, DEVELOPER))
        assert end.status == "success", "and can be gone on with"


async def test_the_first_event_does_not_wait(served: Served) -> None:
    await read(served.host, order(served.graph, new_thread(), DEVELOPER, input=served.input))
    times = []
    for _ in range(5):  # the best of them: a busy machine makes some wait
        stream: Any = served.host.run(
            order(served.graph, new_thread(), DEVELOPER, input=served.input, stream_modes=["values"])
        )
        begun = time.perf_counter()
        await anext(stream)
        times.append(time.perf_counter() - begun)
        await stream.aclose()
    assert min(times) < 0.5
