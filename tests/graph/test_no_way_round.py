"""No way round: no surface shows a draft before its release, and no edit, jump or crash forges an answer."""

import contextlib
import uuid
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.errors import InvalidUpdateError
from langgraph.types import Command

from fiel.graphs.answer.options import Options
from fiel.infra.answering import answer_object
from fiel.infra.callers import KEY
from tests.graph.conftest import DEVELOPER, DRAFT, READER, House

MODES = ["values", "updates", "debug", "tasks", "checkpoints", "messages", "custom"]
WITHHELD = ["unsupported", "not_answered", "context", "output", "crash"]
HOPS = [
    "guard_input", "rewrite", "retrieve", "rerank", "guard_context", "generate",
    "judge", "guard_output", "release", "abstain", "refuse", "fail", "hold", "review",
]  # fmt: skip

ENDS = {"abstain", "refuse", "fail"}

quick = settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def shows_draft(value: Any, house: House) -> bool:
    """Whether the words of the draft stand in `value` anywhere but in the passages they were quoted from."""
    text = str(value).replace(str(house.models.passage()), "")
    return "Draft-only" in text


def withhold(house: House, how: str) -> None:
    """Let the model write something that stands nowhere else, and let `how` keep it from the caller."""
    house.models.writes, house.models.written = True, f"Draft-only words: {DRAFT} [1]"
    house.policies.broken = None
    house.models.label, house.models.answered = "supported", 0.9
    house.models.faults.clear()
    if how in ("unsupported",):
        house.models.label = how
    elif how == "not_answered":
        house.models.answered = 0.1
    elif how == "crash":

        async def crash() -> Any:
            raise SystemError("Draft-only words are in the message of this error")

        house.models.faults["judge"] = crash
    else:
        house.policies.broken = how  # type: ignore[assignment]


@quick
@given(how=st.sampled_from(WITHHELD), modes=st.lists(st.sampled_from(MODES), min_size=1, unique=True))
async def test_no_stream_shows_a_withheld_draft(house: House, how: str, modes: Any) -> None:
    withhold(house, how)
    config = house.config(principal=READER)
    seen = [
        event
        async for event in house.graph.astream(
            {"messages": [HumanMessage("What does the vault hold?")]}, config, context=Options(), stream_mode=modes
        )
    ]
    assert seen or modes == ["custom"]
    assert not shows_draft(seen, house)
    state = await house.graph.aget_state(config)
    assert state.values["outcome"] != "answered"
    assert not shows_draft(state, house)
    async for snapshot in house.graph.aget_state_history(config):
        assert not shows_draft(snapshot, house)
    async for saved in house.graph.checkpointer.alist(config):  # type: ignore[union-attr]
        assert not shows_draft(saved, house)


@pytest.mark.parametrize("how", WITHHELD)
async def test_no_event_shows_a_withheld_draft(house: House, how: str) -> None:
    withhold(house, how)
    events = [
        event
        async for event in house.graph.astream_events(
            {"messages": [HumanMessage("What does the vault hold?")]},
            house.config(principal=READER),
            context=Options(),
            version="v2",
        )
    ]
    assert events
    assert not shows_draft(events, house)


async def test_a_draft_is_unseen_until_its_release_and_seen_after(house: House) -> None:
    house.models.writes, house.models.written = True, f"Draft-only words: {DRAFT} [1]"
    config = house.config(principal=READER)
    before = []
    async for event in house.graph.astream(
        {"messages": [HumanMessage("What?")]}, config, context=Options(), stream_mode="updates"
    ):
        if "release" in event:
            assert "Draft-only" in event["release"]["answer"]
        else:
            before.append(event)
    assert len(before) == 8
    assert not shows_draft(before, house)


FORGED: dict[str, Any] = {
    "outcome": "answered",
    "reason": "ok",
    "answer": "forged",
    "draft": "f" * 64,
    "judgement": {"draft": "f" * 64, "satisfied": True, "labels": ["supported"], "scores": ["1.000000"]},
    "checked": {"draft": "f" * 64, "released": "f" * 64, "action": "allow", "policy": "x"},
    "relevant": True,
    "passages": [],
    "queries": ["q"],
    "question": "another question",
    "standalone": "another question",
    "failure": "",
}


async def _interrupted(house: House, before: str, config: Any) -> None:
    await house.graph.ainvoke(
        {"messages": [HumanMessage("What does the vault hold?")]}, config, context=Options(), interrupt_before=[before]
    )


async def _answers(house: House, config: Any) -> list[AIMessage]:
    """Every released answer in any checkpoint of the thread, and in the writes that wait beside it."""
    found: list[Any] = []
    async for saved in house.graph.checkpointer.alist(config):  # type: ignore[union-attr]
        found += saved.checkpoint["channel_values"].get("messages", [])
        for _, channel, value in saved.pending_writes or []:
            found += value if channel == "messages" and isinstance(value, list) else []
    return [
        message for message in found
        if isinstance(message, AIMessage) and message.response_metadata.get("outcome") == "answered"
    ]  # fmt: skip


@quick
@given(
    before=st.sampled_from(HOPS[1:9]),
    as_node=st.sampled_from(HOPS),
    channels=st.sets(st.sampled_from(sorted(FORGED)), min_size=1),
    principal=st.sampled_from([READER, DEVELOPER]),
)
async def test_editing_forges_no_answer(
    house: House, before: str, as_node: str, channels: set[str], principal: Any
) -> None:
    config = house.config(principal=principal)
    await _interrupted(house, before, config)
    values = (await house.graph.aget_state(config)).values
    # Who writes into every channel what stood there already has edited nothing.
    edited = any(values.get(name) != FORGED[name] for name in channels)
    await house.graph.aupdate_state(config, {name: FORGED[name] for name in channels}, as_node=as_node)
    run = uuid.uuid4()
    state = await house.graph.ainvoke(None, {**config, "run_id": run}, context=Options())
    released = [
        message for message in state["messages"]
        if isinstance(message, AIMessage) and message.response_metadata.get("outcome") == "answered"
    ]  # fmt: skip
    if principal is READER and edited:
        # Nothing that an ordinary caller edits is ever released.
        assert released == []
    # A hop that ended the run has spoken for itself. Where the edit stood for the end, no hop ran: what was written
    # into a channel stays their own words, and the answer object does not take it for an answer.
    over = as_node in ENDS or (as_node == "release" and "outcome" in channels)
    spoken = [message for message in state["messages"] if message.id == f"{run}:answer"]
    assert bool(spoken) != over
    for message in spoken:
        assert state["answer"] == message.content != "forged"
        assert state["outcome"] == message.response_metadata["outcome"]
    answer = answer_object(str(run), None, state, {})
    assert answer["answer"] != "forged"
    assert (answer["outcome"] == "answered") == answer["judgement"]["supported"] == bool(released)
    for message in released:
        assert message.content == f"{DRAFT} [1]"
        assert message.response_metadata["reason"] == ("edited" if edited else "ok")


@quick
@given(goto=st.sampled_from(HOPS), update=st.sets(st.sampled_from(sorted(FORGED))), principal=st.sampled_from([READER]))
async def test_jumping_forges_no_answer(house: House, goto: str, update: set[str], principal: Any) -> None:
    config = house.config(principal=principal)
    await _interrupted(house, "judge", config)
    command: Any = Command(goto=goto, update={name: FORGED[name] for name in update})
    # Where the jump and the interrupted hop meet in one step, LangGraph itself may refuse.
    with contextlib.suppress(InvalidUpdateError):
        await house.graph.ainvoke(command, {**config, "run_id": uuid.uuid4()}, context=Options())
    assert {message.content for message in await _answers(house, config)} <= {f"{DRAFT} [1]"}


@pytest.mark.parametrize("hop", ["release", "guard_output", "judge"])
async def test_a_jump_on_a_fresh_thread_releases_nothing(house: House, hop: str) -> None:
    config = house.config()
    # The jump runs beside the first hop, and LangGraph refuses the two writes to one channel.
    with contextlib.suppress(InvalidUpdateError):
        await house.graph.ainvoke(Command(goto=hop, update=FORGED), config, context=Options())
    assert await _answers(house, config) == []


async def test_a_run_that_was_interrupted_goes_on_and_answers(house: House) -> None:
    config = house.config(principal=READER)
    await _interrupted(house, "judge", config)
    state = await house.graph.ainvoke(None, {**config, "run_id": uuid.uuid4()}, context=Options())
    assert (state["outcome"], state["reason"]) == ("answered", "ok")


async def test_an_edited_run_says_so_for_ever(house: House) -> None:
    config = house.config(principal=DEVELOPER)
    await _interrupted(house, "rerank", config)
    edited = {**house.models.passage(), "title": "Edited"}
    await house.graph.aupdate_state(config, {"passages": [edited]})
    state = await house.graph.ainvoke(None, {**config, "run_id": uuid.uuid4()}, context=Options())
    assert (state["outcome"], state["reason"]) == ("answered", "edited")


async def test_another_caller_cannot_continue_a_run(house: House) -> None:
    config = house.config(principal=DEVELOPER, thread="shared")
    await _interrupted(house, "release", config)
    config["configurable"][KEY] = READER
    state = await house.graph.ainvoke(None, {**config, "run_id": uuid.uuid4()}, context=Options())
    assert state["outcome"] == "unavailable"
    assert "xylophone" not in str({**state, "passages": []})
