"""Does an answer follow the question, or an order that stands in a document?

Compared are words: those of each sentence of the answer that the question did not bring. Where most of them stand in an
order of a passage, and in nothing that the passages tell, the sentence came from the order.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from fiel.policies.checks.base import Check, Found, nothing, parameter
from fiel.policies.checks.folding import Folded
from fiel.policies.checks.orders import SENTENCE, TASK, orders, scored
from fiel.policies.checks.phrases import stem
from fiel.policies.types import Span

_WORD = re.compile(r"[^\W\d_]{4,}")
_LEAST = 2
"""Words that must come from an order: one alone may be chance."""


@dataclass(frozen=True, slots=True)
class Follows(Check):
    """Finds sentences of an answer that come from orders in `facts["passages"]`, and quotes that are orders.

    The first part is the answer, the others are its quotes. Score: the share of a sentence's own words that only orders
    hold, or the score of the order that is quoted. Without passages nothing could be followed.
    """

    name: ClassVar[str] = "follows"
    reason: ClassVar[str] = "follows_document"
    inline: ClassVar[bool] = True
    modules: ClassVar[tuple[str, ...]] = (
        "fiel.policies.checks.folding",
        "fiel.policies.checks.injection",
        "fiel.policies.checks.orders",
        "fiel.policies.checks.phrases",
    )

    least: int = parameter(60, "Hundredths of score from which on a quoted sentence is an order.", tighter="lower")

    def run(self, parts: Sequence[str], facts: Mapping[str, Any]) -> Found:
        given = facts.get("passages") or ()
        passages = [given] if isinstance(given, str) else list(given)
        by_order, by_rest = _apart(passages)
        if not by_order or not parts:
            return nothing(parts)
        ordered = _words(" ".join(by_order))
        told = _words(" ".join((*by_rest, str(facts.get("question") or ""))))
        spans: list[Span] = []
        scores = [0.0] * len(parts)
        for start, end, score in _sentences(parts[0], ordered, told):
            scores[0] = max(scores[0], score)
            spans.append(Span(0, start, end, "followed"))
        for index, quote in enumerate(parts[1:], start=1):
            for start, end, score in orders(quote, self.least / 100):
                scores[index] = max(scores[index], score)
                spans.append(Span(index, start, end, "order"))
        return Found(tuple(scores), tuple(spans))


def _apart(passages: Sequence[str]) -> tuple[list[str], list[str]]:
    """Sentences of the passages that are orders, and all the others."""
    ordered: list[str] = []
    told: list[str] = []
    for text in passages:
        for start, end, score in scored(text):
            (ordered if score >= TASK else told).append(text[start:end])
    return ordered, told


def _sentences(answer: str, ordered: frozenset[str], told: frozenset[str]) -> Iterator[tuple[int, int, float]]:
    """Sentences of the answer with words that only orders hold: start, end, share."""
    for match in SENTENCE.finditer(answer):
        own = _words(match.group()) - told
        from_orders = own & ordered
        if len(from_orders) >= _LEAST:
            start = match.start() + len(match.group()) - len(match.group().lstrip())
            yield start, match.end(), len(from_orders) / len(own)


def _words(text: str) -> frozenset[str]:
    return frozenset(stem(word) for word in _WORD.findall(Folded(text).text))
