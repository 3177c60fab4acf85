"""Control and invisible characters: what a reader does not see, but a model, a database or a terminal does."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from fiel.policies.checks.base import Check, Found, nothing, parameter
from fiel.policies.types import Span

# C0 and C1 controls (tab, line feed, carriage return and next line are text), lone surrogates, and the tag characters
# with which a whole sentence can be hidden behind a visible letter.
_CONTROL = "\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\U000e0000-\U000e007f"
# Zero-width space, direction marks, overrides and isolates, invisible operators, byte order mark. The zero-width
# joiners stay: emoji and several scripts need them.
_INVISIBLE = "\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff"
_FLAG = "\U0001f3f4[\U000e0061-\U000e007a]{1,8}\U000e007f"
_PATTERN = re.compile(f"(?P<flag>{_FLAG})|(?P<control>[{_CONTROL}]+)|(?P<invisible>[{_INVISIBLE}]+)")

INVISIBLE_SCORE = 0.5


@dataclass(frozen=True, slots=True)
class Control(Check):
    """Finds control characters (score 1) and invisible ones (score 0.5)."""

    name: ClassVar[str] = "control"
    reason: ClassVar[str] = "control_characters"
    inline: ClassVar[bool] = True

    most_spans: int = parameter(100, "Most places that a verdict names in one text; the score counts all.")

    def run(self, parts: Sequence[str], facts: Mapping[str, Any]) -> Found:
        if all(part.isprintable() for part in parts):
            return nothing(parts)
        spans: list[Span] = []
        scores = tuple(self._look(index, part, spans) for index, part in enumerate(parts))
        return Found(scores, tuple(spans))

    def _look(self, index: int, text: str, spans: list[Span]) -> float:
        score, least = 0.0, len(spans)
        for match in _PATTERN.finditer(text):
            kind = match.lastgroup or ""
            if kind == "flag":
                continue
            score = max(score, 1.0 if kind == "control" else INVISIBLE_SCORE)
            if len(spans) - least < self.most_spans:
                spans.append(Span(index, match.start(), match.end(), kind))
        return score
