"""Where two JSON values differ: the innermost place, by name where things have one."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fiel.infra.replay.compare import paths


def verdict(check: str, action: str = "allow") -> dict[str, Any]:
    return {"stage": "input", "check": check, "action": action}


def passage(chunk: str, text: str = "x") -> dict[str, Any]:
    return {"chunk": chunk, "text": text}


@pytest.mark.parametrize(
    ("then", "now", "found"),
    [
        ([verdict("pii")], [verdict("pii", "block")], [("v[0].action", "allow", "block")]),
        (
            [verdict("length"), verdict("pii")],
            [verdict("length"), verdict("topics"), verdict("pii", "block")],
            [("v[input pii].action", "allow", "block"), ("v[input topics]", None, verdict("topics"))],
        ),
        (
            [passage("a"), passage("b")],
            [passage("b"), passage("a", "y")],
            [("v[a].text", "x", "y"), ("v[order]", ["a", "b"], ["b", "a"])],
        ),
        ([passage("a")], [], [("v[a]", passage("a"), None)]),
        ([passage("a"), passage("a")], [passage("a")], [("v", [passage("a")] * 2, [passage("a")])]),
        ([1, 2], [1, 2, 3], [("v", [1, 2], [1, 2, 3])]),
        ({"a": {"b": 1}}, {"a": {"b": 2}}, [("v.a.b", 1, 2)]),
    ],
)
def test_the_innermost_place_is_named(then: Any, now: Any, found: list[Any]) -> None:
    assert sorted(paths(then, now, "v"), key=str) == sorted(found, key=str)


ITEMS = st.one_of(
    st.integers(0, 2),
    st.fixed_dictionaries({"chunk": st.sampled_from("abc"), "text": st.sampled_from("xy")}),
    st.fixed_dictionaries({"stage": st.sampled_from("io"), "check": st.sampled_from("pq"), "n": st.integers(0, 1)}),
)
VALUES = st.recursive(ITEMS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("kl"), inner))


@given(VALUES, VALUES)
def test_a_difference_is_found_exactly_where_there_is_one(then: Any, now: Any) -> None:
    found = list(paths(then, now, "v"))
    assert bool(found) == (_settled(then) != _settled(now))
    assert all(a != b for _, a, b in found)
    assert len({path for path, _, _ in found}) == len(found)


def _settled(value: Any) -> Any:
    """A key that is missing and one that holds null are the same to whoever compares."""
    if isinstance(value, dict):
        return {key: _settled(item) for key, item in value.items() if item is not None}
    return [_settled(item) for item in value] if isinstance(value, list) else value
