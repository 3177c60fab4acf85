"""Placeholders: stable, never in the way of a mask, and what must never happen to them."""

import re
from collections.abc import Mapping
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fiel.policies.bundle import parse_bundle
from fiel.policies.placeholders import FACT, Names, renumbered, restored
from fiel.policies.plain import decide
from fiel.policies.types import Decision
from fiel.tools.errors import PolicyError
from fiel.tools.principal import ROLES

HOUSE = parse_bundle(
    """
name: house
restore: [curator]
checks:
  - {check: pii, stages: {input: replace, output: replace}}
  - {check: secrets, stages: {input: redact, output: redact}}
messages: {en: {blocked: No.}}
"""
)
KEY = "ghp_0aB1cD2eF3gH4iJ5kL6mN7oP8qR9sT0uV1wX"
VALUES = ["ana@example.org", "eva@example.org", "4111 1111 1111 1111", "+34 612 345 678", "12345678Z"]
PLACEHOLDER = re.compile(r"<[A-Z_]+_[1-9][0-9]*>|\[[A-Z_]+\]")
PIECES = st.lists(
    st.one_of(
        st.sampled_from([*VALUES, KEY, "<EMAIL_1>", "<EMAIL_2>", "<PHONE_1>"]),
        st.text(alphabet="a1@.- +<>_E(\n\U0001f600é", max_size=12),
    ),
    max_size=8,
)


def replaced(text: str, known: Mapping[str, str] | None = None) -> Decision:
    return decide(HOUSE, "output", (text,), {FACT: dict(known or {})})


def test_equal_values_have_one_placeholder_and_others_another() -> None:
    decision = replaced("Ask ana@example.org, then eva@example.org, then ANA@example.org, at +34 612 345 678.")
    assert decision.action == "replace"
    assert decision.parts == ("Ask <EMAIL_1>, then <EMAIL_2>, then <EMAIL_1>, at <PHONE_1>.",)
    assert decision.placeholders == {
        "<EMAIL_1>": "ana@example.org", "<EMAIL_2>": "eva@example.org", "<PHONE_1>": "+34 612 345 678",
    }  # fmt: skip


def test_a_conversation_goes_on_with_what_it_knows() -> None:
    first = replaced("Ask ana@example.org.")
    second = replaced("Not eva@example.org but ana@example.org.", first.placeholders)
    assert second.parts == ("Not <EMAIL_2> but <EMAIL_1>.",)
    assert first.placeholders.items() <= second.placeholders.items()


def test_a_mask_is_stronger_than_a_placeholder() -> None:
    decision = replaced(f"Ask ana@example.org for {KEY}.")
    assert decision.action == "redact"
    assert decision.parts == ("Ask <EMAIL_1> for [GITHUB_TOKEN].",)
    assert KEY not in "".join(decision.placeholders.values())


def test_a_number_that_stands_in_the_text_is_given_to_nobody() -> None:
    decision = replaced("Is <EMAIL_1> the same as ana@example.org?")
    assert decision.parts == ("Is <EMAIL_1> the same as <EMAIL_2>?",)


def test_too_many_values_are_held_back() -> None:
    known = {f"<EMAIL_{number}>": f"u{number}@example.org" for number in (1, 9_999)}
    decision = replaced("Ask ana@example.org.", known)
    assert (decision.action, decision.reason) == ("block", "check_failed")
    assert decision.placeholders == {}


@settings(max_examples=300, deadline=None)
@given(PIECES)
def test_replacing_is_idempotent_enlarges_nothing_and_can_be_undone(pieces: list[str]) -> None:
    text = "".join(pieces)
    once = replaced(text)
    if once.action == "block":
        return
    twice = replaced(once.parts[0], once.placeholders)
    assert twice.parts == once.parts
    assert twice.placeholders == once.placeholders
    position = 0
    for shown in PLACEHOLDER.split(once.parts[0]):
        at = text.find(shown, position)
        assert at >= 0, "only what stood in the text is shown, in its order"
        position = at + len(shown)
    back = restored(once.parts[0], once.placeholders)
    assert [restored(back, {})] == [back]
    if "redact" not in {verdict.action for verdict in once.verdicts} and "<" not in text:
        assert _plain(back) == _plain(text)


def _plain(text: str) -> str:
    """Without what a placeholder does not keep: of equal values the first one's case and white space come back."""
    return " ".join(text.split()).casefold()


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from([f"<EMAIL_{n}>" for n in range(1, 6)]), st.text(max_size=12), max_size=5))
def test_what_is_put_back_is_not_read_again(known: dict[str, str]) -> None:
    text = " ".join(known)
    assert restored(text, known) == " ".join(known.values())


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(VALUES), st.sampled_from(["email", "phone"])), max_size=30))
def test_two_values_never_share_a_placeholder(asked: list[tuple[str, str]]) -> None:
    names = Names({})
    given_out = {names.of(value, kind): value for value, kind in asked}
    assert len(given_out) == len({value for value, _ in asked})
    assert {names.of(value, "other") for value, _ in asked} == set(given_out)


BASE = """
name: base
checks:
  - {check: pii, stages: {input: %s}}
messages: {en: {blocked: No.}}
"""


def test_a_bundle_that_extends_another_puts_no_more_back() -> None:
    redacting, replacing = parse_bundle(BASE % "redact"), parse_bundle(BASE % "replace")
    assert not replacing.restores({"curator", "administrator"})
    with pytest.raises(PolicyError, match="puts nothing back for curator"):
        parse_bundle("name: more\nextends: base\nrestore: [curator]", base=replacing)
    with pytest.raises(PolicyError, match="laxer"):
        parse_bundle("name: more\nextends: base\nchecks: [{check: pii, stages: {input: replace}}]", base=redacting)
    own = "name: more\nextends: base\nrestore: [curator]\nchecks: [{check: entities, stages: {input: replace}}]"
    assert parse_bundle(own, base=redacting).restores({"curator"})
    stricter = parse_bundle("name: more\nextends: base\nchecks: [{check: pii, stages: {input: block}}]", base=replacing)
    assert stricter.restore == ()


SOME = st.sets(st.sampled_from(ROLES))


@settings(max_examples=50, deadline=None)
@given(named=SOME, held=SOME)
def test_values_go_back_to_a_caller_with_a_role_that_the_bundle_names_and_to_nobody_else(
    named: set[str], held: set[str]
) -> None:
    bundle = parse_bundle(f"{BASE % 'replace'}\nrestore: [{', '.join(sorted(named))}]")
    assert bundle.restores(held) == bool(named & held)


def test_what_is_put_back_is_part_of_the_version() -> None:
    versions = [parse_bundle(f"{BASE % 'replace'}\nrestore: {roles}").version for roles in ("[]", "[curator]")]
    assert all(a != b for a, b in pairwise(versions))
    assert HOUSE.restores({"curator"})
    assert not HOUSE.restores({"reader", "administrator"})


class _Counted(str):
    """A name that counts how often any is compared with another."""

    compared = 0
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        _Counted.compared += 1
        return str.__eq__(self, other)


def test_placeholders_are_numbered_as_they_are_read_each_within_its_kind() -> None:
    after = {"<EMAIL_1>": "a", "<PHONE_1>": "p", "<EMAIL_2>": "b", "<EMAIL_3>": "c", "<PHONE_2>": "q"}
    read = "<PHONE_2> <EMAIL_3> <EMAIL_1> <EMAIL_2> <PHONE_1>"
    found = renumbered([read], read, {"<EMAIL_1>": "a"}, after)
    assert found.texts == ("<PHONE_1> <EMAIL_2> <EMAIL_1> <EMAIL_3> <PHONE_2>",)
    assert found.known == {"<EMAIL_1>": "a", "<PHONE_2>": "p", "<EMAIL_3>": "b", "<EMAIL_2>": "c", "<PHONE_1>": "q"}


def _compared(count: int) -> int:
    """Comparisons that it takes to number `count` placeholders, read from the last to the first."""
    names = [_Counted(f"<EMAIL_{number}>") for number in range(1, count + 1)]
    read = " ".join(reversed(names))
    _Counted.compared = 0
    assert renumbered([read], read, {}, dict.fromkeys(names, "")).texts == (" ".join(names),)
    return _Counted.compared


def test_twice_as_many_placeholders_take_twice_the_comparisons() -> None:
    assert _compared(800) < 2.2 * _compared(400)
