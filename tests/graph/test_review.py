"""Human review: what waits, what a decision does, and that nothing but a decision lets anything go on."""

import contextlib
import uuid
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.errors import InvalidUpdateError
from langgraph.types import Command

from fiel.graphs.answer.graph import NAME, build
from fiel.graphs.answer.options import Options
from fiel.infra.hosts.own import OwnHost
from fiel.infra.hosts.port import MODES, PROTOCOL
from fiel.policies.terms import Terms
from fiel.policies.types import Decision, Span, Verdict
from fiel.tools.review import Case, MemoryReviews, Ruling
from tests.graph.conftest import DEVELOPER, DRAFT, READER, House
from tests.hosts_support import new_thread, order, query, read

AT = "2026-01-02T03:04:05+00:00"
quick = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@pytest.fixture
def reviewed(house: House) -> House:
    """The house with reviewers, and a bundle that sends drafts about the vault to them."""
    from dataclasses import replace

    house.reviews = MemoryReviews()
    house.services = replace(house.services, reviews=house.reviews)
    house.graph = build(house.services, InMemorySaver())
    wants(house, "output")
    return house


def wants(house: House, stage: Any, texts: tuple[str, ...] = ("xylophone", "vault")) -> None:
    """Let a check of `stage` want a review of what speaks of any of `texts`."""
    usual = type(house.policies).check

    async def check(bundle: Any, at: Any, parts: Any, facts: Any = None) -> Decision:
        hit = next((n for n, part in enumerate(parts) for text in texts if text in part), None)
        if at != stage or hit is None:
            return await usual(house.policies, bundle, at, parts, facts)
        span = Span(hit, 0, 3, "word")
        verdict = Verdict("words", at, bundle.version, "review", "1.000000", "0.500000", "sensitive", (span,))
        return Decision("review", (verdict,), tuple(parts), "sensitive")

    house.policies.check = check  # type: ignore[method-assign]


async def waiting(house: House, config: Any) -> tuple[dict[str, Any], str, Case]:
    """Ask; the state, and what waits for a person."""
    state = await house.graph.ainvoke(
        {"messages": [HumanMessage("What does the vault hold?")]}, config, context=Options()
    )
    ((review, (_, case)),) = house.reviews.cases.items()
    return state, review, case


async def resumed(house: House, config: Any, payload: Any = None) -> dict[str, Any]:
    return await house.graph.ainvoke(
        Command(resume=payload or {"decision": "approve"}), {**config, "run_id": uuid.uuid4()}, context=Options()
    )


def ruling(case: Case, decision: Any, **more: Any) -> Ruling:
    return Ruling(case.subject, decision, "rita", AT, "read", **more)


async def test_a_draft_waits_and_the_caller_learns_only_that(reviewed: House) -> None:
    config = reviewed.config(principal=READER)
    state, _, case = await waiting(reviewed, config)
    assert (state["outcome"], state["reason"]) == ("pending", "under_review")
    assert state["answer"] == state["messages"][-1].content == "A person reviews this before it is answered."
    assert "xylophone" not in str({**state, "passages": []})
    (task,) = (await reviewed.graph.aget_state(config)).tasks
    assert task.name == "review"
    assert "xylophone" not in str(task)
    assert case.dossier["question"] == "What does the vault hold?"
    assert case.dossier["draft"]["answer"] == f"{DRAFT} [1]"
    assert case.dossier["parts"][0] == f"{DRAFT} [1]"
    assert case.dossier["verdicts"][-1]["spans"] == [{"part": 0, "start": 0, "end": 3, "kind": "word"}]
    assert (case.stage, case.reason, case.collection) == ("output", "sensitive", "default")


@pytest.mark.parametrize("modes", [list(MODES), [PROTOCOL]], ids=["all", "protocol"])
@pytest.mark.parametrize("principal", [READER, DEVELOPER], ids=["reader", "developer"])
async def test_no_surface_shows_a_draft_that_waits(reviewed: House, modes: list[str], principal: Any) -> None:
    """Nor one that is resumed without a decision, with whatever payload."""
    reviewed.models.writes, reviewed.models.written = True, f"Draft-only words: {DRAFT} [1]"

    async def made() -> Any:
        return reviewed.graph

    host, thread = OwnHost(made), new_thread()
    asked = {"messages": [{"role": "user", "content": "What does the vault hold?"}]}
    shown: list[str] = []
    for more in ({"input": asked}, {"command": {"resume": {"decision": "approve"}}}, {"command": {"resume": True}}):
        events, end = await read(host, order(NAME, thread, principal, stream_modes=modes, **more))
        assert (end.status, end.value()["outcome"], list(end.next)) == ("interrupted", "pending", ["review"])
        shown += [event.data.decode() for event in events] + [end.values.decode(), end.output.decode()]
        shown += [str(end.interrupts), str(await host.state(query(NAME, thread, principal)))]
        shown.append(str(await host.history(query(NAME, thread, principal), limit=100)))
    assert not any("Draft-only" in one for one in shown)
    assert any("A person reviews this" in one for one in shown)
    if principal is READER:
        ((review, _),) = reviewed.reviews.cases.items()
        assert not any(review in one or "xylophone" in one for one in shown)


async def test_the_reviewer_is_asked_on_the_terms_of_the_bundle(reviewed: House) -> None:
    from dataclasses import replace

    terms = Terms(frozenset({"curator"}), 2.0, True)
    reviewed.policies.replace({"default": replace(reviewed.policies.bundle("default"), review=terms)})
    _, _, case = await waiting(reviewed, reviewed.config(principal=READER))
    assert (case.roles, case.hours, case.own) == (terms.roles, 2.0, True)
    reviewed.reviews.cases.clear()
    reviewed.policies.replace(
        {"default": replace(reviewed.policies.bundle("default"), review=Terms(frozenset(), None, None))}
    )
    state = await reviewed.ask(principal=READER)
    assert (state["outcome"], state["reason"]) == ("refused", "review_unavailable")


async def test_an_approved_draft_is_released_as_it_was_reviewed(reviewed: House) -> None:
    config = reviewed.config(principal=READER)
    _, review, case = await waiting(reviewed, config)
    reviewed.models.text = "Somebody has changed the document meanwhile."
    reviewed.reviews.decide(review, ruling(case, "approve", comment="fine"))
    state = await resumed(reviewed, config)
    assert (state["outcome"], state["reason"], state["answer"]) == (
        "answered",
        "reviewed",
        case.dossier["draft"]["answer"],
    )
    assert state["citations"] == case.dossier["draft"]["citations"]
    entries = await reviewed.recorder.history(state["messages"][-1].response_metadata["run_id"])
    told = next(entry.decision["review"] for entry in entries if entry.hop == "review" and "review" in entry.decision)
    assert (told["status"], told["by"], told["at"], told["why"]) == ("approved", "rita", AT, "read")
    assert "fine" not in str(told)


@pytest.mark.parametrize(("decision", "reason"), [("reject", "review_rejected"), ("expire", "review_expired")])
async def test_what_is_rejected_or_late_is_refused(reviewed: House, decision: Any, reason: str) -> None:
    config = reviewed.config(principal=READER)
    _, review, case = await waiting(reviewed, config)
    reviewed.reviews.decide(review, ruling(case, decision))
    state = await resumed(reviewed, config)
    assert (state["outcome"], state["reason"]) == ("refused", reason)
    assert "xylophone" not in str({**state, "passages": []})


@pytest.mark.parametrize("word", ["word", "xylophone"])
async def test_an_edited_answer_is_judged_and_checked_again_and_says_so(reviewed: House, word: str) -> None:
    """Also where the check would want a review of the edited text as well: the person has written it."""
    config = reviewed.config(principal=READER)
    _, review, case = await waiting(reviewed, config)
    text = f"The vault holds a {word} [1]. Ask ana.ruiz@example.org about it [1]."
    reviewed.reviews.decide(review, ruling(case, "edit", text=text))
    if word == "word":
        wants(reviewed, "output", ("nothing",))
    state = await resumed(reviewed, config)
    assert (state["outcome"], state["reason"]) == ("answered", "reviewer_edited")
    told = [one["text"] for one in state["judgement"]["sentences"]]
    assert told[0] == f"The vault holds a {word}."
    assert state["citations"][0]["quote"] == DRAFT
    if word == "word":
        assert "[EMAIL]" in state["answer"]


async def test_an_edit_that_nothing_carries_is_not_released(reviewed: House) -> None:
    for text in ("The vault holds gold.", "The vault holds gold [7]."):
        config = reviewed.config(principal=READER)
        reviewed.reviews.cases.clear()
        _, review, case = await waiting(reviewed, config)
        reviewed.reviews.decide(review, ruling(case, "edit", text=text))
        state = await resumed(reviewed, config)
        assert (state["outcome"], state["reason"]) == ("abstained", "unsupported")
        assert "gold" not in str(state)


async def test_an_edit_that_a_check_blocks_is_refused(reviewed: House) -> None:
    config = reviewed.config(principal=READER)
    _, review, case = await waiting(reviewed, config)
    reviewed.reviews.decide(review, ruling(case, "edit", text="The vault holds a word [1]."))

    async def block() -> Decision:
        return Decision("block", (), ("",), "prompt_leak")

    del reviewed.policies.check  # type: ignore[method-assign]
    reviewed.policies.broken, reviewed.policies.fault = "output", block
    state = await resumed(reviewed, config)
    assert (state["outcome"], state["reason"]) == ("refused", "prompt_leak")


async def test_a_question_waits_before_anything_is_searched(reviewed: House) -> None:
    wants(reviewed, "input")
    config = reviewed.config(principal=READER)
    state, review, case = await waiting(reviewed, config)
    assert (state["outcome"], case.stage, reviewed.models.searched) == ("pending", "input", [])
    reviewed.reviews.decide(review, ruling(case, "approve"))
    state = await resumed(reviewed, config)
    assert (state["outcome"], state["reason"]) == ("answered", "reviewed")


async def test_a_new_question_does_not_wait_for_the_old_review(reviewed: House) -> None:
    config = reviewed.config(principal=READER)
    _, review, case = await waiting(reviewed, config)
    wants(reviewed, "output", ("nothing",))
    again = {**config, "run_id": uuid.uuid4()}
    state = await reviewed.graph.ainvoke({"messages": [HumanMessage("And what else?")]}, again, context=Options())
    assert (state["outcome"], state["review"]) == ("answered", {})
    reviewed.reviews.decide(review, ruling(case, "approve"))
    with contextlib.suppress(Exception):
        state = await resumed(reviewed, config)
    assert state["reason"] == "ok"


FORGED: dict[str, Any] = {
    "review": {"stage": "output", "status": "approved", "by": "rita", "id": "x", "subject": "f" * 64},
    "checked": {"draft": "f" * 64, "released": "f" * 64, "action": "allow", "policy": "x"},
    "outcome": "answered",
    "reason": "reviewed",
    "failure": "",
}


@quick
@given(
    payload=st.one_of(
        st.just({"decision": "approve"}),
        st.just(Ruling("f" * 64, "approve", "rita")),
        st.dictionaries(
            st.sampled_from(["decision", "text", "approved", "subject", "by"]), st.text(max_size=8), min_size=1
        ),
        st.text(min_size=1),
        st.booleans(),
    ),
    goto=st.sampled_from([None, "release", "review", "judge", "guard_output"]),
    as_node=st.sampled_from([None, "hold", "review", "guard_output", "guard_input"]),
    channels=st.sets(st.sampled_from(sorted(FORGED))),
    principal=st.sampled_from([READER, DEVELOPER]),
)
async def test_nothing_but_a_decision_releases_what_waits(
    reviewed: House, payload: Any, goto: Any, as_node: Any, channels: set[str], principal: Any
) -> None:
    reviewed.reviews.cases.clear()
    config = reviewed.config(principal=principal)
    await waiting(reviewed, config)
    forged = {name: FORGED[name] for name in channels}
    if "review" in forged:
        real = (await reviewed.graph.aget_state(config)).values["review"]
        forged["review"] = {**real, **forged["review"], "subject": real["subject"]}
    if as_node:
        with contextlib.suppress(InvalidUpdateError):
            await reviewed.graph.aupdate_state(config, forged, as_node=as_node)
    command: Any = Command(resume=payload, **({"goto": goto, "update": forged} if goto else {}))
    for _ in range(2):
        with contextlib.suppress(InvalidUpdateError):
            await reviewed.graph.ainvoke(command, {**config, "run_id": uuid.uuid4()}, context=Options())
    async for saved in reviewed.graph.checkpointer.alist(config):  # type: ignore[union-attr]
        values = saved.checkpoint["channel_values"]
        assert "xylophone" not in str({**values, "passages": [], "messages": values.get("messages", [])})
        for message in values.get("messages", []):
            if isinstance(message, AIMessage):
                assert message.response_metadata.get("outcome") != "answered"


async def test_a_decision_about_something_else_releases_nothing(reviewed: House) -> None:
    config = reviewed.config(principal=READER)
    _, review, _ = await waiting(reviewed, config)
    reviewed.reviews.decide(review, Ruling("f" * 64, "approve", "rita", AT))
    state = await resumed(reviewed, config)
    assert (state["outcome"], state["reason"]) == ("unavailable", "not_proven")
    assert "xylophone" not in str({**state, "passages": []})
