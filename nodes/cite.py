"""Citations: from the prose of a model to sentences with quotes, and from those to an answer with markers."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fiel.tools.chat import DraftSentence, Quote
from fiel.tools.search import Passage
from fiel.tools.text import Span, content, sentences
from fiel.tools.text.markers import BRACKETS, placed

_MARKER = re.compile(rf"(?<!\s)\s*{BRACKETS}")
_LOOKALIKE = re.compile(BRACKETS)
_SAYS = re.compile(r"\w")
_LEAST_OVERLAP = 0.5
"""An uncited sentence is attributed to a passage only where half of its content words stand in one sentence of it."""


def cited(text: str, passages: Sequence[Passage], language: str, *, cut: bool) -> tuple[DraftSentence, ...]:
    """The sentences of `text`, each with the quotes that its markers `[n]` (1-based) point to.

    The quote is the sentence of the passage that shares most content words with the draft's sentence. A marker that
    points nowhere gives no quote, and a sentence without a quote will not be supported. `cut` drops the last sentence
    of a text that stopped at its length limit.
    """
    shown = placed(text)
    found = [_sentence(span.of(shown), passages) for span in sentences(shown)]
    if cut and len(found) > 1:
        found = found[:-1]
    return tuple(sentence for sentence in found if _SAYS.search(sentence.text))


def rewritten(text: str, citations: Sequence[dict[str, Any]], passages: Sequence[Passage]) -> tuple[DraftSentence, ...]:
    """The sentences of a text that a person has written over an answer: its markers mean that answer's citations.

    A marker that the answer did not have gives no quote, and what cites nothing will not be supported.
    """
    quotes: dict[int, Quote] = {}
    for number, citation in enumerate(citations, start=1):
        for index, passage in enumerate(passages):
            if (passage["version"], passage["chunk"]) == (citation["version"], citation["chunk"]):
                start, end = citation["start"] - passage["start"], citation["end"] - passage["start"]
                quotes[number] = Quote(index, start, end)
                break
    shown = placed(text)
    found = []
    for span in sentences(shown):
        numbers = _numbers(span.of(shown))
        bare = _MARKER.sub("", span.of(shown)).strip()
        found.append(DraftSentence(bare, tuple(quotes[one] for one in dict.fromkeys(numbers) if one in quotes)))
    return tuple(sentence for sentence in found if sentence.text)


def _numbers(text: str) -> list[int]:
    return [int(number) for match in _MARKER.finditer(text) for number in re.findall(r"\d+", match.group(1))]


def unmarked(text: str) -> str:
    """Text of a document whose own `[3]` can be taken for no marker: `(3)`. Quotes stay as they are."""
    return _LOOKALIKE.sub(r"(\1)", text)


def _sentence(text: str, passages: Sequence[Passage]) -> DraftSentence:
    numbers = _numbers(text)
    bare = _MARKER.sub("", text).strip()
    wanted = content(bare)
    named = [number - 1 for number in dict.fromkeys(numbers) if 0 < number <= len(passages)]
    quotes = [quote for index in named for quote in _quote(index, passages[index], wanted)]
    if not numbers:
        quotes = _attributed(wanted, passages)
    return DraftSentence(bare, tuple(quote for quote, _ in quotes))


def _quote(index: int, passage: Passage, wanted: frozenset[str]) -> list[tuple[Quote, int]]:
    """The sentence of a passage that shares most of the wanted words, and how many it shares.

    None where the passage holds nothing but orders, which are not quoted.
    """
    text, orders = passage["text"], passage.get("orders", ())
    spans = [
        span
        for span in sentences(text) or (Span(0, len(text)),)
        if not any(start < span.end and span.start < end for start, end in orders)
    ]
    if not spans:
        return []
    shared = [len(wanted & content(span.of(text))) for span in spans]
    best = max(range(len(spans)), key=lambda place: (shared[place], -place))
    return [(Quote(index, spans[best].start, spans[best].end), shared[best])]


def _attributed(wanted: frozenset[str], passages: Sequence[Passage]) -> list[tuple[Quote, int]]:
    candidates = [quote for index, passage in enumerate(passages) for quote in _quote(index, passage, wanted)]
    best = max(candidates, key=lambda candidate: candidate[1], default=None)
    return [best] if best and wanted and best[1] >= _LEAST_OVERLAP * len(wanted) else []


@dataclass(frozen=True, slots=True)
class Composed:
    """An answer with its citations, before the output checks."""

    content: dict[str, Any]
    """`{"answer", "citations", "sentences"}`, canonical."""

    @property
    def parts(self) -> list[str]:
        """The texts that the output checks see: the answer, then each quote."""
        return [self.content["answer"], *(citation["quote"] for citation in self.content["citations"])]

    def masked(self, parts: Sequence[str], sentences_masked: Sequence[str]) -> dict[str, Any]:
        """The same with masked texts; a quote that changed says so."""
        citations = [
            {**citation, "quote": quote, "redacted": quote != citation["quote"]}
            for citation, quote in zip(self.content["citations"], parts[1:], strict=True)
        ]
        shown = [
            {**sentence, "text": text}
            for sentence, text in zip(self.content["sentences"], sentences_masked, strict=True)
        ]
        return {"answer": parts[0], "citations": citations, "sentences": shown}


def compose(draft: Sequence[dict[str, Any]], passages: Sequence[Passage]) -> Composed:
    """Answer text with markers `[1]`, `[2]` in order of first use; equal quotes share a marker."""
    markers: dict[tuple[str, int, int], str] = {}
    citations: list[dict[str, Any]] = []
    shown: list[dict[str, Any]] = []
    texts: list[str] = []
    for sentence in draft:
        mine: list[str] = []
        for quote in sentence["quotes"]:
            passage = passages[quote["passage"]]
            start, end = passage["start"] + quote["start"], passage["start"] + quote["end"]
            key = (passage["version"], start, end)
            if key not in markers:
                markers[key] = f"[{len(markers) + 1}]"
                citations.append(_citation(markers[key], passage, quote, start, end))
            if markers[key] not in mine:
                mine.append(markers[key])
        text = unmarked(sentence["text"])
        shown.append({"text": text, "citations": mine})
        texts.append(f"{text} {''.join(mine)}".strip())
    return Composed({"answer": " ".join(texts), "citations": citations, "sentences": shown})


def _citation(marker: str, passage: Passage, quote: dict[str, Any], start: int, end: int) -> dict[str, Any]:
    return {
        "marker": marker,
        "document": passage["document"],
        "uri": passage["uri"],
        "version": passage["version"],
        "chunk": passage["chunk"],
        "quote": passage["text"][quote["start"] : quote["end"]],
        "start": start,
        "end": end,
        "redacted": False,
    }
