"""Sifting: many texts of which each may fall, checked again until what is left stands."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from fiel.policies.rules import SEVERITY
from fiel.policies.types import HELD, Bundle, Decision, Policies, Span, Stage, Verdict


@dataclass(frozen=True, slots=True)
class Sifted:
    """What is left of the texts, and what was said of all of them."""

    kept: Mapping[int, str]
    """Place among the given texts to the text after redaction; in order."""
    flagged: frozenset[int]
    """Places of the kept texts that something flags."""
    verdicts: tuple[Verdict, ...]
    """One a check, in the bundle's order: the severest of all rounds. Spans name places among the given texts."""
    failed: str
    """Reason of what blocked without saying where, a check that failed above all; then nothing is kept."""
    placeholders: Mapping[str, str] = field(default_factory=dict)
    """Those of the kept texts, and those that were known before; see `Decision`."""


async def sift(
    policies: Policies,
    bundle: Bundle,
    stage: Stage,
    parts: Sequence[str],
    facts: Mapping[str, Any],
    drop: frozenset[str] = HELD,
) -> Sifted:
    """Check, drop the texts on which a verdict takes an action of `drop`, and check the rest, until none falls.

    A verdict names only what reached its severest action, and the checks after a blocker do not run: neither what lies
    in a milder band nor what a later check would say is known until the blocked texts are gone.
    """
    places = list(range(len(parts)))
    rounds: list[list[Verdict]] = []
    while True:
        decision = await policies.check(bundle, stage, [parts[place] for place in places], _of(facts, places))
        rounds.append([_placed(verdict, places) for verdict in decision.verdicts])
        fallen, unlocated = _fallen(decision, places, drop)
        if unlocated:
            return Sifted({}, frozenset(), _merged(rounds), decision.reason if decision.reason != "ok" else "blocked")
        if not fallen:
            break
        places = [place for place in places if place not in fallen]
        if not places:
            return Sifted({}, frozenset(), _merged(rounds), "")
    flagged = {span.part for verdict in rounds[-1] if verdict.action == "flag" for span in verdict.spans}
    kept = dict(zip(places, decision.parts, strict=True))
    return Sifted(kept, frozenset(flagged), _merged(rounds), "", decision.placeholders)


def _of(facts: Mapping[str, Any], places: Sequence[int]) -> dict[str, Any]:
    """The facts about the texts at `places`: what is a list has one value a text."""
    return {name: [fact[at] for at in places] if isinstance(fact, list) else fact for name, fact in facts.items()}


def _fallen(decision: Decision, places: Sequence[int], drop: frozenset[str]) -> tuple[set[int], bool]:
    """Places that a verdict drops, and whether something drops without saying which."""
    verdicts = [verdict for verdict in decision.verdicts if verdict.action in drop]
    unlocated = any(not verdict.spans for verdict in verdicts) or (decision.action in drop and not verdicts)
    return {places[span.part] for verdict in verdicts for span in verdict.spans}, unlocated


def _placed(verdict: Verdict, places: Sequence[int]) -> Verdict:
    spans = tuple(Span(places[span.part], span.start, span.end, span.kind) for span in verdict.spans)
    return replace(verdict, spans=spans)


def _merged(rounds: Sequence[Sequence[Verdict]]) -> tuple[Verdict, ...]:
    """One verdict a check: the severest, with the spans of all rounds."""
    merged = []
    for verdicts in zip(*rounds, strict=True):
        worst = max(verdicts, key=lambda verdict: SEVERITY[verdict.action])
        spans = dict.fromkeys(span for verdict in verdicts for span in verdict.spans)
        merged.append(replace(worst, spans=tuple(spans)))
    return tuple(merged)
