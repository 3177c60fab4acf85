"""The guard port: is a question, or the answer to it, harmful, and in which category?

One port for heads on sentence vectors, for guard models behind chat endpoints (Llama Guard, ShieldGemma, Granite
Guardian) and for moderation endpoints. An adapter gives scores; what follows from a score is for a policy to say.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from fiel.tools.chat import Usage

CATEGORIES: tuple[str, ...] = (
    "hate",
    "harassment",
    "self_harm",
    "sexual",
    "minors",
    "violence",
    "crime",
    "weapons",
    "privacy",
    "advice",
    "property",
    "elections",
    "code",
    "other",
)
"""Categories of harm, fiel's words for those that the models know. Append-only."""


@dataclass(frozen=True, slots=True)
class Assessment:
    """What a guard says of one text."""

    scores: Mapping[str, float]
    """By category, 0 to 1; a category that is missing was not looked for."""
    usage: Usage = field(default_factory=Usage)


class Guard(Protocol):
    """Scores texts. Raises ModelUnavailable where it fails, hangs, or answers what cannot be read."""

    @property
    def version(self) -> str:
        """Name of model and format, and hash of weights: equal versions score alike."""
        ...

    @property
    def reads_answers(self) -> bool:
        """False where only questions are scored: an answer then costs nothing and gets no score."""
        ...

    async def assess(self, question: str, answer: str = "") -> Assessment:
        """Scores of `answer`, given the question that it answers; of the question where there is no answer."""
        ...


__all__ = ["CATEGORIES", "Assessment", "Guard"]
