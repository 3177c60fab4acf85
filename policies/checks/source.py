"""Where a passage comes from: its licence, and how far its source is trusted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, ClassVar

from fiel.policies.checks.base import Check, Found, nothing, parameter
from fiel.policies.types import Span

UNKNOWN_SCORE = 0.5


def said_of(facts: Mapping[str, Any], name: str, parts: Sequence[str]) -> list[str]:
    """What the facts say of each part: `facts[name]` is one text for all, or one a part; empty where nothing is known.

    Raises ValueError where the numbers do not fit: then it is not known which part is meant.
    """
    given = facts.get(name, "")
    values = [given] * len(parts) if isinstance(given, str) else list(given)
    if len(values) != len(parts) or not all(isinstance(value, str) for value in values):
        raise ValueError(f"the fact {name} must have one text a part")
    return values


def _whole(parts: Sequence[str], scores: Sequence[float], kind: str, reason: str) -> Found:
    spans = tuple(Span(i, 0, len(part), kind) for i, part in enumerate(parts) if part and scores[i])
    return Found(tuple(score if part else 0.0 for part, score in zip(parts, scores, strict=True)), spans, reason)


@dataclass(frozen=True, slots=True)
class Licence(Check):
    """Finds passages whose licence forbids their use (score 1), and those whose licence is not known (score 0.5)."""

    name: ClassVar[str] = "licence"
    reason: ClassVar[str] = "licence_forbids"
    inline: ClassVar[bool] = True

    forbidden: tuple[str, ...] = parameter(
        (), "SPDX identifiers that forbid use here; * stands for anything, as in CC-BY-NC-*.", tighter="superset"
    )
    allowed: tuple[str, ...] = parameter(
        (), "The only SPDX identifiers that allow use; none: all that are not forbidden.", tighter="fewer"
    )

    def run(self, parts: Sequence[str], facts: Mapping[str, Any]) -> Found:
        scores = [self._score(licence) for licence in said_of(facts, "licence", parts)]
        unknown = max(scores, default=0.0) <= UNKNOWN_SCORE
        return _whole(parts, scores, "licence", "licence_unknown" if unknown else "")

    def _score(self, licence: str) -> float:
        if not licence:
            return UNKNOWN_SCORE
        if _among(licence, self.forbidden) or (self.allowed and not _among(licence, self.allowed)):
            return 1.0
        return 0.0


def _among(licence: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(licence.lower(), pattern.lower()) for pattern in patterns)


@dataclass(frozen=True, slots=True)
class Provenance(Check):
    """Finds passages by the trust in their source: internal 0.3, external 0.6, unknown 1; trusted ones score 0.

    A text that no source is named for at all is no passage: score 0.
    """

    name: ClassVar[str] = "provenance"
    reason: ClassVar[str] = "untrusted_source"
    inline: ClassVar[bool] = True

    def run(self, parts: Sequence[str], facts: Mapping[str, Any]) -> Found:
        if "trust" not in facts:
            return nothing(parts)
        levels = {"trusted": 0.0, "internal": 0.3, "external": 0.6}
        scores = [levels.get(trust, 1.0) for trust in said_of(facts, "trust", parts)]
        return _whole(parts, scores, "source", "")
