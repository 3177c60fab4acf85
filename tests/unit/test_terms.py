"""The terms of a review: what a bundle says, and that nobody who extends it makes them laxer."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fiel.policies.bundle import PolicyBundle, parse_bundle
from fiel.policies.compare import compare
from fiel.policies.describe import show_bundle
from fiel.policies.terms import SILENT, Terms
from fiel.tools.errors import PolicyError
from fiel.tools.principal import ROLES

HOUSE = """\
name: house
checks:
  - {check: pii, stages: {output: review}}
messages: {en: {blocked: No.}}
"""
SAYS = "review: {roles: [auditor, curator], hours: 48, self: true}\n"
STRICTER = """\
overrides:
  - id: contracts
    collections: [contracts]
    review: {roles: [auditor], hours: 4, self: false}
  - id: curated
    collections: [contracts, notes]
    review: {roles: [curator]}
"""


def house(more: str = SAYS) -> PolicyBundle:
    return parse_bundle(HOUSE + more, "house.yaml")


def child(terms: str, base: PolicyBundle | None = None) -> PolicyBundle:
    return parse_bundle(f"name: child\nextends: house\nreview: {terms}\n", "child.yaml", base or house())


def test_a_bundle_says_who_decides_in_which_time_and_else_the_settings_do() -> None:
    assert house().review == Terms(frozenset({"auditor", "curator"}), 48.0, True)
    assert house("").review == SILENT
    assert show_bundle(house())["review"] == {"roles": ["curator", "auditor"], "hours": 48.0, "self": True}
    assert house("review: {hours: 1}\n").review == Terms(None, 1.0, None)


@pytest.mark.parametrize(
    ("terms", "what"),
    [
        ("{roles: [auditor, developer]}", "does not name"),
        ("{hours: 49}", "is longer"),
        ("{roles: []}", "names nobody"),
        ("{roles: [auditors]}", "unknown value"),
        ("{hours: 0}", "must lie between"),
        ("{self: 1}", "must be true or false"),
        ("{}", "says nothing"),
        ("{own: true}", "unknown key"),
    ],
)
def test_what_extends_only_tightens_and_mistakes_have_their_line(terms: str, what: str) -> None:
    with pytest.raises(PolicyError) as caught:
        child(terms)
    assert what in caught.value.what
    assert caught.value.where == "child.yaml, line 3"


def test_what_is_not_said_is_inherited() -> None:
    assert child("{roles: [auditor]}").review == Terms(frozenset({"auditor"}), 48.0, True)
    assert child("{self: false}").review.own is False


@pytest.mark.parametrize("base", ["", "review: {self: false}\n", "review: {hours: 2}\n"])
def test_who_asked_decides_only_where_the_first_bundle_lets_them(base: str) -> None:
    with pytest.raises(PolicyError, match="does not let who asked decide"):
        child("{self: true}", house(base))
    over = base + "overrides: [{id: x, roles: [developer], review: {self: true}}]\n"
    with pytest.raises(PolicyError, match="does not let who asked decide"):
        house(over)


def test_overrides_tighten_and_where_they_share_nobody_nobody_decides() -> None:
    bundle = house(SAYS + STRICTER)
    notes = bundle.variant(bundle.overriding("notes", ["reader"]))
    assert notes.review == Terms(frozenset({"curator"}), 48.0, True)
    both = bundle.variant(bundle.overriding("contracts", ["reader"]))
    assert both.review == Terms(frozenset(), 4.0, False)
    with pytest.raises(PolicyError, match="does not name"):
        house(SAYS + STRICTER.replace("[curator]", "[developer]"))


def test_the_terms_are_part_of_the_version_and_of_a_comparison() -> None:
    bundles = [house(more) for more in ("", SAYS, SAYS.replace("48", "47"), SAYS + STRICTER)]
    assert len({bundle.version for bundle in bundles}) == 4
    [_, change] = compare(bundles[1], bundles[2])
    assert (change.kind, change.where, change.before, change.after) == ("review", "review.hours", 48.0, 47.0)


terms: Any = st.builds(
    Terms,
    st.none() | st.frozensets(st.sampled_from(ROLES)),
    st.none() | st.floats(0.01, 100),
    st.none() | st.booleans(),
)


@given(terms, terms)
def test_two_terms_together_are_no_laxer_than_either(a: Terms, b: Terms) -> None:
    both = a.and_those(b)
    assert both == b.and_those(a)
    for one in (a, b):
        assert one.roles is None or (both.roles is not None and both.roles <= one.roles)
        assert one.hours is None or (both.hours is not None and both.hours <= one.hours)
        assert one.own is not False or both.own is False
