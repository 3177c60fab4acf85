"""The page on the OWASP list names tests that there are, for every risk of the list."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/owasp.md").read_text(encoding="utf-8")


def test_every_risk_names_tests_and_every_test_exists() -> None:
    pieces = re.split(r"^## (LLM\d\d) ", PAGE, flags=re.M)[1:]
    parts = dict(zip(pieces[::2], pieces[1::2], strict=True))
    assert list(parts) == [f"LLM{number:02}" for number in range(1, 11)]
    for risk, text in parts.items():
        named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text)
        assert named, risk
        for file, test in named:
            source = (ROOT / file).read_text(encoding="utf-8")
            assert re.search(rf"^(?:async )?def {test}\(", source, re.M), f"{file}::{test}"
