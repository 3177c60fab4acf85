"""Both columns, for people."""

from collections.abc import Iterator, Mapping

from tests.api.conformance.check import CHECKS, Outcome
from tests.api.conformance.differences import MISSING, ORACLE

ORACLE_NAME = "langgraph dev"
OURS_NAME = "fiel"
Columns = Mapping[str, Mapping[str, Outcome]]


def lines(columns: Columns) -> Iterator[str]:
    """A line a check with what both servers did, then who follows the documentation where they differ."""
    oracle, ours = columns[ORACLE_NAME], columns[OURS_NAME]
    width = max(map(len, CHECKS))
    yield f"{'check':{width}}  {ORACLE_NAME}  {OURS_NAME}"
    for name in CHECKS:
        yield f"{name:{width}}  {_word(oracle[name], ''):13}  {_word(ours[name], MISSING.get(name, ''))}"
    yield ""
    for name in CHECKS:
        if oracle[name].passed != ours[name].passed:
            yield from _difference(name, oracle[name], ours[name])
    for name in CHECKS:
        if not oracle[name].passed and not ours[name].passed:
            yield f"{name}: neither follows the documentation ({CHECKS[name].says})"
            yield f"    {ORACLE_NAME}: {ORACLE.get(name, oracle[name].why)}"
            yield f"    {OURS_NAME}: {MISSING.get(name, ours[name].why)}"
    yield (
        f"{len(CHECKS)} checks: {ORACLE_NAME} passes {_passed(oracle)} in {_seconds(oracle):.0f} s, "
        f"{OURS_NAME} passes {_passed(ours)} in {_seconds(ours):.0f} s (sums over the checks)"
    )


def _word(outcome: Outcome, missing: str) -> str:
    return "pass" if outcome.passed else "missing" if missing else "FAIL"


def _difference(name: str, oracle: Outcome, ours: Outcome) -> Iterator[str]:
    follows, differs = (OURS_NAME, ORACLE_NAME) if ours.passed else (ORACLE_NAME, OURS_NAME)
    known = ORACLE.get(name) if ours.passed else MISSING.get(name)
    yield f"{name}: {follows} follows the documentation ({CHECKS[name].says})"
    yield f"    {differs}: {known or (oracle if ours.passed else ours).why}"


def _passed(column: Mapping[str, Outcome]) -> int:
    return sum(outcome.passed for outcome in column.values())


def _seconds(column: Mapping[str, Outcome]) -> float:
    return sum(outcome.seconds for outcome in column.values())
