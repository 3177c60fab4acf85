"""A bundle tried on labelled texts: what it catches, what it catches wrongly, and how long it takes.

A line is `{"text", "label"}`, label 1 for what must be caught and 0 for what must not; also `stage` (else the one
given), `check` (an id of the bundle: only that check counts) and `facts` (what checks compare with).
"""

import json
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fiel.infra.evaluation.statistics import Figure, share
from fiel.policies.bundle import PolicyBundle
from fiel.policies.plain import judged
from fiel.policies.rules import SEVERITY, Rule
from fiel.policies.types import STAGES, Decision, Stage
from fiel.tools.errors import UsageError


@dataclass(frozen=True, slots=True)
class Row:
    """One labelled text."""

    text: str
    bad: bool
    stage: Stage
    check: str
    """Id of the only check that counts; empty: the whole stage."""
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of a bundle's trial."""

    recall: Figure
    """Share of the texts with label 1 that were caught."""
    false_positives: Figure
    """Share of the texts with label 0 that were caught."""
    caught_by: Mapping[str, int]
    """Check to the texts that it caught, rightly or not."""
    failed: int
    """Texts on which a check failed: they are blocked, and count as caught."""
    ms: tuple[float, ...]
    """Milliseconds a text, of the whole stage, in the order of the rows."""

    def fails(self, min_recall: float | None, max_fpr: float | None) -> bool:
        """Whether a figure that a threshold is set for is worse than it, or cannot be had."""
        low = min_recall is not None and not self.recall.value >= min_recall
        return low or (max_fpr is not None and not self.false_positives.value <= max_fpr)


def read_rows(file: Path, stage: Stage, bundle: PolicyBundle) -> list[Row]:
    """The rows of a file of JSON lines. Raises UsageError with file and line."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the labelled file cannot be read: {error}", where=str(file)) from error
    rows = [_row(line, f"{file}, line {number}", stage, bundle) for number, line in enumerate(lines, 1) if line.strip()]
    if not rows:
        raise UsageError("the labelled file has no lines", where=str(file))
    return rows


def _row(line: str, where: str, stage: Stage, bundle: PolicyBundle) -> Row:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"not JSON: {error}", where=where) from error
    if not isinstance(value, dict) or not isinstance(value.get("text"), str) or value.get("label") not in (0, 1):
        raise UsageError('a line is {"text": …, "label": 0 or 1}', where=where)
    place, check, facts = value.get("stage", stage), value.get("check", ""), value.get("facts", {})
    if place not in STAGES:
        raise UsageError(f"there is no stage {place!r}", where=where, hint=f"Stages: {', '.join(STAGES)}")
    if check and check not in {rule.id for rule in bundle.rules[place]}:
        raise UsageError(f"the bundle has no check {check!r} in the stage {place}", where=where)
    if not isinstance(facts, dict):
        raise UsageError("facts must be an object", where=where)
    return Row(value["text"], bool(value["label"]), place, check, facts)


def tried(bundle: PolicyBundle, rows: Sequence[Row], least: str = "replace") -> Trial:
    """Judge every row; a text is caught where the action is `least` or severer."""
    hits: dict[bool, list[bool]] = {True: [], False: []}
    caught_by: dict[str, int] = {}
    ms: list[float] = []
    failed = 0
    for row in rows:
        decision = judged(_rules(bundle, row), (row.text,), row.facts)
        hits[row.bad].append(SEVERITY[decision.action] >= SEVERITY[least])
        ms.append(sum(verdict.ms for verdict in decision.verdicts))
        failed += decision.reason == "check_failed"
        for check in _caught(decision, least):
            caught_by[check] = caught_by.get(check, 0) + 1
    return Trial(share(hits[True]), share(hits[False]), caught_by, failed, tuple(ms))


def _rules(bundle: PolicyBundle, row: Row) -> tuple[Rule, ...]:
    return tuple(rule for rule in bundle.rules[row.stage] if not row.check or rule.id == row.check)


def _caught(decision: Decision, least: str) -> Iterable[str]:
    return (verdict.check for verdict in decision.verdicts if SEVERITY[verdict.action] >= SEVERITY[least])


def as_plain(trial: Trial) -> dict[str, Any]:
    """The trial as JSON values; a figure without a sample is null."""
    return {
        "recall": _figure(trial.recall),
        "false_positives": _figure(trial.false_positives),
        "caught_by": dict(sorted(trial.caught_by.items(), key=lambda item: (-item[1], item[0]))),
        "failed": trial.failed,
        "ms": {"p50": round(statistics.median(trial.ms), 3), "p95": round(_at(trial.ms, 0.95), 3), "n": len(trial.ms)},
    }


def _figure(figure: Figure) -> dict[str, Any] | None:
    if not figure.n:
        return None
    number: Callable[[float], float] = lambda value: round(value, 4)  # noqa: E731
    return {"value": number(figure.value), "low": number(figure.low), "high": number(figure.high), "n": figure.n}


def _at(values: Sequence[float], part: float) -> float:
    return sorted(values)[min(len(values) - 1, int(part * len(values)))]
