"""Topic limits by phrases: what must not be talked about, and what alone may be."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from fiel.policies.checks.base import Check, Found, parameter
from fiel.policies.checks.phrases import find
from fiel.policies.types import Span


@dataclass(frozen=True, slots=True)
class Topics(Check):
    """Finds phrases of denied topics, and texts without a phrase of any allowed topic. Score 1."""

    name: ClassVar[str] = "topics"
    reason: ClassVar[str] = "denied_topic"
    inline: ClassVar[bool] = True
    modules: ClassVar[tuple[str, ...]] = ("fiel.policies.checks.folding", "fiel.policies.checks.phrases")

    denied: tuple[str, ...] = parameter((), "Phrases of topics that are not talked about.", tighter="superset")
    allowed: tuple[str, ...] = parameter(
        (), "Phrases of which a text must have one; none: any text may pass.", tighter="fewer"
    )

    def run(self, parts: Sequence[str], facts: Mapping[str, Any]) -> Found:
        spans = [Span(i, *place, "denied_topic") for i, part in enumerate(parts) for place in find(part, self.denied)]
        denied = {span.part for span in spans}
        off = [i for i, part in enumerate(parts) if i not in denied and self._off(part)]
        spans += [Span(i, 0, len(parts[i]), "off_topic") for i in off]
        hit = denied.union(off)
        return Found(
            tuple(1.0 if i in hit else 0.0 for i in range(len(parts))),
            tuple(spans),
            "off_topic" if off and not denied else "",
        )

    def _off(self, text: str) -> bool:
        return bool(self.allowed) and bool(text.strip()) and next(find(text, self.allowed), None) is None
