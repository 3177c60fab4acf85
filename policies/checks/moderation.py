"""Moderation: a question or an answer that a guard finds harmful, by category."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from fiel.policies.checks.base import Check, Found, nothing, parameter

_DEFAULT = ("hate", "harassment", "self_harm", "sexual", "minors", "violence", "crime", "weapons", "other")
_KNOWN = (*_DEFAULT, "privacy", "advice", "property", "elections", "code")


@dataclass(frozen=True, slots=True)
class Moderation(Check):
    """Reads the scores that a guard gave, `facts["moderation"]["scores"]`: category to a decimal string from 0 to 1.

    The score is that of the worst category, and stands for the first part: the question, or the answer. The hop that
    admits a question and the one that passes an answer ask the guard wherever the bundle has this check; without its
    scores there is nothing to read: score 0. Scores are recorded, so a replay decides by them again.
    """

    name: ClassVar[str] = "moderation"
    reason: ClassVar[str] = "harmful_content"
    inline: ClassVar[bool] = True

    categories: tuple[str, ...] = parameter(_DEFAULT, "Categories that count.", tighter="superset", known=_KNOWN)

    def run(self, parts: Sequence[str], facts: Mapping[str, Any]) -> Found:
        given = facts.get("moderation")
        if given is None or not parts:
            return nothing(parts)
        scores = {name: float(value) for name, value in given["scores"].items() if name in self.categories}
        if not scores:
            return nothing(parts)
        worst = max(sorted(scores), key=scores.__getitem__)
        return Found((scores[worst], *(0.0,) * (len(parts) - 1)), (), f"harmful_{worst}")
