"""Which sentences answer: the model behind `extract`, and what the built-in judge asks about a draft's quotes."""

from collections.abc import Sequence
from dataclasses import dataclass

from fiel.tools.rerank.cross_encoder import PairScorer
from fiel.tools.rerank.evidence import Candidate
from fiel.tools.rerank.grading import Reading, Row, sentence_rows
from fiel.tools.rerank.logistic import Calibration, finite
from fiel.tools.rerank.routed import mostly
from fiel.tools.search import Passage

MOST = 3
"""Passages whose sentences are weighed: the right one is among them in 99 of 100 questions."""
CROSSED = "en"
"""The language that the cross-encoder knows."""


@dataclass(frozen=True, slots=True)
class Weighed:
    """A sentence, its features, and how likely it is that it holds the answer."""

    candidate: Candidate
    row: Row
    logit: float
    probability: float


def suffix(scorer: PairScorer | None, passages: Sequence[Passage], language: str) -> str:
    """Which of the calibrated models speak of this question: the ending of their names.

    `_crossed`: the cross-encoder takes part. `_across`: question and passages are in different languages, so that few
    words can meet. Empty: the same language, or one that is not known.
    """
    if scorer is not None and language == CROSSED and mostly(CROSSED, passages):
        return "_crossed"
    return "" if language == "und" or mostly(language, passages) else "_across"


async def weigh(
    reading: Reading,
    order: Sequence[int],
    *,
    language: str,
    scorer: PairScorer | None,
    calibrated: Calibration,
    most: int = MOST,
) -> list[Weighed]:
    """Every sentence of the first `most` passages of `order`. Raises ModelUnavailable when the scorer fails."""
    found, rows = sentence_rows(reading, order, most)
    model = calibrated.model(f"sentence{suffix(scorer, reading.passages, language)}")
    if scorer is not None and suffix(scorer, reading.passages, language) == "_crossed":
        texts = [candidate.text for candidate in found]
        scores = finite(await scorer.scores(reading.question.text, texts), len(texts), "sentences")
        top = max(scores, default=0.0)
        for row, score in zip(rows, scores, strict=True):
            row["cross"] = score / 5.0
            row["cross_gap"] = (score - top) / 5.0
    return [
        Weighed(candidate, row, model.logit(row), model.probability(row))
        for candidate, row in zip(found, rows, strict=True)
    ]


def chosen(weighed: Sequence[Weighed], *, least: float, most: int = 2) -> list[Weighed]:
    """The best sentences, at most `most`: the first always, others where their probability reaches `least`.

    A text that says the same again is passed over. Sentences of one passage come in its order.
    """
    ranked = sorted(weighed, key=lambda one: (-one.logit, one.candidate.passage, one.candidate.index))
    picked: list[Weighed] = []
    said: set[str] = set()
    for one in ranked:
        plain = " ".join(one.candidate.text.casefold().split())
        if plain in said or (picked and one.probability < least):
            continue
        said.add(plain)
        picked.append(one)
        if len(picked) == most:
            break
    lead = picked[0].candidate.passage if picked else -1
    return sorted(picked, key=lambda one: (one.candidate.passage != lead, one.candidate.passage, one.candidate.index))
