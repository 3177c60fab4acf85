"""Graphs of other projects: what they may do, and what they may do to the process that serves them."""

import asyncio
import json
import os
import signal
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore

from fiel.infra.hosts.child import ChildHost, hosted_key, open_child
from fiel.infra.hosts.manifest import load
from fiel.infra.hosts.port import (
    PROTOCOL,
    BadOrder,
    Caller,
    GraphBroken,
    GraphFailed,
    HostEnd,
    HostGone,
    UnknownGraph,
    Update,
)
from fiel.infra.ledger.keys import key_of
from tests.conftest import Urls
from tests.hosts_support import DEVELOPER, READER, named, new_thread, order, query, read

SMALL = Path(__file__).parents[1] / "projects" / "small" / "langgraph.json"
KEY = key_of(b"k" * 32)

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]


class Stores:
    """A store for each caller, in memory."""

    def __init__(self) -> None:
        self.of: dict[str, InMemoryStore] = {}

    def __call__(self, caller: Caller) -> BaseStore:
        return self.of.setdefault(caller.principal.id, InMemoryStore())


@asynccontextmanager
async def serving(path: Path, urls: Urls, **more: Any) -> AsyncIterator[ChildHost]:
    async with open_child(load(path), urls.runtime, urls.owner, KEY, **more) as host:
        yield host


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def host(shared_urls: Urls) -> AsyncIterator[ChildHost]:
    async with serving(SMALL, shared_urls, stores=Stores()) as served:
        yield served


# What graphs do


async def test_an_interrupt_waits_and_is_answered(host: ChildHost) -> None:
    thread = new_thread()
    events, end = await read(host, order("asking", thread, input={"count": 0}, stream_modes=["values", "updates"]))
    assert (end.status, end.next) == ("interrupted", ("ask",))
    (waiting,) = end.interrupts.values()
    assert waiting[0]["value"] == {"question": "how many?", "count": 1}
    assert end.value() == {"count": 1, "steps": ["one"]}
    output = json.loads(end.output)
    assert output["__interrupt__"] == waiting
    assert named(events, "values")[-1]["__interrupt__"][0]["id"] == waiting[0]["id"]
    assert named(events, "updates")[-1]["__interrupt__"][0]["value"]["question"] == "how many?"
    state = await host.state(query("asking", thread))
    assert (state["next"], state["interrupts"]) == (["ask"], waiting)
    assert state["tasks"][0]["interrupts"] == waiting
    _, end = await read(host, order("asking", thread, command={"resume": 7}))
    assert (end.status, end.value()["note"]) == ("success", "7")
    assert (await host.state(query("asking", thread)))["interrupts"] == []


async def test_interrupts_are_answered_by_id(host: ChildHost) -> None:
    thread = new_thread()
    _, end = await read(host, order("asking", thread, input={"count": 0}))
    (waiting,) = end.interrupts.values()
    _, end = await read(host, order("asking", thread, command={"resume": {waiting[0]["id"]: "by id"}}))
    assert end.value()["note"] == "by id"


async def test_commands_update_and_jump(host: ChildHost) -> None:
    thread = new_thread()
    await read(host, order("plain", thread, input={"count": 0}))
    _, end = await read(host, order("plain", thread, command={"update": {"note": "set"}, "goto": "three"}))
    assert (end.value()["note"], end.value()["steps"]) == ("set", ["one", "two", "three", "three"])
    command = {"goto": [{"node": "three", "input": {"count": 100}}], "update": [["note", "pairs"]], "resume": None}
    _, end = await read(host, order("plain", thread, command=command))
    assert (end.value()["count"], end.value()["note"]) == (101, "pairs")


async def test_messages_stream_as_the_sdk_expects(host: ChildHost) -> None:
    said = {"messages": [{"role": "user", "content": "hi"}]}
    modes = ["messages", "messages-tuple", "custom", "events"]
    events, end = await read(host, order("talking", new_thread(), input=said, stream_modes=modes))
    (metadata,) = named(events, "messages/metadata")
    assert metadata["spoken"]["metadata"]["langgraph_node"] == "talk"
    partial = [one[0] for one in named(events, "messages/partial")]
    assert [one["content"] for one in partial] == ["one", "one ", "one two", "one two ", "one two three"]
    assert {one["type"] for one in partial} == {"ai"}
    tuples = named(events, "messages")
    assert "".join(message["content"] for message, _ in tuples) == "one two three"
    assert {message["type"] for message, _ in tuples} == {"AIMessageChunk"}
    assert named(events, "custom") == [{"about": "to talk"}]
    assert "on_chat_model_stream" in {one["event"] for one in named(events, "events")}
    assert end.value()["messages"][-1] | {"content": "one two three", "type": "ai"} == end.value()["messages"][-1]


async def test_subgraphs_have_namespaces_schemas_and_states(host: ChildHost) -> None:
    thread = new_thread()
    asked = order("outer", thread, input={"count": 0}, stream_modes=["updates", "values"], subgraphs=True)
    events, end = await read(host, asked)
    inner = [event.event for event in events if "|" in event.event]
    assert inner
    assert all(name.split("|")[1].startswith("inner:") for name in inner)
    assert (end.status, end.next) == ("interrupted", ("inner",))
    state = await host.state(query("outer", thread), subgraphs=True)
    nested = state["tasks"][0]["state"]
    assert nested["next"] == ["ask"]
    assert nested["checkpoint"]["thread_id"] == thread.public_id
    flat = await host.state(query("outer", thread))
    place = flat["tasks"][0]["checkpoint"]
    assert place["thread_id"] == thread.public_id
    assert (await host.state(query("outer", thread, checkpoint=place)))["next"] == ["ask"]
    assert set(await host.subgraphs("outer")) == {"inner"}
    assert set(await host.subgraphs("outer", namespace="inner", recurse=True)) == {"inner"}
    with pytest.raises(BadOrder):
        await host.subgraphs("outer", namespace="nobody")
    drawn = await host.draw("outer", xray=True)
    assert "inner:ask" in {node["id"] for node in drawn["nodes"]}
    assert "inner:ask" not in {node["id"] for node in (await host.draw("outer"))["nodes"]}
    _, end = await read(host, order("outer", thread, command={"resume": "x"}))
    assert end.value()["steps"][-1] == "after"


async def test_a_graph_that_raises_says_what_it_raised(host: ChildHost) -> None:
    thread = new_thread()
    with pytest.raises(GraphFailed) as raised:
        await read(host, order("raising", thread, input={"count": 0}))
    assert raised.value.shown() == {"error": "Fault", "message": "the fault's own words"}
    state = await host.state(query("raising", thread))
    assert state["next"] == ["fail"]
    assert "the fault's own words" in json.dumps(state["tasks"][0]["error"])


async def test_a_recursion_limit_holds(host: ChildHost) -> None:
    with pytest.raises(GraphFailed) as raised:
        await read(host, order("plain", new_thread(), input={"count": 0}, config={"recursion_limit": 1}))
    assert raised.value.error == "GraphRecursionError"


async def test_a_factory_is_asked_for_each_use(host: ChildHost) -> None:
    for node in ("left", "right"):
        config = {"configurable": {"node": node}}
        _, end = await read(host, order("made", new_thread(), input={"count": 0}, config=config))
        assert end.value()["steps"] == [node]
        assert node in {one["id"] for one in (await host.draw("made", config=config))["nodes"]}
    assert (await host.schemas("made"))["graph_id"] == "made"


async def test_context_and_configurable_fill_each_other(host: ChildHost) -> None:
    for given in ({"context": {"size": 3}}, {"config": {"configurable": {"size": 3}}}):
        _, end = await read(host, order("optioned", new_thread(), input={}, **given))
        assert end.value()["note"].startswith("3 nobody hello")
        assert end.value()["count"] == 3
    for wrong in ({"size": 3, "colour": "red"}, {"colour": "red"}):
        with pytest.raises(BadOrder, match="colour"):
            await read(host, order("optioned", new_thread(), input={}, context=wrong))
    assert (await host.schemas("optioned"))["context_schema"]["properties"].keys() == {"size", "greeting"}


async def test_a_graph_knows_the_user_and_none_of_our_settings(host: ChildHost, monkeypatch: Any) -> None:
    user = {"identity": "ana", "team": "red"}
    _, end = await read(host, order("optioned", new_thread(), input={}, user=user))
    assert end.value()["note"] == "1 ana/ana/red hello []"
    _, other = await read(host, order("optioned", new_thread(), input={}))
    assert "nobody" in other.value()["note"]


async def test_fiels_settings_stay_out_of_the_child(shared_urls: Urls, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIEL_CHAT_KEY", "a secret")
    async with serving(SMALL, shared_urls) as served:
        _, end = await read(served, order("optioned", new_thread(), input={}))
    assert end.value()["note"].endswith("[]")
    assert hosted_key(KEY).secret != KEY.secret


async def test_the_store_is_the_callers_own(host: ChildHost) -> None:
    for seen in (1, 2):
        _, end = await read(host, order("storing", new_thread(), READER, input={}))
        assert (end.value()["count"], end.value()["steps"]) == (seen, [f"read {seen}"])
    assert end.value()["note"] == "[('counts',)] 1"
    _, end = await read(host, order("storing", new_thread(), DEVELOPER, input={}))
    assert end.value()["count"] == 1


async def test_without_a_store_the_graph_is_told(shared_urls: Urls) -> None:
    async with serving(SMALL, shared_urls) as served:
        with pytest.raises(BadOrder, match="no store"):
            await read(served, order("storing", new_thread(), input={}))


async def test_what_has_no_json_is_served_all_the_same(host: ChildHost) -> None:
    thread = new_thread()
    events, end = await read(host, order("typed", thread, input={}, stream_modes=["values", "debug"]))
    assert end.value()["things"] == [{"name": "a", "size": None}]
    assert end.value()["data"] == "AP8="
    assert named(events, "values")[-1] == end.value()
    assert (await host.state(query("typed", thread)))["values"] == end.value()


async def test_a_thread_shows_its_state_and_a_run_its_output(host: ChildHost) -> None:
    thread = new_thread()
    _, end = await read(host, order("narrow", thread, input={"count": 1, "note": "kept"}))
    assert json.loads(end.output) == {"count": 2}
    assert end.value() == {"count": 2, "note": "kept", "steps": ["one"]}
    assert (await host.state(query("narrow", thread)))["values"] == end.value()


async def test_the_newer_transport_has_its_events(host: ChildHost) -> None:
    said = {"messages": [{"role": "user", "content": "hi"}]}
    events, end = await read(host, order("talking", new_thread(), input=said, stream_modes=[PROTOCOL]))
    assert {"values", "messages", "updates", "custom", "checkpoints"} <= {one.event.split("|")[0] for one in events}
    spoken = [one.value()["params"]["data"] for one in events if one.event.startswith("messages")]
    assert spoken[0]["event"] == "message-start"
    deltas = [one["delta"]["text"] for one in spoken if one["event"] == "content-block-delta"]
    assert "".join(deltas) == "one two three"
    assert end.value()["messages"][-1]["content"]


# What graphs do to their process


async def begun(note: Path) -> str:
    """`note` of a run of `slow`, once its node has begun to wait."""
    while not note.with_name(f"{note.name}.begun").exists():  # noqa: ASYNC110 - it begins in another process
        await asyncio.sleep(0.02)
    return str(note)


async def test_a_cancelled_run_has_stopped(host: ChildHost, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    stream: Any = host.run(order("slow", new_thread(), input={"note": str(mark)}, stream_modes=["updates"]))
    await anext(stream)
    await begun(mark)
    await stream.aclose()
    assert mark.read_text() == "cancelled"


async def test_a_cancelled_task_stops_its_run(host: ChildHost, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    task = asyncio.create_task(read(host, order("slow", new_thread(), input={"note": str(mark)})))
    await begun(mark)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert mark.read_text() == "cancelled"
    pid = (await host.child()).pid
    _, end = await read(host, order("plain", new_thread(), input={"count": 0}))
    assert end.status == "success"
    assert (await host.child()).pid == pid, "and nobody else had to pay for it"


@pytest.mark.faults
async def test_a_graph_that_blocks_is_ended_when_it_is_cancelled(host: ChildHost, tmp_path: Path) -> None:
    pid, note = (await host.child()).pid, tmp_path / "block"
    stream: Any = host.run(order("slow", new_thread(), input={"note": str(note)}, stream_modes=["updates"]))
    await anext(stream)
    await begun(note)
    await stream.aclose()
    assert (await host.child()).pid != pid
    _, end = await read(host, order("plain", new_thread(), input={"count": 0}))
    assert end.status == "success"


async def test_a_graph_that_kills_its_process_takes_its_runs_along_and_no_more(host: ChildHost, tmp_path: Path) -> None:
    thread, bystander, note = new_thread(), new_thread(), tmp_path / "beside"
    beside = asyncio.create_task(read(host, order("slow", bystander, input={"note": str(note)})))
    await begun(note)
    with pytest.raises(HostGone):
        await read(host, order("dying", thread, input={"count": 0}, durability="sync"))
    with pytest.raises(HostGone):
        await beside
    assert (await host.state(query("dying", thread)))["next"] == ["die"]
    await host.update(query("dying", thread), [Update({"note": "live"}, "one")])
    _, end = await read(host, order("dying", thread, attempt=2))
    assert (end.status, end.value()["note"]) == ("success", "lived")


async def test_a_killed_child_is_replaced(host: ChildHost, tmp_path: Path) -> None:
    thread, note = new_thread(), tmp_path / "killed"
    asked = order("slow", thread, input={"note": str(note)}, stream_modes=["updates"], durability="sync")
    stream: Any = host.run(asked)
    await anext(stream)
    await begun(note)
    pid = (await host.child()).pid
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(HostGone):
        await anext(stream)
    assert (await host.state(query("slow", thread)))["values"]["steps"] == ["one"]
    assert (await host.child()).pid != pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_a_slow_reader_holds_up_its_own_run_alone(host: ChildHost) -> None:
    """Memory stays bounded, and the other runs of the child go on."""
    thread = new_thread()
    big = {"count": 0, "note": "x" * 400_000}
    stream: Any = host.run(order("plain", thread, input=big, stream_modes=["values", "debug"]))
    await anext(stream)
    await asyncio.sleep(0.5)
    assert (await host.state(query("plain", thread)))["next"], "the run waits for its reader"
    _, end = await read(host, order("plain", new_thread(), input={"count": 0}))
    assert end.status == "success"
    rest = [one async for one in stream]
    assert isinstance(rest[-1], HostEnd)


# Loading


def project(folder: Path, code: str, **keys: Any) -> Path:
    (folder / "agent.py").write_text(code)
    file = folder / "langgraph.json"
    file.write_text(json.dumps({"graphs": {"agent": "./agent.py:graph"}, **keys}))
    return file


WORKING = """
from typing import TypedDict
from langgraph.graph import END, START, StateGraph
class State(TypedDict, total=False):
    said: str
"""
GRAPH = """
graph = StateGraph(State)
graph.add_node("say", lambda state: {"said": WORDS})
graph.add_edge(START, "say")
graph.add_edge("say", END)
"""


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("import no_such_module_anywhere\n", "no_such_module_anywhere"),
        ("def broken(:\n", "SyntaxError"),
        ("raise SystemExit('away')\n", "SystemExit"),
        ("other = 1\n", "there is no 'graph'"),
        ("graph = 7\n", "is no graph"),
        ("def graph(one, two, three): ...\n", "takes a config and a ServerRuntime"),
        ("import os; os._exit(3)\n", "status 3"),
    ],
)
async def test_what_does_not_load_stops_the_start_and_says_why(
    tmp_path: Path, shared_urls: Urls, code: str, says: str
) -> None:
    with pytest.raises(GraphBroken, match=says):
        async with serving(project(tmp_path, code), shared_urls):
            pass


async def test_a_module_that_hangs_is_given_up(tmp_path: Path, shared_urls: Urls) -> None:
    begun = time.monotonic()
    with pytest.raises(GraphBroken, match="longer than"):
        async with serving(project(tmp_path, "import time; time.sleep(60)\n"), shared_urls, patience=2.5):
            pass
    assert time.monotonic() - begun < 20


async def test_a_project_has_its_modules_folders_and_environment(tmp_path: Path, shared_urls: Urls) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "wording_of_project.py").write_text("import os\nWORDS = os.environ['WORDS']\n")
    (tmp_path / "types.py").write_text("raise RuntimeError('shadows the standard library')\n")
    (tmp_path / ".env").write_text("# words\nexport WORDS='said of env' # so\nOTHER=1\n")
    code = "from wording_of_project import WORDS\n" + WORKING + GRAPH
    async with serving(project(tmp_path, code, dependencies=["."], env=".env"), shared_urls) as served:
        _, end = await read(served, order("agent", new_thread(), input={}))
        assert end.value() == {"said": "said of env"}
        with pytest.raises(UnknownGraph):
            served.description("other")


async def test_a_graph_of_a_module_and_one_without_a_name(tmp_path: Path, shared_urls: Urls) -> None:
    (tmp_path / "module_of_project.py").write_text(WORKING + "WORDS = 'm'\n" + GRAPH)
    graphs = {"named": "module_of_project:graph", "first": "./module_of_project.py"}
    file = project(tmp_path, "", graphs=graphs)
    async with serving(file, shared_urls) as served:
        for graph_id in graphs:
            _, end = await read(served, order(graph_id, new_thread(), input={}))
            assert end.value() == {"said": "m"}


async def test_checkpoints_lie_encrypted_and_the_ledgers_key_stays_out(host: ChildHost, shared_urls: Urls) -> None:
    import psycopg

    thread, words = new_thread(), f"words {uuid.uuid4()}"
    await read(host, order("plain", thread, input={"count": 0, "note": words}))
    async with await psycopg.AsyncConnection.connect(shared_urls.owner) as connection:
        await connection.execute("SET ROLE fiel_owner")
        rows: list[Mapping[str, Any]] = []
        for table in ("checkpoints", "checkpoint_blobs", "checkpoint_writes"):
            cursor = await connection.execute(f"SELECT t::text FROM fiel.{table} t")
            rows += await cursor.fetchall()
    assert rows
    assert words not in str(rows)
    assert words.encode().hex() not in str(rows)
