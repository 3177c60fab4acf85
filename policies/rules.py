"""Rules: a check with what a bundle does about it, and the judgement of texts by the rules of one stage.

The judgement is the same however the rules are run (in order, side by side, in a guard): verdicts stand in the bundle's
order through the first that blocks, and the rest say `not_run`.
"""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from fiel.policies.checks.base import Check, Found
from fiel.policies.limits import Threads
from fiel.policies.mask import Named, settled
from fiel.policies.placeholders import FACT, TAKEN, Names
from fiel.policies.types import HELD, MASKING, Action, Decision, Span, Stage, Verdict
from fiel.tools.canonical import score as decimal

SEVERITY: dict[str, int] = {
    "not_run": -1, "allow": 0, "flag": 1, "replace": 2, "redact": 3, "review": 4, "block": 5,
}  # fmt: skip

CHECK_FAILED = "check_failed"
INLINE_CHARACTERS = 20_000
"""Texts up to this length in all are judged on the event loop by checks that are linear; longer ones in a thread."""


@dataclass(frozen=True, slots=True)
class Band:
    """From `threshold` on, `action`."""

    threshold: float
    action: Action


@dataclass(frozen=True, slots=True)
class Rule:
    """One check in one stage of a bundle."""

    id: str
    check: Check
    stage: Stage
    bands: tuple[Band, ...]
    """Mild to severe, thresholds rising. Not empty."""
    limit: float
    """Seconds."""
    version: str
    """Of the bundle."""

    def verdict(self, found: object, parts: Sequence[str], ms: float) -> Verdict:
        """The verdict on what the check found. Raises ValueError for what cannot be read."""
        result = _readable(found, parts)
        score = max(result.scores, default=0.0)
        reached = [band for band in self.bands if score >= band.threshold]
        band = reached[-1] if reached else self.bands[0]
        if not reached:
            return Verdict(
                self.id, self.stage, self.version, "allow", decimal(score), decimal(band.threshold), "ok", (), ms
            )
        least = min(b.threshold for b in reached if b.action == band.action)
        spans = tuple(span for span in result.spans if result.scores[span.part] >= least)
        return Verdict(
            self.id, self.stage, self.version, band.action, decimal(score), decimal(band.threshold),
            result.reason or self.check.reason, spans, ms,
        )  # fmt: skip

    def failed(self, ms: float = 0.0) -> Verdict:
        """The verdict on a check that raised, hung, or answered what cannot be read."""
        return Verdict(self.id, self.stage, self.version, "block", decimal(1.0), decimal(0.0), CHECK_FAILED, (), ms)

    def takes(self, action: Action) -> bool:
        """Whether some score leads to `action`."""
        return any(band.action == action for band in self.bands)

    def skipped(self) -> Verdict:
        return Verdict(self.id, self.stage, self.version, "not_run", decimal(0.0), decimal(0.0), "not_run")


def _readable(found: object, parts: Sequence[str]) -> Found:
    """`found`, if it is what a check may answer about `parts`."""
    if not isinstance(found, Found) or len(found.scores) != len(parts):
        raise ValueError("a check must answer with one score a part")
    for score in found.scores:
        if not isinstance(score, float) or not math.isfinite(score) or not 0.0 <= score <= 1.0:
            raise ValueError("a score must be a number from 0 to 1")
    if not isinstance(found.reason, str):
        raise ValueError("a reason must be a code")
    for span in found.spans:
        if not isinstance(span, Span) or not isinstance(span.kind, str):
            raise ValueError("a span must be one and say what it is")
        if not 0 <= span.part < len(parts):
            raise ValueError("a span must name one of the parts")
        if not 0 <= span.start < span.end <= len(parts[span.part]):
            raise ValueError("a span must lie within its part")
    return found


class Work:
    """One call: texts, facts, and the verdicts as they come in. Made for one call and thrown away."""

    __slots__ = ("_blocked", "_inline", "_threads", "facts", "parts", "rules", "verdicts")

    def __init__(
        self, rules: Sequence[Rule], parts: Sequence[str], facts: Mapping[str, Any] | None, threads: Threads
    ) -> None:
        self.rules = rules
        self.parts = tuple(parts)
        self.facts: Mapping[str, Any] = facts or {}
        self.verdicts: list[Verdict | None] = [None] * len(rules)
        self._threads = threads
        self._inline = sum(map(len, self.parts)) <= INLINE_CHARACTERS
        self._blocked = len(rules)

    def waits(self, index: int) -> bool:
        """Whether rule `index` judges in a thread, so that others can meanwhile."""
        return not (self._inline and self.rules[index].check.inline)

    async def judge(self, index: int) -> None:
        """Let rule `index` judge, and note its verdict. Does not raise: what fails, blocks."""
        rule = self.rules[index]
        if not self.waits(index):
            self.judge_here(index)
        elif index < self._blocked:
            started = time.perf_counter()
            try:
                found, ms = await self._threads.run(lambda: _timed(rule.check, self.parts, self.facts), rule.limit)
                # On a busy loop an answer that came too late may be seen before its limit is.
                verdict = (
                    rule.failed(ms) if ms > rule.limit * 1000 else rule.verdict(found, self.parts, _since(started))
                )
            except Exception:
                # The edge at which a failure becomes a block: nothing about the text is known, so it does not pass.
                verdict = rule.failed(_since(started))
            self._note(index, verdict)

    def judge_here(self, index: int) -> None:
        """`judge` without a thread: a check that overruns its limit is found out when it is done."""
        if index > self._blocked:
            return
        rule = self.rules[index]
        started = time.perf_counter()
        try:
            found = rule.check.run(self.parts, self.facts)
            ms = _since(started)
            verdict = rule.failed(ms) if ms > rule.limit * 1000 else rule.verdict(found, self.parts, ms)
        except KeyboardInterrupt:  # it comes from the keyboard, not from the check
            raise
        except BaseException:
            # The same edge. A check is no coroutine, so a cancellation that comes out of it is of its own making.
            verdict = rule.failed(_since(started))
        self._note(index, verdict)

    def _note(self, index: int, verdict: Verdict) -> None:
        self.verdicts[index] = verdict
        if verdict.action == "block":
            self._blocked = min(self._blocked, index)

    def decide(self) -> Decision:
        """The decision on the verdicts that came in; a rule without one has failed."""
        verdicts: list[Verdict] = []
        for rule, verdict in zip(self.rules, self.verdicts, strict=True):
            if verdicts and verdicts[-1].action in ("block", "not_run"):
                verdicts.append(rule.skipped())
            else:
                verdicts.append(verdict or rule.failed())
        return self._decision(verdicts)

    def fail(self) -> Decision:
        """The decision where the rules could not be run at all."""
        self.verdicts = [None] * len(self.rules)
        return self.decide()

    def _decision(self, verdicts: list[Verdict]) -> Decision:
        action = max((v.action for v in verdicts), key=SEVERITY.__getitem__, default="allow")
        parts, names = self.parts, self._names()
        if any(v.action in MASKING for v in verdicts):
            try:
                redacted = self._redacted(verdicts, names)
            except Exception:  # the second look failed: what is left in the text is not known
                redacted = None
            if redacted is None:
                return self._unredactable(verdicts)
            parts = redacted
        reason = next((v.reason for v in verdicts if v.action == action in HELD), "ok")
        known = names.known if any(rule.takes("replace") for rule in self.rules) else {}
        return Decision(action, tuple(verdicts), parts, reason, known)  # type: ignore[arg-type]

    def _names(self) -> Names:
        return Names(self.facts.get(FACT, {}), (*self.parts, self.facts.get(TAKEN, "")))

    def _redacted(self, verdicts: list[Verdict], names: Names) -> tuple[str, ...] | None:
        # Every masking rule looks again: what one of them masks can bring to light what another looks for.
        ran = [rule for rule, v in zip(self.rules, verdicts, strict=True) if v.action != "not_run"]
        redacting, replacing = ([rule for rule in ran if rule.takes(action)] for action in ("redact", "replace"))
        find = partial(spans_of, redacting, facts=self.facts)
        named = Named(partial(spans_of, replacing, facts=self.facts, action="replace"), names.of)
        out = list(self.parts)
        for part in sorted({span.part for v in verdicts if v.action in MASKING for span in v.spans}):
            found = {
                action: [s for v in verdicts if v.action == action for s in v.spans if s.part == part]
                for action in MASKING
            }
            text = settled(out[part], found["redact"], find, found["replace"], named)
            if text is None:
                return None
            out[part] = text
        return tuple(out)

    def _unredactable(self, verdicts: list[Verdict]) -> Decision:
        """What was found cannot be masked for good: the first masking check blocks instead."""
        first = next(i for i, v in enumerate(verdicts) if v.action in MASKING)
        changed = replace(verdicts[first], action="block", reason=CHECK_FAILED)
        rest = [rule.skipped() for rule in self.rules[first + 1 :]]
        return Decision("block", (*verdicts[:first], changed, *rest), self.parts, CHECK_FAILED)


def spans_of(rules: Sequence[Rule], text: str, facts: Mapping[str, Any], action: Action = "redact") -> list[Span]:
    """What the checks of `rules` find in `text`, above the threshold from which each takes `action`."""
    out: list[Span] = []
    for rule in rules:
        found = _readable(rule.check.run((text,), facts), (text,))
        least = min((b.threshold for b in rule.bands if b.action == action), default=rule.bands[0].threshold)
        if found.scores[0] >= least:
            out.extend(found.spans)
    return out


def _timed(check: Check, parts: Sequence[str], facts: Mapping[str, Any]) -> tuple[Found, float]:
    """What the check found, and the milliseconds that it took."""
    started = time.perf_counter()
    return check.run(parts, facts), _since(started)


def _since(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 3)
