"""Named queries."""

import pytest

from fiel.tools.sql import load, parse


def test_queries_stand_under_their_names() -> None:
    text = "-- A comment first.\n\n-- name: one\nSELECT 1;\n\n-- name: two_3\n-- why\nSELECT 2\n"
    assert parse(text) == {"one": "SELECT 1;", "two_3": "-- why\nSELECT 2"}


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("SELECT 1", "stands before the first"),
        ("-- name: one\nSELECT 1\n-- name: one\nSELECT 2", "two queries are named one"),
        ("-- name: one\n\n-- name: two\nSELECT 2", "one is empty"),
        ("-- name: One\nSELECT 1", "'One' is no name"),
        ("-- name:\nSELECT 1", "'' is no name"),
    ],
)
def test_what_cannot_be_read_is_refused(text: str, what: str) -> None:
    with pytest.raises(ValueError, match=what):
        parse(text, "here.sql")


def test_a_missing_file_is_an_error() -> None:
    with pytest.raises(FileNotFoundError):
        load("fiel.infra.database", "no_such_file.sql")
