"""Many replays at once: what is counted, what is shown, and that the report is a page that needs nothing beside it."""

import uuid
from html.parser import HTMLParser
from typing import Any

import pytest

from fiel.graphs.answer.options import Options
from fiel.infra.ledger.subjects import KeyErased
from fiel.infra.replay.change import UNCHANGED, Change
from fiel.infra.replay.many import Stretch, many
from fiel.infra.replay.report import page
from fiel.infra.replay.summary import EXAMPLES, KINDS
from fiel.tools.errors import DatabaseUnavailable, NotPermitted
from fiel.tools.principal import local_administrator
from tests.graph.conftest import DEVELOPER, READER, House
from tests.graph.test_replay import AUDITOR, replays
from tests.graph.test_whatif import WORD, add_bundle

ALL = Stretch()
MARK = "<script>alert(1)</script> What does the vault hold?"


async def _day(house: House, questions: tuple[str, ...]) -> list[str]:
    """A run for each question."""
    runs = [str(uuid.uuid4()) for _ in questions]
    for run, question in zip(runs, questions, strict=True):
        await house.ask(question, run=run, principal=READER)
    await house.recorder.writer.drain()
    return runs


async def test_a_day_under_a_new_bundle_says_what_would_have_been_withheld(recorded: House) -> None:
    add_bundle(recorded, "words", WORD.format(stage="input", word="vault"))
    runs = await _day(recorded, (MARK, "What is held?", " ", "What is in the vault?"))
    told: list[tuple[int, int]] = []
    summary = await many(
        replays(recorded), local_administrator(), runs, Change({"policy": "words"}, live=False), ALL,
        at_once=3, progress=lambda done, of: told.append((done, of)),
    )  # fmt: skip
    value = summary.plain()
    assert value["counts"] == {**dict.fromkeys(KINDS, 0), "withheld": 2, "changed": 1, "same": 1}
    assert value["outcomes"] == {"answered": {"refused": 2, "answered": 1}, "refused": {"refused": 1}}
    assert (value["runs"], value["live_calls"], value["identical"]) == (4, 0, False)
    assert sorted(told) == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert {one["question"] for one in value["examples"]["withheld"]} == {MARK, "What is in the vault?"}
    assert all(one["answer"]["recorded"].startswith("The vault holds") for one in value["examples"]["withheld"])
    text = page(value, "A day")
    assert "<script" not in text and "&lt;script&gt;" in text
    _stands_alone(text)


async def test_what_would_have_been_released_is_named(recorded: House) -> None:
    add_bundle(recorded, "words", WORD.format(stage="input", word="vault"))
    run = str(uuid.uuid4())
    await recorded.ask(run=run, options=Options(policy="words"))
    await recorded.recorder.writer.drain()
    summary = await many(replays(recorded), local_administrator(), [run], Change({"policy": "default"}), ALL)
    (example,) = summary.plain()["examples"]["released"]
    assert example["outcome"] == {"recorded": "refused", "replayed": "answered"}
    assert example["answer"]["replayed"].startswith("The vault holds")


async def test_strict_replays_of_a_day_count_what_is_identical(recorded: House) -> None:
    runs = await _day(recorded, tuple("What does the vault hold?" for _ in range(EXAMPLES + 3)))
    summary = await many(replays(recorded), local_administrator(), runs, UNCHANGED, ALL)
    assert summary.plain()["identical"]
    for run in runs[1:]:
        del recorded.store.sealed[run][1]
    value = (await many(replays(recorded), local_administrator(), runs, UNCHANGED, ALL)).plain()
    assert (value["counts"]["same"], value["counts"]["failed"]) == (1, EXAMPLES + 2)
    assert [one["error"]["code"] for one in value["examples"]["failed"]] == ["not_replayable"] * EXAMPLES
    _stands_alone(page(value, "Broken"))


async def test_a_run_that_is_erased_meanwhile_is_counted_and_the_others_go_on(
    recorded: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = await _day(recorded, ("What?", "Why?"))
    other = str(uuid.uuid4())
    await recorded.ask(run=other, principal=DEVELOPER)
    await recorded.recorder.writer.drain()
    keys, done = recorded.recorder.keys, 0
    named, erased = keys.named, (await keys.of(DEVELOPER.tenant, DEVELOPER.id)).id

    async def looked_up(id: str) -> Any:
        if done and id == erased:
            raise KeyErased("the contents were erased")
        return await named(id)

    def progress(now: int, of: int) -> None:
        nonlocal done
        done = now

    monkeypatch.setattr(keys, "named", looked_up)
    runs = [runs[0], other, runs[1]]
    by = local_administrator()
    summary = await many(replays(recorded), by, runs, UNCHANGED, ALL, at_once=1, progress=progress)
    value = summary.plain()
    assert (value["counts"]["same"], value["counts"]["failed"], value["identical"]) == (2, 1, False)
    assert [(one["run"], one["error"]["code"]) for one in value["examples"]["failed"]] == [(other, "key_erased")]


async def test_runs_that_were_cut_off_are_not_counted_among_the_same(recorded: House) -> None:
    runs = await _day(recorded, ("What?", "Why?"))
    del recorded.store.sealed[runs[1]][2:]
    value = (await many(replays(recorded), local_administrator(), runs, UNCHANGED, ALL)).plain()
    assert (value["counts"]["same"], value["counts"]["cut"], value["identical"]) == (1, 1, True)
    assert [one["run"] for one in value["examples"]["cut"]] == [runs[1]]


async def test_the_limit_of_live_calls_holds_for_all_runs_together(recorded: House) -> None:
    runs = await _day(recorded, ("What?", "Why?", "Who?"))
    change = Change(again=frozenset({"chat"}), most_calls=2)
    value = (await many(replays(recorded), local_administrator(), runs, change, ALL, at_once=3)).plain()
    assert (value["live_calls"], value["counts"]["open"]) == (2, 1)
    assert value["spent"] == {"calls": 2, "input_tokens": 20, "output_tokens": 10, "cost": "0.0002"}
    assert "2 live calls, 20 + 10 tokens, cost 0.0002" in page(value, "Spent")


async def test_an_auditor_without_a_grant_reads_no_question(recorded: House) -> None:
    add_bundle(recorded, "words", WORD.format(stage="input", word="vault"))
    runs = await _day(recorded, (MARK,))
    summary = await many(replays(recorded, ()), AUDITOR, runs, Change({"policy": "words"}, live=False), ALL)
    value = summary.plain()
    assert value["counts"]["withheld"] == 1
    for text in (str(value), page(value, "Masked")):
        assert "vault" not in text and "xylophone" not in text
    with pytest.raises(NotPermitted):
        await many(replays(recorded), READER, runs, UNCHANGED, ALL)


async def test_runs_of_other_collections_are_left_out(recorded: House) -> None:
    runs = await _day(recorded, ("What?",))
    value = (await many(replays(recorded), local_administrator(), runs, UNCHANGED, Stretch(collection="x"))).plain()
    assert value["runs"] == 0


async def test_a_database_that_is_away_ends_it(recorded: House, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = await _day(recorded, ("What?", "Why?"))

    async def away(run: str) -> Any:
        raise DatabaseUnavailable("away")

    monkeypatch.setattr(recorded.store, "run", away)
    with pytest.raises(DatabaseUnavailable):
        await many(replays(recorded), local_administrator(), runs, UNCHANGED, ALL)


class _Page(HTMLParser):
    """Gathers what a page would load."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.addresses += [str(value) for name, value in attrs if name in ("src", "href", "xlink:href")]


def _stands_alone(text: str) -> None:
    seen = _Page()
    seen.feed(text)
    assert "svg" in seen.tags
    assert not seen.tags & {"script", "link", "img", "iframe", "object"}
    assert not seen.addresses
