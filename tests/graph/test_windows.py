"""Answers that are released in windows: what is shown is proven, in order, and nothing else is ever seen."""

import asyncio
import json
import re
import uuid
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.messages import HumanMessage

from fiel.graphs.answer.options import Options
from fiel.graphs.answer.prompt_files import prompts
from fiel.nodes.generate import Generate
from fiel.nodes.windows import shown_content
from fiel.tools.chat import Completion, DraftSentence, Usage
from fiel.tools.errors import ModelUnavailable, NotProven
from tests.graph.conftest import DEVELOPER, READER, House

WINDOW = Options(release="window")
PLACES = ("north", "south", "east", "west", "upper", "lower", "inner", "outer", "old", "new", "first", "last")
FACTS = [
    f"The {place} store of the archive keeps {number + 3} boxes of letters and the maps that belong to each of them."
    for number, place in enumerate(PLACES)
]
LEAK = "do not guess, do not combine passages into something that none of them says"
"""Words of the prompt: the check `leakage` blocks them."""
SECRET = f"The password of the archive is this, {LEAK}, and it opens every door."
OPEN = "A chart of all that is ![in the boxes stands on the wall."
"""An image that is never closed: nothing behind its beginning may be shown before the end."""
MODES = ["values", "updates", "messages", "tasks", "debug", "checkpoints", "custom"]


def written(*sentences: str) -> str:
    return " ".join(f"{sentence[:-1]} [1]." for sentence in sentences)


def prepare(house: House, *sentences: str) -> None:
    assert LEAK in " ".join(prompts("default").secret.split())
    house.models.writes = True
    house.models.text = " ".join(FACTS)
    house.models.written = written(*sentences)


async def streamed(
    house: House, options: Options = WINDOW, question: str = "What does the archive keep?", **more: Any
) -> list[tuple[str, Any]]:
    """Everything that the graph itself says, in every mode."""
    seen = []
    async for mode, data in house.graph.astream(
        {"messages": [HumanMessage(question)]},
        house.config(**more),
        context=options,
        stream_mode=MODES,
    ):
        seen.append((mode, data))
    return seen


def answers(seen: Sequence[tuple[str, Any]]) -> list[str]:
    """The answer as it grew."""
    values = [data["answer"] for mode, data in seen if mode == "values" and data.get("answer")]
    return list(dict.fromkeys(values))


async def test_an_answer_grows_window_by_window_and_ends_as_it_would_whole(house: House) -> None:
    prepare(house, *FACTS)
    whole = await house.ask("What does the archive keep?", principal=READER)
    seen = await streamed(house, principal=READER)
    grown, last = answers(seen), [data for mode, data in seen if mode == "values"][-1]
    assert len(grown) >= 3
    assert all(later.startswith(earlier) for earlier, later in pairwise(grown))
    assert last["outcome"] == "answered"
    for channel in ("answer", "citations", "reason", "usage"):
        assert last[channel] == whole[channel]
    assert [one["text"] for one in last["judgement"]["sentences"]] == FACTS
    assert len(last["judgement"]["labels"]) == len(FACTS)
    assert last["messages"][-1].content == whole["answer"]


async def test_markers_that_lead_their_sentences_give_the_same_answer_in_windows(house: House) -> None:
    prepare(house, *FACTS)
    house.models.written = "\n".join(f"[1]. {fact}" for fact in FACTS)
    whole = await house.ask("What does the archive keep?", principal=READER)
    grown = answers(await streamed(house, principal=READER))
    assert whole["answer"] == " ".join(f"{fact} [{number}]" for number, fact in enumerate(FACTS, start=1))
    assert grown[-1] == whole["answer"]
    assert len(grown) >= 3


async def test_each_window_is_committed_before_it_is_shown(house: House) -> None:
    prepare(house, *FACTS)
    kept: list[int] = []
    append = house.store.append

    async def counted(flushes: Any) -> None:
        await append(flushes)
        kept.append(sum(len(one.entries) for one in flushes))

    house.store.append = counted  # type: ignore[method-assign]
    at: list[int] = []
    async for data in house.graph.astream(
        {"messages": [HumanMessage("What does the archive keep?")]},
        house.config(principal=READER),
        context=WINDOW,
        stream_mode="updates",
        durability="exit",
    ):
        if "release" in data:
            at.append(len(kept))
    assert at == sorted(set(at)), "every release has a commit of its own before it"
    assert len(at) >= 3


@pytest.mark.parametrize("place", [0, 5, 11])
@pytest.mark.parametrize("bad", ["policy", "judge"])
async def test_what_is_held_back_ends_the_answer_and_is_never_seen(house: House, place: int, bad: str) -> None:
    sentences = [*FACTS]
    sentences.insert(place, SECRET)
    prepare(house, *sentences)
    if bad == "judge":
        house.models.written = (house.models.written or "").replace(LEAK, "nobody's business")
        house.models.labels = lambda one: "unsupported" if "password" in one.text else "supported"
    seen = await streamed(house, principal=READER)
    last = [data for mode, data in seen if mode == "values"][-1]
    assert last["outcome"] == ("refused" if bad == "policy" else "abstained")
    for told in ("password", LEAK[:40], "nobody's business"):
        assert told not in repr(seen)
    if place == 0:
        assert FACTS[0] not in last["answer"]
    elif place == 11:
        assert last["answer"].startswith(f"{FACTS[0][:-1]}")
        assert "ends here" in last["answer"]
        assert last["citations"]
        assert last["messages"][-1].content == last["answer"]


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
async def test_no_tokenisation_shows_a_byte_of_what_is_held_back(house: House, data: st.DataObject) -> None:
    count = data.draw(st.integers(0, len(FACTS)))
    sentences = [*FACTS[:count], SECRET, *FACTS[count:]]
    prepare(house, *sentences)
    cuts = sorted(data.draw(st.sets(st.integers(1, len(written(*sentences)) - 1), max_size=60)))
    house.models.tokens = lambda text: [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    seen = repr(await streamed(house, principal=READER))
    assert "password" not in seen
    assert LEAK[:40] not in seen


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
async def test_every_tokenisation_gives_the_answer_that_the_whole_gives(house: House, data: st.DataObject) -> None:
    """Also where sentences are short, carry several markers, or hold what is masked."""
    parts = data.draw(
        st.lists(st.sampled_from([*FACTS, "Write to ana@example.org for more.", "It does.", OPEN]), min_size=1)
    )
    prepare(house, *parts)
    whole = await house.ask("What does the archive keep?", principal=READER)
    text = house.models.written or ""
    cuts = sorted(data.draw(st.sets(st.integers(1, len(text) - 1), max_size=40)))
    house.models.tokens = lambda text: [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    seen = await streamed(house, principal=READER)
    grown = answers(seen)
    assert grown[-1] == whole["answer"]
    assert all(later.startswith(earlier) for earlier, later in pairwise(grown))
    assert not re.search("ana@", repr(grown))


async def test_a_model_that_dies_in_the_middle_leaves_what_was_shown_and_says_so(house: House) -> None:
    prepare(house, *FACTS)

    async def pieces(request: Any) -> Any:
        for word in re.findall(r"\S+\s*", house.models.written or "")[:110]:
            yield word
            await asyncio.sleep(0)
        raise ModelUnavailable("gone")

    house.models._pieces = pieces  # type: ignore[method-assign, assignment]
    seen = await streamed(house, principal=READER)
    last = [data for mode, data in seen if mode == "values"][-1]
    assert (last["outcome"], last["reason"]) == ("unavailable", "model_unavailable")
    assert last["answer"].startswith(FACTS[0][:-1])
    assert last["answer"].endswith("did not pass the checks.")


async def test_a_first_stretch_that_does_not_answer_yet_waits_for_the_next(house: House) -> None:
    prepare(house, *FACTS)
    judged: list[int] = []

    async def judge(question: str, draft: Sequence[DraftSentence], passages: Any, *, language: str) -> Any:
        from fiel.tools.judge import Judgement, SentenceJudgement

        judged.append(len(draft))
        answered = 0.9 if any("upper" in one.text for one in draft) else 0.1
        return Judgement(tuple(SentenceJudgement("supported", 0.9) for _ in draft), answered)

    house.models.judge = judge  # type: ignore[method-assign, assignment]
    seen = await streamed(house, principal=READER)
    assert "upper" in answers(seen)[0]
    assert judged[1] > judged[0]
    assert [data for mode, data in seen if mode == "values"][-1]["outcome"] == "answered"


async def test_an_answer_that_is_cut_at_its_limit_ends_with_its_last_whole_sentence(house: House) -> None:
    prepare(house, *FACTS)
    text = (house.models.written or "")[:-30]

    async def complete(request: Any) -> Completion:
        return Completion(text, Usage(10, 5, "0.000100"), finish="length")

    house.models.complete = complete  # type: ignore[method-assign, assignment]
    whole = await house.ask("What does the archive keep?", principal=READER)
    last = [data for mode, data in await streamed(house, principal=READER) if mode == "values"][-1]
    assert last["outcome"] == "answered"
    assert last["answer"] == whole["answer"]
    assert FACTS[-1][:20] not in last["answer"]


async def test_a_model_that_says_no_answer_is_tried_again(house: House) -> None:
    prepare(house, "NO_ANSWER.")
    house.models.written = "NO_ANSWER"
    last = [data for mode, data in await streamed(house, principal=READER) if mode == "values"][-1]
    assert (last["outcome"], last["attempt"]) == ("abstained", 2)


async def test_a_run_that_is_resumed_elsewhere_ends_what_was_begun(house: House) -> None:
    """The answer was being written by a process that is gone: what was shown stands, nothing is invented to go on."""
    prepare(house, *FACTS)
    config = house.config(thread="t", principal=READER)
    await house.graph.ainvoke(
        {"messages": [HumanMessage("What does the archive keep?")]},
        config,
        context=WINDOW,
        interrupt_after=["release"],
    )
    shown = (await house.graph.aget_state(config)).values["answer"]
    assert shown.startswith(FACTS[0][:-1])
    house.models.streams.close()  # another process, which has none of it
    again = house.config(thread="t", principal=READER)
    values = await house.graph.ainvoke(None, again, context=WINDOW)
    assert (values["outcome"], values["reason"]) == ("unavailable", "stream_lost")
    assert values["answer"].startswith(shown)
    assert values["answer"] != shown


async def test_a_run_that_is_resumed_here_goes_on_where_it_was(house: House) -> None:
    prepare(house, *FACTS)
    whole = await house.ask("What does the archive keep?", principal=READER)
    given: Any = {"messages": [HumanMessage("What does the archive keep?")]}
    values, runs = {}, 0
    while not values.get("outcome") and runs < 40:
        config = house.config(thread="t", principal=READER)
        values = await house.graph.ainvoke(given, config, context=WINDOW, interrupt_after=["release"])
        given, runs = None, runs + 1
    assert runs >= 3
    assert (values["outcome"], values["answer"]) == ("answered", whole["answer"])


async def test_a_run_that_an_older_version_began_goes_on(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """That version did not count what it had written."""
    prepare(house, *FACTS)
    whole = await house.ask("What does the archive keep?", principal=READER)
    now = Generate._window

    async def then(self: Generate, *args: Any) -> dict[str, Any]:
        update = await now(self, *args)
        del update["window"]["written"]
        return update

    with monkeypatch.context() as older:
        older.setattr(Generate, "_window", then)
        begun = await house.graph.ainvoke(
            {"messages": [HumanMessage("What does the archive keep?")]},
            house.config(thread="t", principal=READER),
            context=WINDOW,
            interrupt_after=["release"],
        )
    assert begun["window"]["more"]
    values = await house.graph.ainvoke(None, house.config(thread="t", principal=READER), context=WINDOW)
    assert (values["outcome"], values["answer"]) == ("answered", whole["answer"])


async def test_what_nobody_has_seen_is_written_anew_elsewhere(house: House) -> None:
    prepare(house, *FACTS)
    whole = await house.ask("What does the archive keep?", principal=READER)
    asked = {"messages": [HumanMessage("What does the archive keep?")]}
    config = house.config(thread="t", principal=READER)
    house.models.answered = 0.1  # the first windows wait for the next
    await house.graph.ainvoke(asked, config, context=WINDOW, interrupt_before=["generate"])
    for _ in range(2):
        await house.graph.ainvoke(
            None, house.config(thread="t", principal=READER), context=WINDOW, interrupt_before=["generate"]
        )
    house.models.streams.close()
    house.models.answered = 0.9
    values = await house.graph.ainvoke(None, house.config(thread="t", principal=READER), context=WINDOW)
    assert (values["outcome"], values["answer"]) == ("answered", whole["answer"])


async def test_a_forged_window_is_neither_gone_on_from_nor_shown(house: House) -> None:
    prepare(house, *FACTS)
    config = house.config(thread="t", principal=DEVELOPER)
    await house.graph.ainvoke(
        {"messages": [HumanMessage("What does the archive keep?")]}, config, context=WINDOW, interrupt_before=["judge"]
    )
    state = (await house.graph.aget_state(config)).values
    forged = {**state["window"], "shown": state["draft"], "labels": [], "scores": [], "answered": "0.900000"}
    await house.graph.aupdate_state(config, {"window": forged, "answer": "Forged."}, as_node="generate")
    values = await house.graph.ainvoke(None, house.config(thread="t", principal=DEVELOPER), context=WINDOW)
    assert values["outcome"] in ("refused", "unavailable")
    assert "Forged" not in values["answer"]
    assert FACTS[0] not in values["answer"]


async def test_a_beginning_that_is_gone_is_no_empty_one(house: House) -> None:
    """Else what follows would be released as if it were all of the answer."""
    state = {"window": {"shown": "0" * 64}}
    with pytest.raises(NotProven):
        await shown_content(house.services.vault, str(uuid.uuid4()), state)
    assert (await shown_content(house.services.vault, str(uuid.uuid4()), {}))["answer"] == ""


async def test_an_end_repeats_nothing_that_was_not_released(house: House) -> None:
    prepare(house, *FACTS)
    config = house.config(thread="t", principal=DEVELOPER)
    await house.graph.ainvoke(
        {"messages": [HumanMessage("What does the archive keep?")]}, config, context=WINDOW, interrupt_before=["judge"]
    )
    state = (await house.graph.aget_state(config)).values
    forged = {**state["window"], "shown": state["draft"]}
    await house.graph.aupdate_state(config, {"window": forged, "draft": "", "answer": "Forged."}, as_node="generate")
    values = await house.graph.ainvoke(None, house.config(thread="t", principal=DEVELOPER), context=WINDOW)
    assert values["outcome"] == "abstained"
    assert "Forged" not in values["answer"]
    assert FACTS[0][:-1] not in values["answer"]
    assert values["citations"] == []


async def test_where_a_window_cannot_be_recorded_it_is_not_shown(house: House) -> None:
    prepare(house, *FACTS)
    append, calls = house.store.append, 0

    async def failing(flushes: Any) -> None:
        nonlocal calls
        calls += 1
        if any(one.entries and json.loads(one.entries[-1].body)["hop"] == "release" for one in flushes):
            raise RuntimeError("no room")
        await append(flushes)

    house.store.append = failing  # type: ignore[method-assign]
    seen = await streamed(house, principal=READER)
    last = [data for mode, data in seen if mode == "values"][-1]
    assert (last["outcome"], last["reason"]) == ("unavailable", "record_unavailable")
    assert not any(FACTS[0][:-1] in answer for answer in answers(seen))


async def test_only_the_two_words_are_options(house: House) -> None:
    values = await house.ask(options=Options(release="at once"))
    assert (values["outcome"], values["reason"]) == ("refused", "option_not_allowed")


async def test_the_next_question_of_a_thread_begins_anew(house: House) -> None:
    prepare(house, *FACTS)
    await streamed(house, principal=READER, thread="t")
    house.models.written = written(FACTS[0])
    last = [data for mode, data in await streamed(house, principal=READER, thread="t") if mode == "values"][-1]
    assert (last["outcome"], last["reason"]) == ("answered", "ok")
    assert len(last["judgement"]["sentences"]) == 1


@pytest.mark.parametrize("sentences", [40, pytest.param(320, marks=pytest.mark.slow)])
async def test_the_work_on_a_long_answer_grows_with_its_length_and_not_with_its_square(
    house: House, sentences: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(house, *(FACTS[place % len(FACTS)] for place in range(sentences)))
    check, seen = house.policies.check, 0

    async def counted(bundle: Any, stage: Any, parts: Sequence[str], facts: Any = None) -> Any:
        nonlocal seen
        seen += sum(map(len, parts)) if stage == "output" else 0
        return await check(bundle, stage, parts, facts)

    monkeypatch.setattr(house.policies, "check", counted)
    config = {**house.config(principal=READER), "recursion_limit": 5_000}
    asked = {"messages": [HumanMessage("What does the archive keep?")]}
    last = await house.graph.ainvoke(asked, config, context=WINDOW)
    assert last["outcome"] == "answered"
    assert seen < 30 * len(last["answer"])
    entries = await house.store.entries(str(config["run_id"]))
    assert 40 < len(entries) < 200
    assert sum(len(one.data) for one in await house.store.frames(str(config["run_id"]))) < 2_000 * sentences
