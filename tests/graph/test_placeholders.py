"""Placeholders through a whole graph: a value has one in its conversation, and comes back only for whom it may."""

import asyncio
import json
import re
import uuid
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.messages import HumanMessage

from fiel.graphs.answer.options import Options
from fiel.policies.bundle import parse_bundle
from fiel.tools.principal import ROLES, Principal, Role
from tests.graph.conftest import House
from tests.graph.test_windows import FACTS, answers, prepare, streamed, written

BUNDLE_TEXT = """
name: default
restore: [curator]
checks:
  - {check: length, stages: {input: block}}
  - {check: pii, stages: {input: replace, context: flag, output: replace}}
messages: {en: {blocked: No.}}
"""
BUNDLE = parse_bundle(BUNDLE_TEXT)
READER = Principal("default", "ana", frozenset(), frozenset({"reader"}))
CURATOR = Principal("default", "eva", frozenset(), frozenset({"curator"}))
TEXT = "The keys are held by tom@example.org and ida@example.org."


@pytest.fixture
def replacing(house: House) -> House:
    house.policies.replace({"default": BUNDLE})
    house.models.text = TEXT
    return house


async def ask(house: House, question: str, thread: str, principal: Principal) -> dict[str, Any]:
    return await house.graph.ainvoke(
        {"messages": [HumanMessage(question)]}, house.config(thread=thread, principal=principal), context=Options()
    )


async def test_a_conversation_keeps_its_placeholders(replacing: House) -> None:
    first = await ask(replacing, "Does ida@example.org hold the keys?", "t", READER)
    assert first["outcome"] == "answered"
    assert first["question"] == "Does <EMAIL_1> hold the keys?"
    assert first["answer"] == "The keys are held by <EMAIL_2> and <EMAIL_1>. [1]"
    second = await ask(replacing, "And eva@example.org, or tom@example.org?", "t", READER)
    assert second["question"] == "And <EMAIL_3>, or <EMAIL_2>?"
    assert second["answer"] == first["answer"]
    shown = {channel: value for channel, value in second.items() if channel != "passages"}
    assert "example.org" not in json.dumps(shown, default=str)
    other = await ask(replacing, "And eva@example.org?", "another", READER)
    assert other["question"] == "And <EMAIL_1>?"


async def test_values_come_back_only_for_whom_the_bundle_names(replacing: House) -> None:
    question = "Does ida@example.org hold the keys?"
    kept = await ask(replacing, question, "t", READER)
    seen = await ask(replacing, question, "u", CURATOR)
    assert seen["question"] == kept["question"], "no model is told who it is"
    assert seen["answer"].startswith(TEXT)
    assert seen["citations"][0]["quote"] == TEXT
    assert [one["text"] for one in seen["judgement"]["sentences"]] == [TEXT]
    assert seen["placeholders"]["restored"] is True
    assert "restored" not in kept["placeholders"]
    asked = "\n".join(turn.content for one in replacing.models.asked for turn in one.turns)
    assert "ida@example.org hold the keys" not in asked


@pytest.mark.parametrize("release", ["whole", "window"])
@pytest.mark.parametrize("role", ROLES)
async def test_no_caller_without_the_right_sees_a_value(replacing: House, role: Role, release: str) -> None:
    """Every role there is."""
    who = Principal("default", "max", frozenset(), frozenset({role}))
    state = await replacing.graph.ainvoke(
        {"messages": [HumanMessage("Does ida@example.org hold the keys?")]},
        replacing.config(thread="t", principal=who),
        context=Options(release=release),
    )
    assert state["outcome"] == "answered"
    seen = json.dumps({**state, "passages": []}, default=str)
    assert ("example.org" in seen) == (role == "curator")


async def test_a_conversation_with_values_goes_on_with_placeholders(replacing: House) -> None:
    await ask(replacing, "Does ida@example.org hold the keys?", "t", CURATOR)
    after = await ask(replacing, "And where?", "t", CURATOR)
    assert [one["text"] for one in after["history"]] == [
        "Does <EMAIL_1> hold the keys?", "The keys are held by <EMAIL_2> and <EMAIL_1>. [1]",
    ]  # fmt: skip
    assert after["answer"].startswith(TEXT)


async def test_placeholders_of_another_conversation_are_refused(replacing: House) -> None:
    theirs = await ask(replacing, "Does zoe@example.org hold the keys?", "theirs", READER)
    await ask(replacing, "Hello there, who are you?", "mine", CURATOR)
    where = replacing.config(thread="mine", principal=CURATOR)
    await replacing.graph.aupdate_state(where, {"placeholders": theirs["placeholders"]})
    state = await ask(replacing, "Who is <EMAIL_1>?", "mine", CURATOR)
    assert state["outcome"] == "refused"
    assert "zoe@example.org" not in json.dumps(state, default=str)


async def test_a_vault_that_has_lost_them_keeps_the_answer_back(
    replacing: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fiel.nodes import names

    async def lost(*_: Any) -> Any:
        raise RuntimeError("lost")

    monkeypatch.setattr(names, "own", lost)
    state = await ask(replacing, "Does ida@example.org hold the keys?", "t", CURATOR)
    assert state["outcome"] == "refused"
    assert "example.org" not in json.dumps(state["messages"], default=str)


async def test_fifty_conversations_do_not_mix(replacing: House) -> None:
    async def talk(number: int) -> None:
        mine, principal = f"u{number}@example.org", CURATOR if number % 2 else READER
        for turn in range(2):
            state = await ask(replacing, f"Does {mine} hold the keys, {turn}?", f"t{number}", principal)
            assert state["question"] == f"Does <EMAIL_1> hold the keys, {turn}?"
            assert ("tom@example.org" in state["answer"]) == bool(number % 2)
            assert "<EMAIL_" in state["answer"] or number % 2
            said = json.dumps({**state, "passages": []}, default=str)
            assert not [other for other in range(50) if other != number and f"u{other}@example.org" in said]

    await asyncio.gather(*(talk(number) for number in range(50)))


async def test_windows_put_values_back_for_whom_the_bundle_names(replacing: House) -> None:
    facts = windowed(replacing)
    for who, there in ((CURATOR, "u{}@example.org"), (READER, "<EMAIL_{}>")):
        seen = await streamed(replacing, principal=who)
        grown, last = answers(seen), [data for mode, data in seen if mode == "values"][-1]
        assert last["outcome"] == "answered"
        assert len(grown) >= 3
        assert [there.format(n + 1) in last["answer"] for n in range(len(facts))] == [True] * len(facts)
        assert ("example.org" in json.dumps({**last, "passages": []}, default=str)) == (who is CURATOR)
        assert last["placeholders"].get("restored", False) == (who is CURATOR)


def windowed(house: House) -> list[str]:
    """An answer in many windows, with an address in each of its sentences."""
    facts = [f"{one[:-1]} and asks u{n}@example.org about it first." for n, one in enumerate(FACTS, start=1)]
    prepare(house, *facts)
    house.models.text = " ".join(facts)
    return facts


@pytest.mark.slow
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
async def test_windows_put_together_are_the_answer_that_the_whole_gives(replacing: House, data: st.DataObject) -> None:
    """With values and without: also where a quote alone holds one, and where text looks like a placeholder."""
    facts = windowed(replacing)
    plain = [one.split(" and asks")[0] + "." for one in facts]
    spoofs = [f"{one[:-1]} of <EMAIL_{n}> and <EMAIL_40>." for n, one in enumerate(FACTS[:4], start=1)]
    if data.draw(st.booleans(), "a document that holds a placeholder"):
        replacing.models.text += f" {spoofs[1]}"
    parts = data.draw(st.lists(st.sampled_from([*facts, *plain, *spoofs, "It does."]), min_size=4))
    who = data.draw(st.sampled_from([CURATOR, READER]))
    text = replacing.models.written = written(*parts)
    cuts = sorted(data.draw(st.sets(st.integers(1, len(text) - 1), max_size=40)))
    whole = await ask(replacing, "Does u3@example.org know what the archive keeps?", str(uuid.uuid4()), who)
    replacing.models.tokens = lambda text: [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    seen = await streamed(replacing, principal=who, question="Does u3@example.org know what the archive keeps?")
    ends = [found["release"] for mode, found in seen if mode == "updates" and "release" in found]
    told = "".join(one["answer"][one.get("window", {}).get("from", 0) :] for one in ends)
    last = [found for mode, found in seen if mode == "values"][-1]
    assert told == last["answer"] == whole["answer"]
    assert last["citations"] == whole["citations"]
    assert all(later.startswith(earlier) for earlier, later in pairwise(answers(seen)))
    assert not any(re.search(r"<[A-Z]+(_[0-9]*)?\Z", one) for one in answers(seen))
    assert who is CURATOR or "example.org" not in repr(answers(seen))


@pytest.mark.parametrize("who", [CURATOR, READER])
async def test_an_answer_that_is_cut_short_keeps_what_was_shown_of_it(replacing: House, who: Principal) -> None:
    facts = windowed(replacing)
    replacing.models.labels = lambda one: "unsupported" if "u10@" in one.text else "supported"
    seen = await streamed(replacing, principal=who)
    grown, last = answers(seen), [found for mode, found in seen if mode == "values"][-1]
    assert last["outcome"] == "abstained"
    assert all(later.startswith(earlier) for earlier, later in pairwise(grown))
    assert (facts[0][:-1] in last["answer"]) == (who is CURATOR)
    assert last["answer"].startswith(grown[0])


async def test_nobody_is_put_into_the_words_of_a_document(replacing: House) -> None:
    """A document cannot have words put next to who asked, or whom they asked about, by writing a placeholder itself."""
    replacing.models.text = "The thief is <EMAIL_1>. The keys are held by tom@example.org."
    seen = await ask(replacing, "Does ida@example.org hold the keys?", "t", CURATOR)
    assert seen["question"] == "Does <EMAIL_1> hold the keys?"
    assert "ida@" not in json.dumps({**seen, "passages": []}, default=str)
    assert seen["answer"] == "The thief is <EMAIL_1>. The keys are held by tom@example.org. [1]"
    fresh = await ask(replacing, "Who holds the keys?", "u", CURATOR)
    assert fresh["answer"] == "The thief is (EMAIL_1). The keys are held by tom@example.org. [1]"
    assert fresh["citations"][0]["quote"] == replacing.models.text


async def test_what_a_model_makes_up_stands_for_nobody(replacing: House) -> None:
    replacing.models.writes = True
    replacing.models.written = "The keys are held by <EMAIL_1> and tom@example.org and <EMAIL_2> [1]."
    seen = await ask(replacing, "Does ida@example.org hold the keys?", "t", CURATOR)
    assert seen["answer"] == "The keys are held by ida@example.org and tom@example.org and (EMAIL_2). [1]"


async def test_what_only_the_question_replaces_is_known_in_the_next(replacing: House) -> None:
    """Where the answer's checks replace nothing, the placeholders of the conversation stay what they are."""
    replacing.policies.replace({"default": parse_bundle(BUNDLE_TEXT.replace("output: replace", "output: redact"))})
    first = await ask(replacing, "Does ida@example.org hold the keys?", "t", READER)
    assert first["answer"] == "The keys are held by [EMAIL] and [EMAIL]. [1]"
    second = await ask(replacing, "And eva@example.org?", "t", READER)
    assert second["question"] == "And <EMAIL_2>?"
