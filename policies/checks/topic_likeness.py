"""Topic limits by meaning: what a question is about, by its likeness to the example questions of a bundle."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, ClassVar

from fiel.policies.checks.base import Check, Found, nothing, parameter
from fiel.policies.checks.views import windows
from fiel.policies.likeness import NAME, examples, likeness, vectors
from fiel.policies.types import Span

EVEN = 0.5
FLOOR = 0.1
"""A lower chance says nothing: score 0."""
LEAST_WORDS = 3
"""Fewer words name no topic: they are never off topic."""

_WORD = re.compile(r"\w{2,}|[^\W\d_a-zA-Z]")
"""A word of two letters or more, or one character of a script that does without spaces."""


@dataclass(frozen=True, slots=True)
class TopicLikeness(Check):
    """Finds questions like the examples of denied topics, and questions unlike those of every allowed one.

    The score is the chance of the worst window of a text: that it is about a denied topic, or about no allowed one.
    """

    name: ClassVar[str] = "topic_likeness"
    reason: ClassVar[str] = "denied_topic"
    heads: ClassVar[tuple[str, ...]] = (NAME,)
    modules: ClassVar[tuple[str, ...]] = (
        "fiel.policies.checks.folding",
        "fiel.policies.checks.views",
        "fiel.policies.heads",
        "fiel.policies.likeness",
        "fiel.tools.e5",
    )

    denied: tuple[str, ...] = parameter(
        (), "Example questions of topics that are not talked about.", tighter="superset"
    )
    allowed: tuple[str, ...] = parameter(
        (), "Example questions of the topics that are talked about; none: any topic may pass.", tighter="fewer"
    )

    def prepare(self) -> None:
        """Embed the examples. Raises ModelUnavailable, PolicyError."""
        for texts in filter(None, (self.denied, self.allowed)):
            examples(texts)

    def run(self, parts: Sequence[str], facts: Mapping[str, Any]) -> Found:
        if not self.denied and not self.allowed:
            return nothing(parts)
        looked = [self._look(part) for part in parts]
        scores = tuple(max(both) if max(both) >= FLOOR else 0.0 for both in looked)
        # What is about a denied topic is mostly about no allowed one as well.
        kinds = ["denied_topic" if denied >= min(off, EVEN) else "off_topic" for denied, off in looked]
        spans = [
            Span(place, 0, len(part), kind)
            for place, (part, kind, score) in enumerate(zip(parts, kinds, scores, strict=True))
            if part and score
        ]
        worst = max(range(len(parts)), key=scores.__getitem__, default=None)
        return Found(scores, tuple(spans), "" if worst is None else kinds[worst])

    def _look(self, text: str) -> tuple[float, float]:
        """The chances that the text is about a denied topic, and that it is about no allowed one."""
        words = [window for window in windows(text) if _WORD.search(window)]
        if not words:
            return 0.0, 0.0
        rows = vectors(tuple(words))
        denied = float(likeness().chances(rows, examples(self.denied)).max()) if self.denied else 0.0
        if not self.allowed or next(islice(_WORD.finditer(text), LEAST_WORDS - 1, None), None) is None:
            return denied, 0.0
        return denied, 1.0 - float(likeness().chances(rows, examples(self.allowed)).min())
