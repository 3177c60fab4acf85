"""Banned words, and names of competitors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from fiel.policies.checks.base import Check, Found, marked, parameter
from fiel.policies.checks.phrases import find
from fiel.policies.types import Span


@dataclass(frozen=True, slots=True)
class Banned(Check):
    """Finds the words and names that the bundle lists, in any inflection and spelled with look-alikes. Score 1."""

    name: ClassVar[str] = "banned"
    reason: ClassVar[str] = "banned_word"
    inline: ClassVar[bool] = True
    modules: ClassVar[tuple[str, ...]] = ("fiel.policies.checks.folding", "fiel.policies.checks.phrases")

    words: tuple[str, ...] = parameter((), "Words and phrases that are not said.", tighter="superset")
    competitors: tuple[str, ...] = parameter((), "Names of competitors, which are not named.", tighter="superset")

    def run(self, parts: Sequence[str], facts: Mapping[str, Any]) -> Found:
        spans = [
            Span(index, *place, kind)
            for index, part in enumerate(parts)
            for phrases, kind in ((self.words, "banned_word"), (self.competitors, "competitor"))
            for place in find(part, phrases)
        ]
        named = bool(spans) and all(span.kind == "competitor" for span in spans)
        return marked(parts, spans, "competitor" if named else "")
