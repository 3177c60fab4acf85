"""Counterfactual replay: what is unchanged comes from the record, the rest runs again and is marked."""

import uuid
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from langgraph.types import Command

from fiel.graphs.answer.graph import build
from fiel.graphs.answer.options import Options
from fiel.infra.ledger import effects
from fiel.infra.replay.change import UNCHANGED, Change
from fiel.infra.replay.record import NotReplayable
from fiel.nodes.prompts import Prompts
from fiel.policies.bundle import parse_bundle
from fiel.tools.errors import NotPermitted, UsageError
from fiel.tools.principal import local_administrator
from fiel.tools.review import MemoryReviews, Ruling
from fiel.tools.search import Passage
from tests.graph.conftest import DRAFT, READER, House, Models, raising
from tests.graph.test_replay import AUDITOR, CASES, again, replays
from tests.graph.test_review import wants
from tests.graph.test_windows import FACTS, prepare


def _asked(value: dict[str, Any], source: str) -> list[tuple[str, str]]:
    """`(hop, kind)` of every effect from there."""
    return [(hop["node"], one["kind"]) for hop in value["hops"] for one in hop["effects"] if one["from"] == source]


async def _ask(house: House, question: str = "What does the vault hold?", **more: Any) -> str:
    run = str(uuid.uuid4())
    await house.ask(question, run=run, **more)
    await house.recorder.writer.drain()
    return run


def add_bundle(house: House, name: str, checks: str) -> None:
    """A bundle of that name beside those installed."""
    text = f"name: {name}\ndescription: a test's\nextends: default\nchecks:\n{checks}"
    bundle = parse_bundle(text, base=house.policies.bundles["default"])
    house.policies.replace({**house.policies.bundles, name: bundle})


WORD = """
  - check: banned
    id: words
    stages:
      {stage}: block
    with:
      words: [{word}]
"""


@pytest.mark.parametrize("case", [name for name in CASES if name != "late"])
async def test_under_what_it_had_a_run_is_as_it_was(recorded: House, case: str) -> None:
    for name, value in CASES[case].items():
        setattr(recorded.models, name, value)
    run = await _ask(recorded, principal=READER)
    value = await again(recorded, run, Change({"policy": "default", "k": 8}, live=False))
    assert (value["mode"], value["identical"]) == ("counterfactual", True), value["first_divergence"]
    assert value["outcome"]["recorded"] == value["outcome"]["replayed"]
    assert (value["live_calls"], _asked(value, "live"), _asked(value, "evaluated")) == (0, [], [])


async def test_what_is_installed_now_is_gone_through_to_the_end(recorded: House) -> None:
    run = await _ask(recorded, principal=READER)
    same = await again(recorded, run, Change(now=True, live=False))
    assert (same["mode"], same["identical"], same["changes"]) == ("counterfactual", True, {"now": True})
    add_bundle(recorded, "default", WORD.format(stage="output", word="xylophone"))  # the bundle of that name is another
    assert (await again(recorded, run))["outcome"]["replayed"] is None, "a strict replay ends where it differs"
    value = await again(recorded, run, Change(now=True, live=False))
    assert value["outcome"] == {"recorded": "answered", "replayed": "refused"}


@pytest.mark.parametrize(
    ("stage", "word", "hop"), [("input", "vault", "guard_input"), ("output", "xylophone", "guard_output")]
)
async def test_another_bundle_blocks_what_was_answered(recorded: House, stage: str, word: str, hop: str) -> None:
    add_bundle(recorded, "words", WORD.format(stage=stage, word=word))
    run = await _ask(recorded, principal=READER)
    value = await again(recorded, run, Change({"policy": "words"}, live=False))
    assert value["outcome"] == {"recorded": "answered", "replayed": "refused"}
    assert value["live_calls"] == 0
    differing = [one["node"] for one in value["hops"] if one["status"] == "differs"]
    assert hop in differing
    assert ("guard_input", "check") in _asked(value, "evaluated")


async def test_a_changed_threshold_is_named_at_the_hop_that_it_holds_for(recorded: House) -> None:
    for name, least in (("loose", "0.9"), ("tight", "0.8")):
        add_bundle(recorded, name, WORD.format(stage="output", word="kazoo").replace("block", f"{{block: {least}}}"))
    run = await _ask(recorded, options=Options(policy="loose"))
    value = await again(recorded, run, Change({"policy": "tight"}, live=False))
    assert value["first_divergence"]["hop"] == "guard_output"
    assert "threshold" in value["first_divergence"]["what"]
    assert value["outcome"] == {"recorded": "answered", "replayed": "answered"}


async def test_a_changed_word_of_a_prompt_is_named_where_the_model_is_asked(recorded: House) -> None:
    run = await _ask(recorded)
    recorded.models.text = "The vault holds nothing at all."  # what the model says now

    def prompts(name: str) -> Prompts:
        from fiel.graphs.answer.prompt_files import prompts as files

        found = files("default")
        return replace(found, answer_template=found.answer_template.replace(" the ", " this ", 1))

    recorded.services = replace(recorded.services, prompts=prompts)
    value = await replays(recorded).one(local_administrator(), run, Change({"prompt": "other"}))
    assert ("generate", "chat") in _asked(value, "live")
    assert _asked(value, "live")[0] == ("generate", "chat")
    assert value["live_calls"] == len(_asked(value, "live")) >= 1
    refused = await replays(recorded).one(local_administrator(), run, Change({"prompt": "other"}, live=False))
    assert [one["node"] for one in refused["hops"] if one["status"] == "refused"] == ["generate"]
    assert (refused["refused"], refused["identical"], refused["live_calls"]) == ("chat", False, 0)
    assert refused["outcome"]["replayed"] is None


@pytest.mark.parametrize("limit", [{"most_calls": 1}, {"most_cost": Decimal("0.0001")}])
async def test_live_calls_are_charged_and_end_where_they_may_go_no_further(
    recorded: House, limit: dict[str, Any]
) -> None:
    run = await _ask(recorded)
    change = Change(again=frozenset({"chat", "judge"}))
    value = await replays(recorded).one(local_administrator(), run, change)
    assert value["live_calls"] == 2
    assert value["spent"] == {"calls": 2, "input_tokens": 10, "output_tokens": 5, "cost": "0.0001"}
    less = await replays(recorded).one(local_administrator(), run, replace(change, **limit))
    assert (less["live_calls"], less["refused"], less["spent"]["cost"]) == (1, "judge", "0.0001")
    assert (less["identical"], less["whole"]) == (False, False)
    assert any("allowed" in note for note in less["notes"])
    none = await replays(recorded).one(local_administrator(), run, Change(again=frozenset({"chat"}), most_calls=0))
    assert (none["live_calls"], none["refused"]) == (0, "chat")


async def test_an_answer_in_many_windows_is_replayed_to_its_end(
    recorded: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fiel.infra.replay.whatif.LONGEST", 20)
    prepare(recorded, *(FACTS * 14)[:52])
    run = await _ask(recorded, principal=READER, options=Options(release="window"))
    value = await again(recorded, run, Change({"k": 8}, live=False))
    assert len(value["hops"]) > 20
    assert value["identical"] and value["whole"], value["first_divergence"]


async def test_a_replay_that_goes_in_circles_is_ended(recorded: House, monkeypatch: pytest.MonkeyPatch) -> None:
    run = await _ask(recorded)

    async def rewrite(*_: Any) -> str:
        return "rewrite"

    monkeypatch.setattr("fiel.infra.replay.whatif.following", rewrite)
    value = await replays(recorded).one(local_administrator(), run, Change({"k": 8}))
    assert not value["whole"] and "the replay was ended after" in value["notes"][-1]


async def test_another_model_writes_another_answer(recorded: House) -> None:
    other = Models(version="other", written="The vault is empty. [1]", writes=True)
    run = await _ask(recorded)
    chats = {**recorded.services.chats, "other": effects.RecordedChat(other)}
    recorded.services = replace(recorded.services, chats=chats)
    value = await replays(recorded).one(local_administrator(), run, Change({"chat": "other"}))
    assert value["first_divergence"]["hop"] == "generate"
    assert _asked(value, "live") == [("generate", "chat"), ("judge", "judge"), ("guard_output", "guard")]
    ends = [one for one in value["hops"] if one["node"] == "release"]
    assert "empty" in str([diff for diff in ends[0]["diff"] if diff["what"] == "writes.answer"])
    assert value["changes"] == {"chat": "other"}


async def test_a_changed_chunk_is_named_where_it_is_found(recorded: House) -> None:
    run = await _ask(recorded)
    recorded.models.text = DRAFT.replace("xylophone", "saxophone")
    value = await replays(recorded).one(local_administrator(), run, Change(again=frozenset({"search"})))
    assert value["first_divergence"] == {
        "hop": "retrieve", "what": "writes.passages[0].text", "recorded": DRAFT, "replayed": recorded.models.text
    }  # fmt: skip
    assert _asked(value, "live")[0] == ("retrieve", "search")


async def test_an_auditor_reads_of_new_passages_only_those_of_a_grant(
    recorded: House,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = await _ask(recorded)
    usual = Models.passage

    def secret(self: Models) -> Passage:
        return Passage(**{**usual(self), "document": "d2", "text": "A kazoo."})

    monkeypatch.setattr(Models, "passage", secret)
    change = Change(again=frozenset({"search"}))
    value = await replays(recorded, ("d1",)).one(AUDITOR, run, change)
    assert value["masked"]
    assert "kazoo" not in str(value)
    assert "xylophone" not in str(value)
    assert "kazoo" in str(await replays(recorded, ("d1", "d2")).one(AUDITOR, run, change))


@pytest.mark.parametrize("erased", [False, True])
async def test_an_auditor_reads_of_a_later_turn_only_with_a_grant_on_what_the_earlier_ones_saw(
    recorded: House, monkeypatch: pytest.MonkeyPatch, erased: bool
) -> None:
    recorded.models.writes, recorded.models.text = True, "The vault holds a xylophone of brass."
    recorded.models.written = f"{recorded.models.text} [1]"
    first = await _ask(recorded, thread="t")
    usual = Models.passage
    monkeypatch.setattr(
        Models, "passage", lambda self: Passage(**{**usual(self), "document": "d2", "text": "A kazoo."})
    )
    for question in ("And what else is held?", "And what more is held?"):  # the state holds passages of one turn before
        run = await _ask(recorded, question, thread="t")

    def prompts(name: str) -> Prompts:
        from fiel.graphs.answer.prompt_files import prompts as files

        return replace(files("default"), rewrite_template=files("default").rewrite_template + " Go.")

    recorded.services = replace(recorded.services, prompts=prompts)
    assert "xylophone" in str(await replays(recorded).one(local_administrator(), run, UNCHANGED)), "what is at stake"
    if erased:
        del recorded.store.contents[first]
    value = await replays(recorded, ("d1", "d2") if erased else ("d2",)).one(AUDITOR, run, UNCHANGED)
    assert value["masked"]
    assert "xylophone" not in str(value)
    assert ("xylophone" in str(await replays(recorded, ("d1", "d2")).one(AUDITOR, run, UNCHANGED))) is not erased


async def test_what_a_reader_may_not_set_an_auditor_may_ask_about(recorded: House) -> None:
    run = await _ask(recorded, principal=READER)
    value = await again(recorded, run, Change({"attempts": 1}, live=False))
    assert value["outcome"] == {"recorded": "answered", "replayed": "answered"}
    forbidden = await _ask(recorded, principal=READER, options=Options(attempts=4))
    value = await replays(recorded).one(local_administrator(), forbidden, Change({"attempts": 3}, live=False))
    assert value["reason"] == {"recorded": "option_not_allowed", "replayed": "option_not_allowed"}


async def test_a_line_of_runs_is_walked_from_its_beginning(recorded: House) -> None:
    first, second = str(uuid.uuid4()), str(uuid.uuid4())
    await recorded.graph.ainvoke(
        {"question": "What does the vault hold?"},
        config=recorded.config("t", run=first),
        context=Options(),
        interrupt_before=["judge"],
    )
    await recorded.graph.ainvoke(None, config=recorded.config("t", run=second), context=Options())
    value = await again(recorded, second, Change({"k": 8}, live=False))
    assert value["identical"], value["first_divergence"]
    assert value["hops"][0]["node"] == "guard_input"


async def _reviewed(house: House, decision: Any) -> tuple[str, str]:
    """A run that waits for a review, and the one that goes on with the decision."""
    house.reviews = MemoryReviews()
    house.services = replace(house.services, reviews=effects.RecordedReviews(house.reviews))
    house.graph = build(house.services, house.graph.checkpointer)  # type: ignore[arg-type]
    wants(house, "output")
    first, second = str(uuid.uuid4()), str(uuid.uuid4())
    await house.graph.ainvoke(
        {"question": "What does the vault hold?"}, config=house.config("t", run=first), context=Options()
    )
    ((review, (_, case)),) = house.reviews.cases.items()
    house.reviews.decide(review, Ruling(case.subject, decision, "rita", "2026-01-02T03:04:05+00:00", "read"))
    await house.graph.ainvoke(Command(resume=True), config=house.config("t", run=second), context=Options())
    return first, second


@pytest.mark.parametrize("decision", ["approve", "reject"])
async def test_a_review_is_replayed_with_its_decision(recorded: House, decision: str) -> None:
    for run in await _reviewed(recorded, decision):
        assert (await again(recorded, run))["identical"]
        value = await again(recorded, run, Change({"k": 8}, live=False))
        assert value["identical"], value["first_divergence"]
    assert value["outcome"]["replayed"] == ("answered" if decision == "approve" else "refused")


async def test_a_review_that_nobody_was_asked_for_asks_nobody(recorded: House) -> None:
    add_bundle(recorded, "held", WORD.format(stage="output", word="xylophone").replace("block", "review"))
    run = await _ask(recorded)
    value = await again(recorded, run, Change({"policy": "held"}, live=False))
    assert value["outcome"] == {"recorded": "answered", "replayed": "pending"}
    assert ("hold", "review") in _asked(value, "assumed")


@pytest.mark.parametrize(
    "change",
    [
        *(Change({name: "none"}) for name in ("policy", "chat", "prompt", "colour")),
        *(Change({"k": value}) for value in (0, "8", True)),
        Change(again=frozenset({"check"})),
    ],
)
async def test_an_impossible_change_is_refused(recorded: House, change: Change) -> None:
    run = await _ask(recorded)
    with pytest.raises(UsageError):
        await replays(recorded).one(local_administrator(), run, change)
    with pytest.raises(NotPermitted):
        await replays(recorded).one(READER, run, change)


async def test_a_run_that_began_in_the_middle_is_named(recorded: House) -> None:
    run = str(uuid.uuid4())
    config = recorded.config("t", run=run)
    recorded.models.faults = {"chat": raising}
    values = {"question": "x", "standalone": "x", "passages": [], "language": "en", "attempt": 0, "verdicts": []}
    await recorded.graph.aupdate_state(config, values, as_node="guard_context")
    await recorded.graph.ainvoke(None, config=config, context=Options())
    await recorded.recorder.writer.drain()
    with pytest.raises(NotReplayable, match="middle of the graph"):
        await replays(recorded).one(local_administrator(), run, Change({"k": 8}))
