"""What follows a JSON schema and what does not."""

from typing import Any

import pytest

from fiel.tools.chat.schema import follows

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "labels": {"type": "array", "items": {"enum": ["a", "b"]}, "minItems": 1, "maxItems": 2},
        "n": {"type": "integer", "minimum": 1, "maximum": 3},
        "name": {"type": "string", "minLength": 1, "maxLength": 3},
        "flag": {"enum": [True, None]},
        "x": {"type": "number"},
    },
    "required": ["labels"],
    "additionalProperties": False,
}

GOOD: list[Any] = [
    {"labels": ["a"]},
    {"labels": ["a", "b"], "n": 3, "name": "abc", "flag": None, "x": 1.5},
    {"labels": ["b"], "flag": True, "x": 2},
]
BAD: list[Any] = [
    None,
    [],
    "a",
    {},
    {"labels": []},
    {"labels": ["c"]},
    {"labels": ["a", "b", "a"]},
    {"labels": "a"},
    {"labels": ["a"], "more": 1},
    {"labels": ["a"], "n": 0},
    {"labels": ["a"], "n": 4},
    {"labels": ["a"], "n": True},
    {"labels": ["a"], "n": "1"},
    {"labels": ["a"], "n": 1.5},
    {"labels": ["a"], "name": ""},
    {"labels": ["a"], "name": "abcd"},
    {"labels": ["a"], "flag": 1},
    {"labels": ["a"], "x": True},
    {"labels": ["a"], "x": None},
]


@pytest.mark.parametrize("value", GOOD, ids=repr)
def test_follows(value: Any) -> None:
    assert follows(value, SCHEMA)


@pytest.mark.parametrize("value", BAD, ids=repr)
def test_does_not_follow(value: Any) -> None:
    assert not follows(value, SCHEMA)


def test_an_unknown_keyword_is_an_error() -> None:
    with pytest.raises(ValueError, match="patternProperties"):
        follows({}, {"patternProperties": {}})
