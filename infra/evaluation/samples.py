"""What the graph would see: for each question, the passages that search finds with its article inside and outside."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from fiel.infra.evaluation.cache import CachedEmbedder
from fiel.infra.evaluation.data import Paragraph, Question, QuestionSet
from fiel.tools.canonical import score
from fiel.tools.embed import Vector
from fiel.tools.search import Passage
from fiel.tools.search.fusion import DEPTH, K1, fused, idf, saturated
from fiel.tools.text.stopwords import STOP_WORDS
from fiel.tools.text.words import fold, words

K = 8
"""Passages that the graph retrieves."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One question over one half of the articles."""

    question: Question
    inside: bool
    """Whether its article is in the collection."""
    passages: tuple[Passage, ...]
    gold: int | None
    """Index of the paragraph that answers; None where it was not found."""


class Shelf:
    """A small hybrid index over paragraphs: the formulas of `fiel.tools.search.fusion`, without tenants or grants.

    Calibration needs tens of thousands of searches; `qa` measures with the product's own search.
    """

    def __init__(self, paragraphs: Sequence[Paragraph], vectors: Sequence[Vector], language: str) -> None:
        self._paragraphs = paragraphs
        self._vectors = np.stack(vectors)
        self._language = language
        self._counts = [Counter(_lexemes(f"{one.text}", language)) for one in paragraphs]
        self._lengths = [sum(counts.values()) for counts in self._counts]
        self._mean = sum(self._lengths) / len(self._lengths)
        self._df = Counter(word for counts in self._counts for word in counts)

    def search(self, text: str, vector: Vector, k: int = K) -> list[Passage]:
        """At most `k` passages, best first."""
        cosines = self._vectors @ vector
        dense = [int(index) for index in np.argsort(-cosines, kind="stable")[:DEPTH]]
        coverage = self._coverage(text)
        listed = sorted((i for i, value in enumerate(coverage) if value > 0), key=lambda i: (-coverage[i], i))[:DEPTH]
        low, high = float(cosines[dense[-1]]), float(cosines[dense[0]])
        total = {i: fused(float(cosines[i]), low, high, coverage[i]) for i in {*dense, *listed}}
        best = sorted(total, key=lambda i: (-total[i], i))[:k]
        return [self._passage(i, total[i], float(cosines[i]), dense, listed) for i in best]

    def _coverage(self, text: str) -> list[float]:
        wanted = set(_lexemes(text, self._language))
        weights = {word: idf(len(self._paragraphs), self._df.get(word, 0)) for word in wanted}
        ideal = sum(weights.values()) * (K1 + 1) or 1.0
        return [
            sum(
                weight * saturated(counts[word], length, self._mean)
                for word, weight in weights.items()
                if word in counts
            )
            / ideal
            for counts, length in zip(self._counts, self._lengths, strict=True)
        ]

    def _passage(self, i: int, total: float, cosine: float, dense: list[int], listed: list[int]) -> Passage:
        one = self._paragraphs[i]
        return Passage(
            document=one.id, uri=one.id, title=one.title, version=one.id, chunk=one.id, text=one.text, context="",
            start=0, end=len(one.text), language=self._language, score=score(total),
            dense_rank=dense.index(i) + 1 if i in dense else None,
            text_rank=listed.index(i) + 1 if i in listed else None,
            similarity=score(cosine),
        )  # fmt: skip


def _lexemes(text: str, language: str) -> list[str]:
    return [
        _stem(text[word.start : word.end].casefold(), language)
        for word in words(text)
        if fold(text[word.start : word.end]) not in STOP_WORDS
    ]


@cache
def _stemmer(language: str) -> Any:
    from nltk.stem.snowball import SnowballStemmer

    return SnowballStemmer({"en": "english", "es": "spanish"}[language])


@cache
def _stem(word: str, language: str) -> str:
    return str(_stemmer(language).stem(word))


async def samples(
    data: QuestionSet, questions: Sequence[Question], embedder: CachedEmbedder, *, whole: bool = False
) -> list[Sample]:
    """Each question over the half with its article (inside) and over the other half; `whole`: over all, once."""
    halves = [data.paragraphs] if whole else [data.half(0), data.half(1)]
    found = []
    for half in halves:
        vectors = await embedder.passages([paragraph.text for paragraph in half])
        shelf = Shelf(half, vectors, data.language)
        titles = {paragraph.title for paragraph in half}
        for question in questions:
            passages = tuple(shelf.search(question.text, await embedder.query(question.text)))
            gold = next((i for i, one in enumerate(passages) if one["document"] == question.paragraph), None)
            found.append(Sample(question, question.title in titles, passages, gold))
    return found


def rank(sample: Sample, order: Sequence[int]) -> int | None:
    """1-based place of the gold paragraph in `order`; None where it was not found."""
    return list(order).index(sample.gold) + 1 if sample.gold is not None else None


def finite_mean(values: Sequence[float]) -> float:
    """Mean of `values`, NaN where there is none."""
    return sum(values) / len(values) if values else math.nan
