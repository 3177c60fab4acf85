"""Graphs as other projects write them: what the tests of graph hosts serve."""

import asyncio
import os
import signal
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypedDict

from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, AnyMessage
from langchain_core.runnables import RunnableConfig
from langgraph.config import get_stream_writer
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.graph.message import add_messages
from langgraph.runtime import Runtime
from langgraph.store.base import BaseStore
from langgraph.types import interrupt
from langgraph_sdk.runtime import ServerRuntime


class Count(TypedDict, total=False):
    count: int
    steps: Annotated[list[str], lambda old, new: [*old, *new]]
    note: str


def step(name: str) -> Any:
    async def node(state: Count) -> Count:
        return {"count": state.get("count", 0) + 1, "steps": [name]}

    return node


def line(schema: Any, **nodes: Any) -> StateGraph:
    graph: StateGraph = StateGraph(schema)
    for name, node in nodes.items():
        graph.add_node(name, node)
    for one, other in zip((START, *nodes), (*nodes, END), strict=True):
        graph.add_edge(one, other)
    return graph


plain = line(Count, one=step("one"), two=step("two"), three=step("three")).compile()


async def ask(state: Count) -> Count:
    answer = interrupt({"question": "how many?", "count": state["count"]})
    return {"note": f"{answer}", "steps": ["ask"]}


asking = line(Count, one=step("one"), ask=ask, three=step("three")).compile()


async def talk(state: MessagesState, config: RunnableConfig) -> Any:
    get_stream_writer()({"about": "to talk"})
    model = GenericFakeChatModel(messages=iter([AIMessage("one two three", id="spoken")]))
    return {"messages": [await model.ainvoke(state["messages"])]}


talking = line(MessagesState, talk=talk)


class Fault(Exception):
    """A fault of the project's own."""


async def fail(state: Count) -> Count:
    raise Fault("the fault's own words")


raising = line(Count, one=step("one"), fail=fail).compile()


async def wait(state: Count) -> Count:
    file = os.environ.get("SMALL_CANCELLED", "")
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        if state.get("note"):
            with open(state["note"], "w") as out:  # noqa: PTH123, ASYNC230
                out.write("cancelled" + file)
        raise
    return {}


async def block(state: Count) -> Count:
    if note := state.get("note"):
        Path(f"{note}.begun").touch()  # noqa: ASYNC240
    if note and note.endswith("block"):
        time.sleep(60)  # noqa: ASYNC251
    return await wait(state)


slow = line(Count, one=step("one"), wait=block).compile()

outer = line(Count, before=step("before"), inner=asking, after=step("after")).compile()


@asynccontextmanager
async def made(config: RunnableConfig, runtime: ServerRuntime) -> Any:
    """A factory, which sees who asks and why."""
    named = config["configurable"].get("node", "one")
    assert runtime.access_context
    yield line(Count, **{named: step(named)}).compile()


@dataclass
class Options:
    size: int = 1
    greeting: str = ""


async def opt(state: Count, runtime: Runtime[Options], config: RunnableConfig) -> Count:
    user = config["configurable"].get("langgraph_auth_user")
    who = f"{user.identity}/{user['identity']}/{user.team}" if user else "nobody"
    secrets = [name for name in os.environ if name.startswith("FIEL_")]
    note = f"{runtime.context.size} {who} {os.environ.get('SMALL_GREETING')} {secrets}"
    return {"note": note, "count": config["configurable"].get("size", 0)}


def with_options() -> StateGraph:
    graph: StateGraph = StateGraph(Count, context_schema=Options)
    graph.add_node("opt", opt)
    graph.add_edge(START, "opt")
    graph.add_edge("opt", END)
    return graph


optioned = with_options().compile()


async def keep(state: Count, store: BaseStore) -> Count:
    found = await store.aget(("counts",), "last")
    seen = found.value["count"] if found else 0
    await store.aput(("counts",), "last", {"count": seen + 1})
    spaces = await store.alist_namespaces(prefix=("counts",))
    hits = await store.asearch(("counts",), limit=5)
    return {"count": seen + 1, "note": f"{spaces} {len(hits)}"}


def keep_too(state: Count, store: BaseStore) -> Count:
    found = store.get(("counts",), "last")
    return {"steps": [f"read {found.value['count'] if found else 0}"]}


storing = line(Count, keep=keep, keep_too=keep_too).compile()


async def die(state: Count) -> Count:
    if state.get("note") != "live":
        os.kill(os.getpid(), signal.SIGKILL)
    return {"note": "lived"}


dying = line(Count, one=step("one"), die=die).compile()


@dataclass
class Thing:
    name: str
    size: float


class Things(TypedDict, total=False):
    things: list[Thing]
    data: bytes
    messages: Annotated[list[AnyMessage], add_messages]


async def fill(state: Things) -> Things:
    return {"things": [Thing("a", float("nan"))], "data": b"\x00\xff"}


typed = line(Things, fill=fill).compile()


class Shown(TypedDict):
    count: int


narrow_builder: StateGraph = StateGraph(Count, output_schema=Shown)
narrow_builder.add_node("one", step("one"))
narrow_builder.add_edge(START, "one")
narrow_builder.add_edge("one", END)
narrow = narrow_builder.compile()
