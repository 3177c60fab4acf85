"""The recorder over real LangGraph graphs, with the store in memory."""

import asyncio
from collections.abc import Mapping, Sequence
from operator import add
from typing import Annotated, Any, TypedDict
from uuid import uuid4

import orjson
import pytest
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.errors import InvalidUpdateError
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import Command, Send, interrupt
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData
from opentelemetry.trace import get_current_span

from fiel.infra.ledger.chain import broken
from fiel.infra.ledger.frames import unpack
from fiel.infra.ledger.keys import Cipher, key_of
from fiel.infra.ledger.recorder import LedgerRecorder
from fiel.infra.ledger.store import Flush, MemoryStore, RecordConflict
from fiel.tools.canonical import digest_of
from fiel.tools.errors import DatabaseUnavailable, UsageError
from fiel.tools.principal import Principal
from fiel.tools.record import Hop

ANA = Principal("acme", "ana", frozenset({"staff"}), frozenset({"reader"}))


class State(TypedDict, total=False):
    messages: Annotated[list[AnyMessage], add_messages]
    question: str
    passages: list[dict[str, Any]]
    parts: Annotated[list[str], add]
    outcome: str
    answer: str


class Caller:
    def __init__(self) -> None:
        self.now = ANA

    def principal(self, config: Mapping[str, Any]) -> Principal:
        return self.now


def recorder(store: MemoryStore | None = None, **more: Any) -> LedgerRecorder:
    return LedgerRecorder(
        store or MemoryStore(),
        Cipher(key_of(b"k" * 32)),
        Caller(),
        redact=lambda text: text.replace("secret", "******"),
        reducers={"messages": add_messages, "parts": add},
        **more,
    )


FIRST = Hop("guard_input", "GUARDRAIL", decisions=("outcome",), shown_in=("question",), first=True)
MIDDLE = Hop("retrieve", "RETRIEVER", shown_out=("passages",))
LAST = Hop("release", "CHAIN", decisions=("outcome",), shown_out=("answer",), terminal=True)
PASSAGE = {"document": "d", "uri": "a.md", "chunk": "c1", "text": "the secret text", "start": 0, "end": 15}


async def guard(state: State, runtime: Any, config: Any) -> dict[str, Any]:
    return {"messages": [HumanMessage("asked")], "question": state.get("question", "") + "?", "outcome": None}


async def retrieve(state: State, runtime: Any, config: Any) -> dict[str, Any]:
    return {"passages": [PASSAGE]}


async def release(state: State, runtime: Any, config: Any) -> dict[str, Any]:
    return {"outcome": "answered", "answer": "yes secret", "messages": [AIMessage("yes secret")]}


def line(recorder: LedgerRecorder, saver: Any = None, middle: Any = retrieve, **compile: Any) -> Any:
    graph = StateGraph(State)
    graph.add_node("guard_input", recorder.wear(FIRST, guard))
    graph.add_node("retrieve", recorder.wear(MIDDLE, middle))
    graph.add_node("release", recorder.wear(LAST, release))
    graph.add_edge(START, "guard_input")
    graph.add_edge("guard_input", "retrieve")
    graph.add_edge("retrieve", "release")
    graph.add_edge("release", END)
    return graph.compile(checkpointer=saver, **compile)


def config(thread: str | None = None) -> dict[str, Any]:
    inner = {"configurable": {"thread_id": thread}} if thread else {}
    return {"run_id": uuid4(), **inner}


def spans(recorder: LedgerRecorder, run: str | None = None) -> list[Any]:
    store = recorder.store
    assert isinstance(store, MemoryStore)
    out = []
    for owner, blob in store.spans:
        if run in (None, owner):
            data = TracesData.FromString(recorder.cipher.open("spans", owner, blob.data, blob.key))
            out += [span for resource in data.resource_spans for scope in resource.scope_spans for span in scope.spans]
    return out


def facts(span: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in span.attributes}


def contents(recorder: LedgerRecorder, run: str) -> dict[str, bytes]:
    store = recorder.store
    assert isinstance(store, MemoryStore)
    return {
        key: data
        for blob in store.contents.get(run, [])
        for key, data in unpack(recorder.cipher.open("frame", run, blob.data, blob.key), b"")
    }


async def test_a_run_is_recorded_and_chained() -> None:
    ledger = recorder(versions={"graph": "g1"})
    setup = config()
    run = str(setup["run_id"])
    state = await line(ledger).ainvoke({"question": "secret", "messages": []}, setup)
    assert state["answer"] == "yes secret"
    sealed = await ledger.store.entries(run)
    assert [orjson.loads(one.body)["hop"] for one in sealed] == ["guard_input", "retrieve", "release"]
    assert broken(sealed, "") is None
    entries = await ledger.history(run)
    assert entries[0].writes["question"] == digest_of("secret?") == entries[1].reads["question"]
    assert entries[2].reads["passages"] == digest_of([PASSAGE])
    assert entries[2].decision == {"outcome": "answered"}
    assert not any(entry.edited for entry in entries)
    kept = contents(ledger, run)
    for entry in entries:
        assert {*entry.reads.values(), *entry.writes.values()} <= kept.keys()
    assert orjson.loads(sealed[0].body)["versions"] == {"graph": "g1"}
    assert orjson.loads(sealed[0].body)["begin"]["caller"]["id"] == "ana"


async def test_a_changed_entry_breaks_the_chain() -> None:
    ledger = recorder()
    setup = config()
    await line(ledger).ainvoke({"question": "q"}, setup)
    sealed = list(await ledger.store.entries(str(setup["run_id"])))
    forged = type(sealed[1])(1, sealed[1].hash, sealed[1].body.replace(b"retrieve", b"retriever"))
    assert broken([sealed[0], forged, sealed[2]], "") == 1
    assert broken([sealed[0], sealed[2]], "") == 1


async def test_spans_nest_and_are_redacted() -> None:
    ledger = recorder()
    setup = config("t1")
    await line(ledger, InMemorySaver()).ainvoke({"question": "my secret"}, setup, durability="exit")
    root = next(span for span in spans(ledger) if span.name == "answer")
    hops = [span for span in spans(ledger) if span.name != "answer"]
    assert [span.name for span in hops] == ["guard_input", "retrieve", "release"]
    assert all(span.parent_span_id == root.span_id and span.trace_id == root.trace_id for span in hops)
    assert root.trace_id.hex() == setup["run_id"].hex
    shown = facts(root)
    assert shown["mlflow.spanType"] == "AGENT"
    assert shown["session.id"] == "t1"
    assert shown["user.id"] == "ana"
    assert orjson.loads(shown["mlflow.spanInputs"]) == {"question": "my ******?"}
    documents = orjson.loads(facts(hops[1])["mlflow.spanOutputs"])
    assert documents[0]["page_content"] == "the ****** text"
    assert documents[0]["metadata"]["doc_uri"] == "a.md"
    assert not any(b"secret" in span.SerializeToString() for span in spans(ledger))
    assert root.start_time_unix_nano <= hops[0].start_time_unix_nano
    assert root.end_time_unix_nano >= hops[-1].end_time_unix_nano


async def test_text_that_cannot_be_redacted_is_not_shown() -> None:
    def broken_redactor(text: str) -> str:
        raise RuntimeError("no patterns")

    ledger = LedgerRecorder(MemoryStore(), Cipher(key_of(b"k" * 32)), Caller(), redact=broken_redactor)
    await line(ledger).ainvoke({"question": "my secret"}, config())
    assert not any(b"secret" in span.SerializeToString() for span in spans(ledger))


async def test_a_run_needs_an_id() -> None:
    with pytest.raises(UsageError, match="needs an id"):
        await line(recorder()).ainvoke({"question": "q"})


@pytest.mark.parametrize("mode", ["values", "updates", "debug"])
async def test_streaming_and_concurrent_runs_keep_their_spans_apart(mode: str) -> None:
    seen: dict[str, set[int]] = {}

    async def look(state: State, runtime: Any, config: Any) -> dict[str, Any]:
        await asyncio.sleep(0.001)
        async with asyncio.TaskGroup() as group:
            group.create_task(deeper(runtime.execution_info.run_id))
        return {"passages": []}

    async def deeper(run: str) -> None:
        seen.setdefault(run, set()).add(get_current_span().get_span_context().trace_id)

    ledger = recorder()
    graph = line(ledger, middle=look)
    setups = [config() for _ in range(8)]

    async def stream(setup: dict[str, Any]) -> None:
        async for _ in graph.astream({"question": "q"}, setup, stream_mode=mode):
            await asyncio.sleep(0)

    await asyncio.gather(*(stream(setup) for setup in setups))
    assert seen == {str(setup["run_id"]): {setup["run_id"].int} for setup in setups}
    assert not get_current_span().get_span_context().is_valid
    for setup in setups:
        assert len(spans(ledger, str(setup["run_id"]))) == 4


async def test_parallel_hops_are_no_edit() -> None:
    ledger = recorder()

    def part(name: str, wait: float) -> Any:
        async def node(state: State, runtime: Any, config: Any) -> dict[str, Any]:
            await asyncio.sleep(wait)
            return {"parts": [name], "messages": [AIMessage(name)]}

        return node

    async def one(state: Any, runtime: Any, config: Any) -> dict[str, Any]:
        return {"parts": [state["item"]]}

    graph = StateGraph(State)
    graph.add_node("guard_input", ledger.wear(FIRST, guard))
    graph.add_node("b", ledger.wear(Hop("b", "CHAIN"), part("b", 0)))
    graph.add_node("a", ledger.wear(Hop("a", "CHAIN"), part("a", 0.01)))
    graph.add_node("join", ledger.wear(Hop("join", "CHAIN"), part("join", 0)))
    graph.add_node("one", ledger.wear(Hop("one", "CHAIN", sent=True), one))
    graph.add_node("release", ledger.wear(LAST, release))
    graph.add_edge(START, "guard_input")
    graph.add_edge("guard_input", "b")
    graph.add_edge("guard_input", "a")
    graph.add_edge(["a", "b"], "join")
    graph.add_conditional_edges("join", lambda state: [Send("one", {"item": str(i)}) for i in range(3)], ["one"])
    graph.add_edge("one", "release")
    setup = config()
    state = await graph.compile().ainvoke({"question": "q"}, setup)
    assert state["parts"] == ["a", "b", "join", "0", "1", "2"]
    entries = await ledger.history(str(setup["run_id"]))
    assert len(entries) == 8
    assert [entry.hop for entry in entries if entry.edited] == []
    assert entries[-1].reads["parts"] == digest_of(["a", "b", "join", "0", "1", "2"])


async def interrupted(ledger: LedgerRecorder, saver: Any, durability: Any) -> tuple[Any, dict[str, Any]]:
    graph = line(ledger, saver, interrupt_before=["release"])
    setup = config("t")
    await graph.ainvoke({"question": "q"}, setup, durability=durability)
    return graph, setup


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
async def test_a_resumed_run_has_its_past(durability: str) -> None:
    ledger = recorder()
    graph, first = await interrupted(ledger, InMemorySaver(), durability)
    second = config("t")
    await graph.ainvoke(None, second, durability=durability)
    entries = await ledger.history(str(second["run_id"]))
    assert [entry.hop for entry in entries] == ["guard_input", "retrieve", "release"]
    assert [entry.run for entry in entries] == [str(first["run_id"])] * 2 + [str(second["run_id"])]
    assert not any(entry.edited for entry in entries)
    sealed = await ledger.store.entries(str(second["run_id"]))
    if durability != "exit":
        before = await ledger.store.entries(str(first["run_id"]))
        assert broken(sealed, before[-1].hash.hex()) is None
    assert orjson.loads(sealed[0].body)["begin"]["resumes"] == {"run": str(first["run_id"]), "seq": 1}


async def test_a_run_resumed_in_another_process_has_its_past() -> None:
    store, saver = MemoryStore(), InMemorySaver()
    _, first = await interrupted(recorder(store), saver, "async")
    other = recorder(store)
    second = config("t")
    await line(other, saver).ainvoke(None, second, durability="async")
    entries = await other.history(str(second["run_id"]))
    assert [entry.run for entry in entries[:2]] == [str(first["run_id"])] * 2
    assert [entry.edited for entry in entries] == [False] * 3


@pytest.mark.parametrize("durability", ["async", "exit"])
@pytest.mark.parametrize("elsewhere", [False, True])
async def test_an_edited_state_is_found(durability: str, elsewhere: bool) -> None:
    store, saver = MemoryStore(), InMemorySaver()
    ledger = recorder(store)
    graph, _ = await interrupted(ledger, saver, durability)
    await graph.aupdate_state({"configurable": {"thread_id": "t"}}, {"passages": [{**PASSAGE, "text": "forged"}]})
    if elsewhere:
        ledger = recorder(store)
        graph = line(ledger, saver)
    second = config("t")
    await graph.ainvoke(None, second, durability=durability)
    entries = await ledger.history(str(second["run_id"]))
    assert entries[-1].hop == "release"
    assert entries[-1].edited
    third = config("t")
    await graph.aupdate_state({"configurable": {"thread_id": "t"}}, {}, as_node="retrieve")
    await graph.ainvoke(None, third, durability=durability)
    assert (await ledger.history(str(third["run_id"])))[-1].edited, "an edited run says so for ever"


async def test_history_within_a_hop_tells_of_the_edit_before_it() -> None:
    told: list[bool] = []
    ledger = recorder()
    saver = InMemorySaver()

    async def ask(state: State, runtime: Any, config: Any) -> dict[str, Any]:
        told.append((await ledger.history(ledger.run_of(runtime, config)))[-1].edited)
        return await release(state, runtime, config)

    def graph(node: Any, **more: Any) -> Any:
        built = StateGraph(State)
        built.add_node("guard_input", ledger.wear(FIRST, guard))
        built.add_node("release", ledger.wear(LAST, node))
        built.add_edge(START, "guard_input")
        built.add_edge("guard_input", "release")
        return built.compile(checkpointer=saver, **more)

    await graph(ask, interrupt_before=["release"]).ainvoke({"question": "q"}, config("t"))
    await graph(ask).aupdate_state({"configurable": {"thread_id": "t"}}, {"question": "another"})
    await graph(ask).ainvoke(None, config("t"))
    assert told == [True]


async def test_jumping_into_the_graph_is_an_edit() -> None:
    ledger = recorder()
    graph = line(ledger, InMemorySaver())
    setup = config("t")
    with pytest.raises(InvalidUpdateError):  # the run begins at its first hop all the same, and both write
        await graph.ainvoke(Command(goto="release", update={"question": "q"}), setup)
    edited = {entry.hop: entry.edited for entry in await ledger.history(str(setup["run_id"]))}
    assert edited["release"]


async def test_another_caller_does_not_inherit() -> None:
    ledger = recorder()
    saver = InMemorySaver()
    graph, _ = await interrupted(ledger, saver, "async")
    ledger._callers.now = Principal("acme", "eve", frozenset(), frozenset({"reader"}))  # type: ignore[attr-defined]
    setup = config("t")
    await graph.ainvoke(None, setup)
    entries = await ledger.history(str(setup["run_id"]))
    assert [entry.hop for entry in entries] == ["release"]
    assert entries[0].edited


async def test_a_follow_up_is_no_edit() -> None:
    ledger = recorder()
    graph = line(ledger, InMemorySaver())
    await graph.ainvoke({"question": "one"}, config("t"))
    setup = config("t")
    await graph.ainvoke({"question": "two"}, setup)
    assert not any(entry.edited for entry in await ledger.history(str(setup["run_id"])))


async def test_a_fork_of_a_finished_run_goes_on_from_where_it_forked() -> None:
    ledger = recorder()
    graph = line(ledger, InMemorySaver())
    first = config("t")
    await graph.ainvoke({"question": "one"}, first)
    history = [one async for one in graph.aget_state_history({"configurable": {"thread_id": "t"}})]
    fork = next(one for one in history if one.next == ("retrieve",))
    setup = {"run_id": uuid4(), **fork.config}
    await graph.ainvoke(None, setup)
    entries = await ledger.history(str(setup["run_id"]))
    assert [entry.hop for entry in entries] == ["guard_input", "retrieve", "release"]
    assert [entry.run for entry in entries] == [str(first["run_id"]), *[str(setup["run_id"])] * 2]
    assert not any(entry.edited for entry in entries)


async def test_an_interrupt_inside_a_hop_is_recorded_and_resumed() -> None:
    ledger = recorder()
    saver = InMemorySaver()

    async def review(state: State, runtime: Any, config: Any) -> dict[str, Any]:
        return {"passages": [{**PASSAGE, "text": interrupt("ok?")}]}

    graph = line(ledger, saver, middle=review)
    first, second = config("t"), config("t")
    await graph.ainvoke({"question": "q"}, first, durability="exit")
    sealed = await ledger.store.entries(str(first["run_id"]))
    assert orjson.loads(sealed[-1].body)["status"] == "interrupted"
    await graph.ainvoke(Command(resume="fine"), second, durability="exit")
    entries = await ledger.history(str(second["run_id"]))
    assert [entry.hop for entry in entries] == ["guard_input", "retrieve", "retrieve", "release"]
    assert not any(entry.edited for entry in entries)


async def test_an_error_is_recorded_by_its_code_alone() -> None:
    async def fails(state: State, runtime: Any, config: Any) -> dict[str, Any]:
        raise DatabaseUnavailable("cannot read 'my secret'")

    ledger = recorder()
    setup = config()
    with pytest.raises(DatabaseUnavailable):
        await line(ledger, middle=fails).ainvoke({"question": "q"}, setup)
    await ledger.writer.drain()
    sealed = await ledger.store.entries(str(setup["run_id"]))
    assert orjson.loads(sealed[-1].body)["status"] == "error:database_unavailable"
    failed = next(span for span in spans(ledger) if span.name == "retrieve")
    assert failed.status.code == 2
    assert failed.status.message == "database_unavailable"
    assert not any(b"secret" in span.SerializeToString() for span in spans(ledger))


async def test_a_cancelled_run_is_flushed() -> None:
    hanging = asyncio.Event()

    async def hangs(state: State, runtime: Any, config: Any) -> dict[str, Any]:
        hanging.set()
        await asyncio.sleep(60)
        return {}

    ledger = recorder()
    setup = config()
    task = asyncio.create_task(line(ledger, middle=hangs).ainvoke({"question": "q"}, setup))
    await hanging.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await ledger.writer.drain()
    sealed = await ledger.store.entries(str(setup["run_id"]))
    assert [orjson.loads(one.body)["status"] for one in sealed] == ["ok", "cancelled:cancelled"]
    root = next(span for span in spans(ledger) if span.name == "answer")
    assert facts(root)["fiel.reason"] == "cancelled"


async def test_abandoned_runs_are_flushed_and_forgotten() -> None:
    ledger = recorder(idle=0.05, evict=0.1)
    graph, setup = await interrupted(ledger, InMemorySaver(), "exit")
    assert await ledger.store.entries(str(setup["run_id"])) == []
    await asyncio.sleep(0.4)
    assert len(await ledger.store.entries(str(setup["run_id"]))) == 2
    assert ledger.live(str(setup["run_id"])) is None
    second = config("t")
    await graph.ainvoke(None, second, durability="exit")
    assert not any(entry.edited for entry in await ledger.history(str(second["run_id"])))


async def test_close_flushes() -> None:
    ledger = recorder()
    _, setup = await interrupted(ledger, InMemorySaver(), "exit")
    assert await ledger.close()
    assert len(await ledger.store.entries(str(setup["run_id"]))) == 2


class Down(MemoryStore):
    """A store that does not answer until it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.down = True

    async def append(self, flushes: Sequence[Flush]) -> None:
        if self.down:
            raise DatabaseUnavailable("down")
        await super().append(flushes)


async def test_nothing_is_released_unrecorded() -> None:
    store = Down()
    ledger = recorder(
        store,
        patience=0.2,
        withheld=lambda run, state: {"outcome": "unavailable", "answer": "Sorry.", "messages": [AIMessage("Sorry.")]},
    )
    setup = config()
    state = await line(ledger).ainvoke({"question": "q"}, setup)
    assert state["outcome"] == "unavailable"
    assert "yes" not in str(state)
    store.down = False
    assert await ledger.writer.drain()
    entries = await ledger.history(str(setup["run_id"]))
    assert [entry.hop for entry in entries] == ["guard_input", "retrieve", "release", "withheld"]
    assert broken(await store.entries(str(setup["run_id"])), "") is None
    last = {span.span_id: span for span in spans(ledger)}
    assert not any(b"yes" in span.SerializeToString() for span in last.values())
    assert ledger.writer.lost == 0


class Refuses(MemoryStore):
    """A store that will never write the flush of that number."""

    def __init__(self, which: int) -> None:
        super().__init__()
        self.which = which

    async def append(self, flushes: Sequence[Flush]) -> None:
        if any(entry.seq == self.which for flush in flushes for entry in flush.entries):
            raise RecordConflict("another entry stands at this place")
        await super().append(flushes)


@pytest.mark.parametrize("which", [0, 1, 2])
async def test_nothing_is_released_where_the_record_has_a_hole(which: int) -> None:
    store = Refuses(which)
    ledger = recorder(store, withheld=lambda run, state: {"outcome": "unavailable", "answer": "Sorry."})
    setup = config("t")
    state = await line(ledger, InMemorySaver()).ainvoke({"question": "q"}, setup, durability="sync")
    assert (state["outcome"], state["answer"]) == ("unavailable", "Sorry.")
    assert ledger.writer.lost == 1
    assert [entry.seq for entry in await store.entries(str(setup["run_id"]))] == [0, 1][:which]


async def test_a_run_under_way_is_not_shared_by_its_id() -> None:
    ledger = recorder()
    going, go = asyncio.Event(), asyncio.Event()

    async def wait(state: State, runtime: Any, config: Any) -> dict[str, Any]:
        going.set()
        await go.wait()
        return {}

    setup = config()
    run = asyncio.create_task(line(ledger, middle=wait).ainvoke({"question": "q"}, setup))
    await going.wait()
    ledger._callers.now = Principal("acme", "bob", frozenset(), frozenset({"reader"}))  # type: ignore[attr-defined]
    with pytest.raises(UsageError, match="in use"):
        await line(ledger).ainvoke({"question": "theirs"}, setup)
    ledger._callers.now = ANA  # type: ignore[attr-defined]
    go.set()
    assert (await run)["outcome"] == "answered"
    entries = await ledger.store.entries(str(setup["run_id"]))
    assert len(entries) == 3
    assert broken(entries, "") is None


async def test_abandoned_runs_cannot_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fiel.infra.ledger.live.MOST", 8)
    ledger = recorder()
    made = [(await interrupted(ledger, InMemorySaver(), "exit"))[1] for _ in range(12)]
    assert sum(ledger.live(str(setup["run_id"])) is not None for setup in made) <= 8
    assert ledger.live(str(made[-1]["run_id"])) is not None
    assert await ledger.writer.drain()
    assert len(await ledger.store.entries(str(made[0]["run_id"]))) == 2


async def test_a_mutating_node_does_not_falsify_digests() -> None:
    async def mutates(state: State, runtime: Any, config: Any) -> dict[str, Any]:
        state["passages"] = [{"text": "mutated"}]
        return {}

    ledger = recorder()
    setup = config()
    await line(ledger, middle=mutates).ainvoke({"question": "q", "passages": [PASSAGE]}, setup)
    entries = await ledger.history(str(setup["run_id"]))
    assert entries[1].reads["passages"] == digest_of([PASSAGE])
