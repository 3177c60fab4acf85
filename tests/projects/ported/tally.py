"""A graph over fiel's ports as another project would write it: fan-out, loop, subgraph, reducers, and a question."""

import asyncio
import time
import uuid
from operator import add
from typing import Annotated, Any, TypedDict

from langchain_core.messages import AIMessage, AnyMessage
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import Command, RetryPolicy, Send, interrupt

from fiel.graphs.services import Services
from fiel.infra.ledger.calls import recorded
from fiel.tools.record import Hop

GREETING, ROUNDS = "counted", 3
FAILED: set[str] = set()
"""Words that the tool has refused once."""


class State(TypedDict, total=False):
    words: list[str]
    counts: Annotated[list[int], add]
    total: Annotated[int, add]
    rounds: int
    note: str
    messages: Annotated[list[AnyMessage], add_messages]
    outcome: str


class Part(TypedDict, total=False):
    note: str
    total: Annotated[int, add]


class Flaky(ConnectionError):
    """What a tool says now and then."""


async def _ask(what: str) -> Any:
    return interrupt(what)


async def _length(word: str) -> int:
    await asyncio.sleep(0.02 / len(word))  # the longest word ends first, and a replay waits for none
    if word == "broken":
        raise RuntimeError("a fault of the tool's own")
    if word.startswith("flaky") and word not in FAILED:
        FAILED.add(word)
        raise Flaky("not now")
    return len(word)


async def _now() -> int:
    return time.time_ns() // 1000


async def _id() -> str:
    return str(uuid.uuid4())


def _each(state: State) -> list[Send]:
    return [Send("count", {"word": one}) for one in state["words"]]


def build(services: Services) -> StateGraph[Any, Any, Any, Any]:
    clock, fresh, length, ask = (
        recorded("clock", _now, again=True), recorded("id", _id, again=True),
        recorded("length", _length), recorded("ask", _ask),
    )  # fmt: skip
    wear = services.recorder.wear

    async def begin(state: State, runtime: Any, config: Any) -> dict[str, Any]:
        return {"rounds": 0, "note": f"at {await clock()}"}

    async def count(state: dict[str, Any], runtime: Any, config: Any) -> dict[str, Any]:
        size = await length(state["word"])
        return {"counts": [size], "total": size, "messages": [AIMessage(f"{GREETING} {state['word']}")]}

    async def stamp(state: Part, runtime: Any, config: Any) -> dict[str, Any]:
        return {"note": f"{state.get('note', '')} {await fresh()}", "total": 1}

    async def again(state: State, runtime: Any, config: Any) -> Any:
        rounds = state.get("rounds", 0) + 1
        return Command(update={"rounds": rounds}, goto="again" if rounds < ROUNDS else "settle")

    async def settle(state: State, runtime: Any, config: Any) -> dict[str, Any]:
        if "ask" in state["words"]:
            return {"outcome": "answered", "note": str(await ask(f"{state['total']} letters, is that right?"))}
        return {"outcome": "answered"}

    inner: StateGraph[Any, Any, Any, Any] = StateGraph(Part)
    inner.add_node("stamp", wear(Hop("stamp", "CHAIN"), stamp))
    inner.add_node("seal", wear(Hop("seal", "CHAIN"), stamp))
    inner.add_edge(START, "stamp")
    inner.add_edge("stamp", "seal")
    inner.add_edge("seal", END)
    graph: StateGraph[Any, Any, Any, Any] = StateGraph(State)
    graph.add_node("begin", wear(Hop("begin", "CHAIN", first=True), begin))
    sent = Hop("count", "TOOL", sent=True)
    graph.add_node("count", wear(sent, count), retry_policy=RetryPolicy(max_attempts=4, initial_interval=0.001))
    graph.add_node("inner", inner.compile())
    graph.add_node("again", wear(Hop("again", "CHAIN"), again), destinations=("again", "settle"))
    last = Hop("settle", "CHAIN", decisions=("outcome",), terminal=True)
    graph.add_node("settle", wear(last, settle))
    graph.add_edge(START, "begin")
    graph.add_conditional_edges("begin", _each, ["count"])
    graph.add_edge("count", "inner")
    graph.add_edge("inner", "again")
    graph.add_edge("settle", END)
    return graph


bare = StateGraph(State).add_node("one", lambda state: {"note": "x"}).add_edge(START, "one")
