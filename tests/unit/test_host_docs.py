"""docs/graphs.md says what the code does."""

import re
from pathlib import Path

from fiel.infra.hosts.allowed import _RULES
from fiel.infra.hosts.manifest import _BUILDING, _HONOURED

PAGE = (Path(__file__).parents[2] / "docs" / "graphs.md").read_text(encoding="utf-8")


def test_the_keys_of_the_table_are_those_of_the_code() -> None:
    rows = [line.split("|")[1] for line in PAGE.splitlines() if line.startswith("| `")]
    named = {name for row in rows for name in re.findall(r"`([a-z_]+)`", row)}
    assert named == (_HONOURED | _BUILDING) - {"http", "$schema"}


def test_the_channels_that_are_shown_are_named() -> None:
    sentence = re.search(r"an ordinary caller sees ([^.]*)\.", PAGE)
    assert sentence is not None
    assert set(re.split(r",\s+|\s+and\s+", sentence.group(1).replace("\n", " "))) == set(_RULES)
