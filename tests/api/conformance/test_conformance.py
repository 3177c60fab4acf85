"""Every check against `fiel serve --graphs` and against `langgraph dev`, which is the oracle for the protocol."""

import pytest

from tests.api.conformance.check import CHECKS
from tests.api.conformance.differences import MISSING, ORACLE
from tests.api.conformance.report import ORACLE_NAME, OURS_NAME, Columns
from tests.langgraph_dev import LANGGRAPH

LEAST = 60
"""Checks that the suite has at least."""

pytestmark = [
    pytest.mark.studio,
    pytest.mark.timeout(400),
    pytest.mark.skipif(not LANGGRAPH.exists(), reason="make .venv-studio/.installed installs langgraph-cli"),
]


def test_there_are_enough_checks_and_each_known_difference_is_of_one() -> None:
    assert len(CHECKS) >= LEAST
    assert {*ORACLE, *MISSING} <= CHECKS.keys()


@pytest.mark.parametrize("name", CHECKS)
def test_fiel_keeps_the_promise(columns: Columns, name: str) -> None:
    outcome = columns[OURS_NAME][name]
    if name in MISSING:
        assert not outcome.passed, f"it is there now: take {name!r} out of differences.MISSING"
        pytest.skip(f"missing: {MISSING[name]}")
    assert outcome.passed, outcome.why


def test_the_oracle_keeps_all_promises_but_those_that_are_known(columns: Columns) -> None:
    broken = {name: outcome.why for name, outcome in columns[ORACLE_NAME].items() if not outcome.passed}
    surprises = {name: why for name, why in broken.items() if name not in ORACLE}
    assert not surprises, "a check that the oracle does not pass may be wrong: look into it"
    assert not ORACLE.keys() - broken.keys(), "these are kept now: take them out of differences.ORACLE"
