"""Redaction: idempotent, shows nothing that was hidden, changes nothing else."""

import re
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fiel.policies.bundle import load_bundles
from fiel.policies.mask import masked, merged, settled
from fiel.policies.plain import decide, redact
from fiel.policies.types import Span

DEFAULT = load_bundles()["default"]
MASK = re.compile(r"\[[A-Z_]+\]")

FOUND = [
    "ana@example.org", "4111 1111 1111 1111", "ES91 2100 0418 4502 0005 1332", "12345678Z", "+34 612 345 678",
    "078-05-1120", "postgres://a:s3cret@h", "gh" "p_0aB1cD2eF3gH4iJ5kL6mN7oP8qR9sT0uV1wX", "phone 612345678",
    "![x](https://e.example/?a)", "<img src=x>",
]  # fmt: skip
PIECES = st.lists(
    st.one_of(st.sampled_from(FOUND), st.text(alphabet="a1@.- +(\n\U0001f600é[]:/", max_size=12), st.text(max_size=5)),
    max_size=8,
)


def words_shown(text: str) -> str:
    """What is left of a redacted text without its masks."""
    return MASK.sub("\x00", text)


@settings(max_examples=300, deadline=None)
@given(PIECES)
def test_redaction_is_idempotent_and_enlarges_nothing(pieces: list[str]) -> None:
    text = "".join(pieces)
    for once in (redact(DEFAULT, text), decide(DEFAULT, "output", (text,)).parts[0]):
        assert redact(DEFAULT, redact(DEFAULT, once)) == redact(DEFAULT, once)
        position = 0
        for shown in words_shown(once).split("\x00") if once != "[REDACTED]" else ():
            at = text.find(shown, position)
            assert at >= 0, "a redacted text shows only what stood in the text, in its order"
            position = at + len(shown)
    again = decide(DEFAULT, "output", (text,))
    if again.action == "redact":
        assert decide(DEFAULT, "output", again.parts).parts == again.parts


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="abc ", max_size=20), st.sampled_from(FOUND[:6]), st.text(alphabet="abc ", max_size=20))
def test_what_stands_alone_is_masked_wherever_it_stands(before: str, found: str, after: str) -> None:
    text = f"{before} {found} {after}"
    assert found not in redact(DEFAULT, text)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 9)), max_size=8))
def test_masks_cover_exactly_what_the_spans_cover(ranges: list[tuple[int, int]]) -> None:
    text = "".join(chr(0x1F600 + i) for i in range(40))
    spans = [Span(0, start, start + length, "x") for start, length in ranges]
    covered = {i for span in spans for i in range(span.start, span.end)}
    shown = MASK.sub("", masked(text, spans))
    assert shown == "".join(c for i, c in enumerate(text) if i not in covered)
    joined = merged(spans)
    assert all(a.end <= b.start for a, b in pairwise(joined))


def test_overlapping_spans_make_one_mask_of_the_longest() -> None:
    spans = [Span(0, 0, 4, "short"), Span(0, 2, 12, "long"), Span(0, 12, 14, "next")]
    assert masked("0123456789abcdef", spans) == "[LONG][NEXT]ef"


def test_what_cannot_be_redacted_is_withheld() -> None:
    assert settled("aaaa", [Span(0, 0, 1, "a")], lambda text: [Span(0, 0, 1, "a")]) is None


def test_a_failing_check_shows_nothing_in_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    from fiel.policies.checks.pii import Pii

    def broken(*_: object) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr(Pii, "run", broken)
    assert redact(DEFAULT, "anything at all") == "[REDACTED]"
