"""Subgraphs as hops of their own: nobody has edited what they leave, and they replay wherever they stand."""

import uuid
from collections.abc import AsyncIterator
from operator import add
from typing import Annotated, Any, TypedDict

import pytest
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, Send, interrupt

from fiel.graphs.services import Services
from fiel.infra.ledger.calls import recorded
from fiel.infra.replay.graphs import ported
from fiel.tools.record import Hop
from tests.graph.conftest import DEVELOPER, House
from tests.graph.test_replay_ported import Running


class Seen(TypedDict, total=False):
    seen: Annotated[list[str], add]


class Note(TypedDict, total=False):
    note: str


class State(Seen, Note, total=False):
    outcome: str


async def _ask(what: str) -> Any:
    return interrupt(what)


def build(services: Services) -> StateGraph[Any, Any, Any, Any]:
    """A subgraph that asks begins the run; then two side by side, two that are sent, one in another, one that says
    where to go, and one that ends the run."""
    wear, ask = services.recorder.wear, recorded("ask", _ask)

    def graph(schema: Any, name: str, node: Any, **more: Any) -> Any:
        inner: StateGraph[Any, Any, Any, Any] = StateGraph(schema)
        inner.add_node(name, node if hasattr(node, "ainvoke") else wear(Hop(name, "CHAIN", **more), node))
        return inner.add_edge(START, name).add_edge(name, END).compile()

    def says(word: str) -> Any:
        async def said(state: Seen, runtime: Any, config: Any) -> dict[str, Any]:
            return {"seen": [f"{word} after {len(state['seen'])}"]}

        return said

    async def asks(state: Note, runtime: Any, config: Any) -> dict[str, Any]:
        return {"note": str(await ask("which?")) if state["note"] == "ask" else "begun"}

    async def leads(state: Note, runtime: Any, config: Any) -> Any:
        return Command(update={"note": f"{state['note']}, and led"}, goto="last", graph=Command.PARENT)

    async def ends(state: State, runtime: Any, config: Any) -> dict[str, Any]:
        return {"outcome": "answered"}

    whole: StateGraph[Any, Any, Any, Any] = StateGraph(State)
    whole.add_node("begin", graph(Note, "asks", asks))
    whole.add_node("left", graph(Seen, "one", says("left")))
    whole.add_node("right", graph(Seen, "two", graph(Seen, "inmost", says("right"))))
    whole.add_node("each", graph(Seen, "three", says("each")))
    whole.add_node("lead", graph(Note, "leads", leads), destinations=("last",))
    whole.add_node("last", graph(State, "ends", ends, terminal=True, decisions=("outcome",)))
    whole.add_edge(START, "begin").add_edge("begin", "left").add_edge("begin", "right")
    whole.add_conditional_edges("right", lambda state: [Send("each", {"seen": [one]}) for one in "ab"], ["each"])
    whole.add_edge("each", "lead")
    return whole


@pytest.fixture
async def running(recorded: House) -> AsyncIterator[Running]:
    one = Running(recorded, ported("nest", build))
    yield one
    await one.recorder.close()


async def edited(running: Running, run: str) -> list[str]:
    """Hops that say that somebody had edited the state."""
    return [one.hop for one in await running.recorder.history(run) if one.edited]


async def replays(running: Running, run: str) -> list[str]:
    """What replays, to the byte: its hops."""
    value = await running.replay(run)
    assert value["identical"] and value["whole"], value["first_divergence"]
    return [hop["node"] for hop in value["hops"]]


HOPS = [
    "asks", "begin", "one", "inmost", "left", "two", "right", "three", "three", "each", "each",
    "leads", "lead", "ends", "last",
]  # fmt: skip


async def test_nobody_has_edited_what_subgraphs_leave_and_it_replays(running: Running) -> None:
    run = await running.run({"note": "go", "seen": []}, str(uuid.uuid4()))
    assert await edited(running, run) == []
    assert sorted(await replays(running, run)) == sorted(HOPS)
    assert running.recorder.live(run) is None, "a run that ended inside a subgraph is over"


async def test_nor_where_a_subgraph_asks_and_another_run_goes_on(running: Running) -> None:
    thread = str(uuid.uuid4())
    first = await running.run({"note": "ask", "seen": []}, thread)
    second = await running.run(Command(resume="it"), thread)
    assert [*await edited(running, first), *await edited(running, second)] == []
    assert await replays(running, first) == ["asks", "begin"]
    assert sorted(await replays(running, second)) == sorted(["asks", "begin", *HOPS])


@pytest.mark.parametrize(
    ("before", "after", "first"), [(["lead"], "each", "leads"), (["left", "right"], "begin", "one")]
)
async def test_an_edit_behind_a_subgraph_is_found(running: Running, before: list[str], after: str, first: str) -> None:
    thread = str(uuid.uuid4())
    await running.run({"note": "go", "seen": []}, thread, interrupt_before=before)
    await running.graph.aupdate_state(running.house.config(thread, DEVELOPER), {"note": "edited"}, as_node=after)
    run = await running.run(None, thread)
    assert sorted(await edited(running, run)) == sorted(HOPS[HOPS.index(first) :])
    assert len(await replays(running, run)) == len(HOPS)
    assert (await running.replay(run))["notes"] == [f"the state was edited before the hop {before[0]}"]
