"""Graphs that are not fiel's own, over its ports: recorded, and replayed to the byte by whoever names them."""

import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from fiel.infra.database.connect import Database
from fiel.infra.desk.replays import Bulk, replayed, replayed_many
from fiel.infra.ledger.chain import unfold
from fiel.infra.ledger.encode import encode
from fiel.infra.replay.change import UNCHANGED, Change
from fiel.infra.replay.graphs import Ported, load_graphs
from fiel.infra.replay.many import Stretch
from fiel.infra.replay.record import NotReplayable
from fiel.infra.replay.replays import Replays
from fiel.infra.replay.stage import Stage
from fiel.tools.errors import SettingsError
from fiel.tools.principal import local_administrator
from tests.graph.conftest import DEVELOPER, House
from tests.graph.test_replay import AUDITOR
from tests.replay_support import recorded_in

PROJECT = Path(__file__).parents[1] / "projects" / "ported" / "langgraph.json"
WORDS = ("alpha", "be", "gamma", "be", "epsilon")


@pytest.fixture(scope="module")
def tally() -> Ported:
    graphs = load_graphs(PROJECT)
    assert set(graphs) == {"tally"}, "a graph that takes no services goes through none"
    return graphs["tally"]


class Running:
    """The graph as it runs, recorded."""

    def __init__(self, house: House, tally: Ported) -> None:
        self.house, self.tally = house, tally
        self.graph, self.recorder = tally.recorded(house.services, house.recorder, InMemorySaver())

    async def run(self, given: Any, thread: str, **more: Any) -> str:
        config = self.house.config(thread, DEVELOPER)
        config["configurable"]["run_id"] = str(config["run_id"])
        await self.graph.ainvoke(given, config, **more)
        await self.recorder.writer.drain()
        return str(config["run_id"])

    async def replay(self, run: str, by: Any = None, change: Change = UNCHANGED) -> dict[str, Any]:
        house = self.house

        async def sight(*_: Any) -> Any:
            return frozenset()

        graphs = {self.tally.name: self.tally}
        many = Replays(house.store, house.recorder.keys, Stage(house.services), sight, graphs=graphs)
        return await many.one(by or local_administrator(), run, change)


@pytest.fixture
async def running(recorded: House, tally: Ported) -> AsyncIterator[Running]:
    one = Running(recorded, tally)
    yield one
    await one.recorder.close()


def named(value: dict[str, Any]) -> Sequence[str]:
    return sorted(hop["node"] for hop in value["hops"])


async def test_fan_out_loop_subgraph_clock_and_ids_replay(running: Running) -> None:
    for words in (WORDS, [f"flaky {uuid.uuid4()}" for _ in range(3)]):
        run = await running.run({"words": list(words)}, str(uuid.uuid4()))
        value = await running.replay(run)
        assert value["identical"] and value["whole"], value["first_divergence"]
        assert {hop["status"] for hop in value["hops"]} == {"same"}
        assert not any(entry.edited for entry in await running.recorder.history(run)), "a subgraph edits nothing"
        assert named(value).count("again") == 3
        assert named(value).count("count") == (6 if words[0].startswith("flaky") else 5)
        assert (value["outcome"], value["live_calls"], value["notes"]) == (
            {"recorded": "answered", "replayed": "answered"}, 0, []
        )  # fmt: skip


async def test_what_is_read_back_of_hops_that_were_sent_is_what_they_and_the_next_were_given(running: Running) -> None:
    thread = str(uuid.uuid4())
    await running.run({"words": ["alpha", "be"]}, thread)
    run = await running.run({"words": ["gamma", "be"]}, thread, interrupt_before=["inner"])
    live = {entry.seq: entry for entry in await running.recorder.history(run)}
    read = {one.entry.seq: one for one in unfold(run, await running.house.store.entries(run))}
    assert {seq: one.entry.reads for seq, one in read.items()} == {seq: one.reads for seq, one in live.items()}
    assert not any(entry.edited for entry in live.values())
    state = (await running.graph.aget_state(running.house.config(thread, DEVELOPER))).values
    held = running.recorder.live(run)
    assert held is not None and state["total"] > len("gammabe"), "what the turn before had left is folded in too"
    for channel in ("total", "counts", "note"):
        assert max(read.items())[1].point.left[channel] == held.keep(encode(state[channel]))


async def test_a_later_turn_of_a_thread_replays_with_what_it_found(running: Running) -> None:
    thread = str(uuid.uuid4())
    for words in (WORDS, ("delta", "e")):
        value = await running.replay(await running.run({"words": list(words)}, thread))
        assert value["identical"] and value["whole"], value["first_divergence"]


async def test_what_a_person_was_asked_and_said_is_replayed_by_the_run_that_went_on(running: Running) -> None:
    thread = str(uuid.uuid4())
    first = await running.run({"words": ["alpha", "ask"]}, thread)
    second = await running.run(Command(resume="it is"), thread)
    for run, hops in ((first, 10), (second, 11)):
        value = await running.replay(run)
        assert value["identical"] and value["whole"], value["first_divergence"]
        assert len(value["hops"]) == hops, "the line of a run is replayed from its beginning"
    assert value["outcome"] == {"recorded": "answered", "replayed": "answered"}
    assert {hop["run"] for hop in value["hops"]} == {first, second}


@pytest.mark.parametrize("hop", ["count", "inner", "again", "settle"])
async def test_a_run_that_was_stopped_and_taken_up_replays(running: Running, hop: str) -> None:
    thread = str(uuid.uuid4())
    first = await running.run({"words": list(WORDS)}, thread, interrupt_before=[hop])
    second = await running.run(None, thread)
    for run, whole in ((first, False), (second, True)):
        value = await running.replay(run)
        assert (value["identical"], value["whole"]) == (True, whole), value["first_divergence"]


async def test_a_state_that_was_edited_is_replayed_as_it_was_edited(running: Running) -> None:
    thread = str(uuid.uuid4())
    await running.run({"words": ["alpha"]}, thread, interrupt_before=["settle"])
    config = running.house.config(thread, DEVELOPER)
    await running.graph.aupdate_state(config, {"note": "edited"}, as_node="again")
    await running.graph.aupdate_state(config, Command(goto="settle"), as_node="again")
    value = await running.replay(await running.run(None, thread))
    assert value["identical"] and value["whole"], value["first_divergence"]
    assert value["notes"] == ["the state was edited before the hop settle"]


async def test_a_run_that_failed_fails_again_at_its_hop(running: Running) -> None:
    config = running.house.config(str(uuid.uuid4()), DEVELOPER)
    with pytest.raises(RuntimeError, match="fault"):
        await running.graph.ainvoke({"words": ["alpha", "broken"]}, config)
    await running.recorder.writer.drain()
    value = await running.replay(str(config["run_id"]))
    assert value["identical"], value["first_divergence"]
    assert "the graph raised AsRecorded" in value["notes"]
    assert named(value).count("count") >= 1


async def test_a_streamed_run_replays(running: Running) -> None:
    config = running.house.config(str(uuid.uuid4()), DEVELOPER)
    config["configurable"]["run_id"] = str(config["run_id"])
    modes: Any = ["updates", "messages", "custom"]
    async for _ in running.graph.astream({"words": list(WORDS)}, config, stream_mode=modes, subgraphs=True):
        pass
    await running.recorder.writer.drain()
    value = await running.replay(str(config["run_id"]))
    assert value["identical"] and value["whole"], value["first_divergence"]


async def test_another_version_says_so_and_the_first_difference_is_named(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await running.run({"words": ["alpha"]}, str(uuid.uuid4()))
    then = running.tally
    monkeypatch.setitem(then.build.__globals__, "GREETING", "weighed")
    running.tally = replace(then, version="tally:another")
    value = await running.replay(run)
    assert value["notes"][0] == f"the graph was {then.version}, it is tally:another now"
    first = value["first_divergence"]
    assert (first["hop"], first["recorded"], first["replayed"]) == ("count", "counted alpha", "weighed alpha")
    shown = await running.replay(run, AUDITOR)
    assert shown["masked"] and "alpha" not in str(shown)


async def test_a_hop_that_goes_elsewhere_is_named(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    run = await running.run({"words": ["alpha"]}, str(uuid.uuid4()))
    monkeypatch.setitem(running.tally.build.__globals__, "ROUNDS", 2)
    first = (await running.replay(run))["first_divergence"]
    assert (first["what"], first["recorded"], first["replayed"]) == ("next hop", "again", "settle")


async def test_a_graph_that_nobody_names_and_what_nothing_says_are_told_as_such(running: Running) -> None:
    run = await running.run({"words": ["alpha"]}, str(uuid.uuid4()))
    with pytest.raises(NotReplayable, match="does not say which bundle"):
        await running.replay(run, change=Change(then=True))
    running.tally = replace(running.tally, name="other")
    with pytest.raises(NotReplayable, match="'tally', which is not known here") as told:
        await running.replay(run)
    assert "--graphs" in told.value.hint


async def test_it_replays_from_postgresql_among_the_runs_of_a_day(database: Database, tally: Ported) -> None:
    graphs, change = {"tally": tally}, UNCHANGED
    async with recorded_in(database) as house:
        one, by = Running(house, tally), local_administrator()
        run = await one.run({"words": list(WORDS)}, str(uuid.uuid4()))
        await house.ask(principal=DEVELOPER)
        await house.recorder.writer.drain()
        await one.recorder.close()
        value = await replayed(house.served, by, run, change, graphs)
        assert value["identical"] and value["whole"], value["first_divergence"]
        for known, counts in ((graphs, {"same": 2}), ({}, {"same": 1, "failed": 1})):
            all = await replayed_many(house.served, by, change, Stretch(), Bulk(graphs=known))
            assert dict(all.counts) == counts


def test_a_manifest_without_a_graph_over_ports_is_refused() -> None:
    with pytest.raises(SettingsError, match="goes through fiel's ports"):
        load_graphs(PROJECT.parents[1] / "small" / "langgraph.json")
