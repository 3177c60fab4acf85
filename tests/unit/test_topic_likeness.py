"""Topic limits by meaning: what the score says of long, short and shared texts, and that a broken fit blocks."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from fiel.policies import likeness as fits
from fiel.policies.bundle import parse_bundle
from fiel.policies.checks.topic_likeness import TopicLikeness
from fiel.policies.plain import decide
from fiel.tools import e5
from fiel.tools.errors import PolicyError

BETTING = ("How do I place a bet on a match?", "Which odds do bookmakers give?", "How do I win at roulette?")
LEAVE = ("How many days of leave do I have?", "Who approves my holiday?", "Where do I hand in a sick note?")
HOUSE = """\
name: house
limit_ms: 60000
messages: {en: {blocked: No.}}
checks:
  - check: topic_likeness
    stages: {input: {flag: 0.3, block: 0.5}}
    with:
      denied: ["How do I place a bet on a match?", "Which odds do bookmakers give?", "How do I win at roulette?"]
      allowed: ["How many days of leave do I have?", "Who approves my holiday?", "Where do I hand in a sick note?"]
examples:
  - {stage: input, text: "May I take my holiday in August?", expect: allow}
  - {stage: input, text: "¿A qué cuota está la apuesta al Betis?", expect: block, reason: denied_topic}
  - {stage: input, text: "Who painted the ceiling of the chapel?", expect: block, reason: off_topic}
"""


def test_a_bundle_limits_topics_by_example_questions() -> None:
    bundle = parse_bundle(HOUSE)
    decision = decide(bundle, "input", ["Where do I bet on the favourite of the cup?"])
    assert (decision.action, decision.reason) == ("block", "denied_topic")


def test_the_worst_window_counts() -> None:
    check, filler = TopicLikeness(denied=BETTING), "The harbour closes at nine in the evening. " * 40
    [early], [late] = (check.run((text,), {}).scores for text in (filler, filler + BETTING[0] * 20))
    assert early < 0.3 < 0.9 < late
    on, off = (TopicLikeness(allowed=LEAVE).run((text,), {}).scores[0] for text in (LEAVE[0], LEAVE[0] + filler))
    assert on < 0.1 < 0.5 < off


@pytest.mark.parametrize("text", ["", " ", "Thanks!", "?", "yes please", "\x00", "\ud800"])
def test_what_names_no_topic_is_never_off_topic(text: str) -> None:
    assert TopicLikeness(allowed=LEAVE).run((text,), {}).scores == (0.0,)
    assert TopicLikeness().run((text, "anything at all, please"), {}).scores == (0.0, 0.0)


def test_the_question_is_embedded_once_and_the_examples_once_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    class Counting:
        asked: list[list[str]] = []  # noqa: RUF012

        def encode(self, windows: Sequence[str], is_query: bool) -> Any:
            self.asked.append(list(windows))
            return np.ones((len(windows), e5.DIMENSIONS), np.float32) * np.arange(1, e5.DIMENSIONS + 1)

    engine = e5.Engine(Counting())
    monkeypatch.setattr(e5, "_shared", engine)
    fits.examples.cache_clear()
    engine.encode(["Who approves it all?"], True)  # as retrieval does
    for _ in range(2):
        TopicLikeness(denied=BETTING).run(("Who approves it all?",), {})
    assert Counting.asked == [["Who approves it all?"], list(BETTING)]
    fits.examples.cache_clear()


def test_a_bundle_that_extends_may_deny_more_and_allow_less() -> None:
    assert TopicLikeness(denied=(*BETTING, *LEAVE)).loosens(TopicLikeness(denied=BETTING)) is None
    assert TopicLikeness(denied=BETTING[:1]).loosens(TopicLikeness(denied=BETTING)) == "denied"
    assert TopicLikeness(allowed=LEAVE).loosens(TopicLikeness()) is None
    assert TopicLikeness().loosens(TopicLikeness(allowed=LEAVE)) == "allowed"


@pytest.fixture
def unread() -> Iterator[None]:
    fits.likeness.cache_clear()
    yield
    fits.likeness.cache_clear()


@pytest.mark.parametrize("held", [b"", b"no numbers", None])
def test_a_fit_that_is_broken_does_not_pass(monkeypatch: pytest.MonkeyPatch, unread: None, held: bytes | None) -> None:
    def bytes_of(name: str) -> bytes:
        if held is None:
            raise PolicyError("missing")
        return held

    bundle = parse_bundle(HOUSE.split("examples:")[0])
    fits.likeness.cache_clear()
    monkeypatch.setattr(fits, "bytes_of", bytes_of)
    decision = decide(bundle, "input", ["May I take my holiday in August?"])
    assert (decision.action, decision.reason) == ("block", "check_failed")
    fits.examples.cache_clear()
    with pytest.raises(PolicyError):
        parse_bundle(HOUSE.replace("How do I place", "How does one place"))
