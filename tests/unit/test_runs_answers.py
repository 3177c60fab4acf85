"""Answers of a run that is taken up: each goes to the question that it was given for, or to none."""

from typing import Any

import pytest

from fiel.infra.runs.answers import left, waiting


@pytest.mark.parametrize(
    ("command", "asked", "still", "told"),
    [
        ({"resume": "yes"}, ["a"], {"a"}, {"resume": {"a": "yes"}}),
        ({"resume": "yes"}, ["a"], {"b"}, None),
        ({"resume": {"a": 1, "b": 2}}, ["a", "b"], {"b", "c"}, {"resume": {"b": 2}}),
        ({"resume": {"a": 1}, "update": {"x": 1}}, ["a"], set(), {"update": {"x": 1}}),
        ({"resume": {"plain": "object"}}, ["a"], {"a"}, {"resume": {"a": {"plain": "object"}}}),
        ({"resume": False}, ["a"], {"a"}, {"resume": {"a": False}}),
        ({"resume": "yes"}, [], {"a"}, {"resume": "yes"}),
        ({"goto": "b"}, ["a"], set(), {"goto": "b"}),
    ],
    ids=lambda value: str(sorted(value) if isinstance(value, set) else value),
)
def test_an_answer_goes_to_its_own_question_or_to_none(command: Any, asked: Any, still: Any, told: Any) -> None:
    assert left(command, asked, still) == told


def test_of_a_graph_inside_another_counts_what_waits_in_its_own_state() -> None:
    inner = {"tasks": [{"id": "2", "interrupts": [{"id": "new"}], "state": None}]}
    tasks = [{"id": "1", "interrupts": [{"id": "old"}], "state": inner}, {"id": "3", "interrupts": [{"id": "beside"}]}]
    assert waiting({"tasks": tasks}) == {"new", "beside"}
    assert waiting({}) == set()
