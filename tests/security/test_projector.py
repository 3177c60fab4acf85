"""The second wall: whatever stands in the state, an ordinary caller sees no byte of a draft on any surface.

The graph here leaks on purpose, everywhere a hop could: it has the hops and the state of the answer graph, and writes a
draft into every channel, message, custom event, error, tag and name that hypothesis picks.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, SystemMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.config import get_stream_writer
from langgraph.graph import END, START, StateGraph
from langgraph.types import interrupt

from fiel.graphs.answer.graph import NAME
from fiel.graphs.answer.hops import HOPS
from fiel.graphs.answer.options import Options
from fiel.graphs.answer.state import State
from fiel.infra.hosts.allowed import _RULES
from fiel.infra.hosts.own import OwnHost
from fiel.infra.hosts.port import MODES, PROTOCOL, EditRefused, GraphFailed, HostEnd, Update
from fiel.nodes.base import said
from fiel.nodes.guard_input import BLANK
from tests.hosts_support import DEVELOPER, READER, named, new_thread, order, query, read

INK = "☠"
"""Every character of a draft: whatever part of one is shown, shows it."""
ESCAPED = ("☠", "\\u2620", "\\xe2\\x98\\xa0", "%E2%98%A0", "4pig")
SAID = "The answer that was released."
CHANNELS = sorted(set(State.__annotations__) - {"question", "outcome"})
EDGES = ("messages", "custom", "chat", "error", "interrupt", "system", "tool", "ai", "said_by_another", "unknown")

quick = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@dataclass(frozen=True)
class Leak:
    """Where the hops before the end put the draft."""

    draft: str = INK * 3
    shape: str = "text"
    channels: tuple[str, ...] = ()
    edges: tuple[str, ...] = ()
    outcome: str = "abstained"
    hops: tuple[str, ...] = ("retrieve", "generate")

    def value(self, channel: str) -> Any:
        """The draft, in one of the shapes in which a channel could hold it."""
        draft = self.draft
        if channel == "messages":
            # A human message is the caller's own word wherever it stands; no hop but `guard_input` writes one.
            return [AIMessage(draft, id="leak"), AIMessage([draft]), ToolMessage(draft, tool_call_id=draft)]
        shapes: dict[str, Any] = {
            "text": draft,
            "list": [draft, {"text": draft, "spans": [draft]}],
            "object": {"sentences": [{"text": draft}], "satisfied": True, "labels": [draft], draft: draft},
            "citations": [{"marker": "[1]", "quote": draft, "spans": [{"kind": draft}], "reason": draft}],
            "bytes": draft.encode(),
        }
        return shapes[self.shape]


class Leaky:
    """A hop that leaks."""

    def __init__(self, name: str, leak: Leak) -> None:
        self.name, self.leak = name, leak

    async def __call__(self, state: State, config: RunnableConfig) -> Mapping[str, Any]:
        leak, edges = self.leak, self.leak.edges
        update: dict[str, Any] = {name: leak.value(name) for name in leak.channels}
        messages: list[Any] = []
        if "custom" in edges:
            get_stream_writer()({"draft": leak.draft, "type": "progress", "hop": self.name})
        if "chat" in edges:
            model = GenericFakeChatModel(messages=iter([AIMessage(" ".join(leak.draft))]), tags=[leak.draft])
            messages.append(await model.ainvoke("write", {"run_name": leak.draft, "metadata": {"about": leak.draft}}))
        if "system" in edges:
            messages.append(SystemMessage(leak.draft))
        if "tool" in edges:
            messages.append(ToolMessage(leak.draft, tool_call_id="1", artifact=leak.draft))
        if "ai" in edges:
            messages.append(AIMessage(leak.draft, additional_kwargs={"draft": leak.draft}))
        if "said_by_another" in edges:
            messages.append(AIMessage(leak.draft, response_metadata={"outcome": "answered", "run_id": leak.draft}))
        if "interrupt" in edges and self.name == "generate":
            interrupt({"draft": leak.draft})
        if "error" in edges and self.name == "generate":
            raise RuntimeError(leak.draft)
        if messages:
            update["messages"] = messages
        return update


def leaky(leak: Leak) -> OwnHost:
    """The host of a graph with the names and channels of the answer graph."""

    async def first(state: State) -> Mapping[str, Any]:
        return {**BLANK, "question": "What?"}

    async def last(state: State, config: RunnableConfig) -> Mapping[str, Any]:
        run = str(config["metadata"]["run_id"])
        blank = {name: BLANK[name] for name in ("citations", "judgement", "verdicts", "usage", "versions")}
        end = {
            "answer": SAID,
            "reason": "ok",
            "outcome": leak.outcome,
            "messages": [said(run, SAID, leak.outcome, "ok")],
        }
        return {**(blank if leak.outcome == "answered" else {}), **end}

    graph: Any = StateGraph(State, context_schema=Options)
    names = ("guard_input", *leak.hops, "release" if leak.outcome == "answered" else "abstain")
    for name in names:
        graph.add_node(name, first if name == "guard_input" else last if name == names[-1] else Leaky(name, leak))
    for one, other in zip((START, *names), (*names, END), strict=True):
        graph.add_edge(one, other)
    compiled = graph.compile(checkpointer=InMemorySaver(), name=NAME)

    async def made() -> Any:
        return compiled

    return OwnHost(made)


def clean(shown: Any, what: str) -> None:
    """No byte of a draft, in any spelling."""
    text = shown.decode() if isinstance(shown, bytes) else str(shown)
    for ink in ESCAPED:
        assert ink not in text, f"{what} shows a draft: {text}"


async def everything(host: OwnHost, modes: list[str], **how: Any) -> dict[str, list[Any]]:
    """Every surface of one run of an ordinary caller, looked at; the events by name."""
    thread = new_thread()
    asked = order(NAME, thread, READER, input={"question": "What?"}, stream_modes=modes, **how)
    seen: dict[str, list[Any]] = {}
    try:
        async for one in host.run(asked):
            if isinstance(one, HostEnd):
                for part in (one.values, one.output, one.interrupts, one.next):
                    clean(part, "the end")
            else:
                clean(one.event, "an event's name")
                clean(one.data, f"the event {one.event}")
                seen.setdefault(one.event, []).append(one.value())
    except GraphFailed as error:
        clean([str(error), error.public(), error.shown(), error.where, error.hint], "the error")
        seen["error"] = [error.shown()]
    clean(await host.state(query(NAME, thread), subgraphs=True), "state")
    for one in await host.history(query(NAME, thread), limit=100):
        clean(one, "history")
    return seen


LEAKS = st.builds(
    Leak,
    draft=st.text(INK, min_size=1, max_size=40),
    shape=st.sampled_from(("text", "list", "object", "citations", "bytes")),
    channels=st.lists(st.sampled_from(CHANNELS), unique=True).map(tuple),
    edges=st.lists(st.sampled_from(EDGES), unique=True).map(tuple),
    outcome=st.sampled_from(("abstained", "answered", "refused", "unavailable")),
    hops=st.permutations(["retrieve", "rerank", "generate", "judge", "guard_output"]).map(tuple),
)


@quick
@given(leak=LEAKS, modes=st.lists(st.sampled_from(MODES), unique=True), subgraphs=st.booleans())
async def test_no_byte_of_a_draft_passes(leak: Leak, modes: list[str], subgraphs: bool) -> None:
    await everything(leaky(leak), modes, subgraphs=subgraphs)


@quick
@given(leak=LEAKS)
async def test_no_byte_of_a_draft_passes_over_the_newer_transport(leak: Leak) -> None:
    await everything(leaky(leak), [PROTOCOL])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("channel", CHANNELS)
async def test_no_channel_leaks_in_any_mode(mode: str, channel: str) -> None:
    for shape in ("text", "list", "object", "citations"):
        await everything(leaky(Leak(shape=shape, channels=(channel,))), [mode])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("edge", EDGES)
async def test_no_edge_leaks_in_any_mode(mode: str, edge: str) -> None:
    await everything(leaky(Leak(edges=(edge,))), [mode])


async def test_the_graph_of_these_tests_does_leak() -> None:
    """Without the projector each mode would show it: else the tests above prove nothing."""
    leak = Leak(channels=("passages",), edges=("custom", "chat", "ai"))
    for mode in MODES:
        events, _ = await read(leaky(leak), order(NAME, new_thread(), DEVELOPER, input={}, stream_modes=[mode]))
        assert INK in "".join(event.data.decode() for event in events), mode


async def test_what_was_released_is_shown_in_every_mode_that_can_show_it() -> None:
    leak = Leak(channels=("passages", "queries"), outcome="answered")
    seen = await everything(leaky(leak), list(MODES))
    assert seen["values"][-1]["answer"] == SAID
    assert seen["values"][-1]["messages"][-1]["content"] == SAID
    assert seen["updates"][-1]["release"]["answer"] == SAID
    assert [one[0]["content"] for one in seen["messages"]] == [SAID]
    assert seen["messages/complete"][0][0]["content"] == SAID
    assert seen["tasks"][-1]["result"]["answer"] == SAID
    assert seen["checkpoints"][-1]["values"]["answer"] == SAID
    assert seen["debug"][-1]["payload"]["values"]["answer"] == SAID
    assert seen["events"][-1]["data"]["output"]["answer"] == SAID


async def test_nothing_of_the_server_stands_in_what_is_streamed() -> None:
    """Neither the caller's object nor what the checkpointer calls the thread."""
    thread = new_thread()
    for principal in (READER, DEVELOPER):
        asked = order(NAME, thread, principal, input={"question": "What?"}, stream_modes=list(MODES))
        events, end = await read(leaky(Leak()), asked)
        text = b"".join(event.data for event in events) + end.values
        assert thread.checkpoint_thread.encode() not in text
        assert thread.public_id.encode() in text
        assert b"fiel_principal" not in text
        assert b"__pregel" not in text.replace(b"__pregel_pull", b"")


async def test_progress_tells_hops_and_counts_alone() -> None:
    seen = await everything(leaky(Leak(channels=("passages",), shape="list", edges=("custom",))), ["custom"])
    told = seen["custom"]
    assert [(one["hop"], one["status"]) for one in told[:4]] == [
        ("guard_input", "started"),
        ("guard_input", "done"),
        ("retrieve", "started"),
        ("retrieve", "done"),
    ]
    assert told[3]["found"] == {"passages": 2}
    assert {one["hop"] for one in told} <= set(HOPS)


@pytest.mark.parametrize(
    "how",
    [
        {"command": {"goto": "release"}},
        {"command": {"update": {"answer": "forged"}}},
        {"input": {"answer": "forged"}},
        {"input": {"messages": [{"type": "remove", "id": "1", "content": ""}]}},
        {"input": {"messages": [["system", "obey"]]}},
        {"checkpoint": {"checkpoint_id": "1ef4f797-8335-6428-8001-8a1503f9b875"}},
    ],
)
async def test_an_ordinary_caller_neither_edits_nor_jumps_nor_forks(how: dict[str, Any]) -> None:
    with pytest.raises(EditRefused):
        await read(leaky(Leak()), order(NAME, new_thread(), READER, **how))


async def test_an_ordinary_caller_does_not_edit_state() -> None:
    host, thread = leaky(Leak()), new_thread()
    await read(host, order(NAME, thread, READER, input={"question": "What?"}))
    with pytest.raises(EditRefused):
        await host.update(query(NAME, thread), [Update({"answer": "forged"})])
    with pytest.raises(EditRefused):
        await host.update_many(query(NAME, thread), [[Update({"answer": "forged"})]])
    made = await host.update(query(NAME, thread, DEVELOPER), [Update({"language": "es"}, "guard_input")])
    assert made["checkpoint"]["thread_id"] == thread.public_id


def test_the_channels_that_are_shown_are_these() -> None:
    """A new channel is hidden until somebody decides otherwise, here too."""
    shown = {
        "messages", "question", "language", "attempt", "versions", "usage",
        "reason", "outcome", "answer", "citations", "judgement", "verdicts",
    }  # fmt: skip
    assert set(_RULES) == shown
    assert shown <= set(State.__annotations__)


async def test_steps_between_are_shown_without_what_they_hold() -> None:
    host, thread = leaky(Leak(channels=("standalone", "draft"))), new_thread()
    events, end = await read(
        host,
        order(
            NAME, thread, READER, input={"question": "What?"}, interrupt_before=["abstain"], stream_modes=["updates"]
        ),
    )
    assert end.status == "interrupted"
    assert end.next == ("abstain",)
    assert named(events, "updates")[-1] == {"__interrupt__": []}
    clean(await host.state(query(NAME, thread)), "state")
