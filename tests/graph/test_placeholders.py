"""Placeholders through a whole graph: a value has one in its conversation, and comes back only for whom it may."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from langgraph.checkpoint.memory import InMemorySaver

from fiel.graphs.answer.graph import build
from fiel.graphs.answer.options import Options
from fiel.policies.bundle import parse_bundle
from fiel.tools.principal import ROLES, Principal, Role
from tests.graph.conftest import House
from tests.graph.test_windows import FACTS, prepare

BUNDLE = parse_bundle(
    """
name: default
restore: [curator]
checks:
  - {check: length, stages: {input: block}}
  - {check: pii, stages: {input: replace, context: flag, output: replace}}
messages: {en: {blocked: No.}}
"""
)
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
    assert ("example.org" in seen) == (role == "curator" and release == "whole")


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


async def test_windows_keep_their_placeholders(replacing: House) -> None:
    replacing.services = replace(replacing.services, timeout=30)
    replacing.graph = build(replacing.services, InMemorySaver())
    facts = [f"{one[:-1]} and asks u{n}@example.org about it first." for n, one in enumerate(FACTS)]
    prepare(replacing, *facts)
    replacing.models.text = " ".join(facts)
    state = await replacing.graph.ainvoke(
        {"messages": [HumanMessage("What does the archive keep?")]},
        replacing.config(principal=CURATOR),
        context=Options(release="window"),
    )
    assert state["outcome"] == "answered"
    assert [f"<EMAIL_{n}>" in state["answer"] for n in range(1, len(facts) + 1)] == [True] * len(facts)
    assert "example.org" not in json.dumps({**state, "passages": []}, default=str)
