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
BEHIND = 2.5
"""How far a second sentence may lie behind the first, in logits: odds of one to twelve.

Measured on questions of SQuAD and XQuAD: one that lies further behind is what holds the answer in fewer than 1
of 100 questions, and without it two of five answers are one sentence long."""
ROW_MALUS = 1.5
"""How far, in logits, a row is set back against prose: it says little without the head of its table."""


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
    ending = suffix(scorer, reading.passages, language)
    model = calibrated.model(f"sentence{ending}")
    if scorer is not None and ending == "_crossed":
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


def chosen(weighed: Sequence[Weighed], *, least: float, most: int = 2, code: bool = False) -> list[Weighed]:
    """The best sentences, at most `most`: the first always, others where they earn it.

    Others are worth quoting (their probability reaches `least`) and nearly as likely as the first. A text that says the
    same again is passed over. Headings come after any sentence that is worth quoting, and so does code unless the
    question asks for it (`code`). Sentences of one passage come in its order.
    """
    picked: list[Weighed] = []
    said: set[str] = set()
    for one in sorted(weighed, key=lambda one: _standing(one, least, code)):
        plain = " ".join(one.candidate.text.casefold().split())
        if plain in said or (picked and not _earns(one, picked[0], least)):
            continue
        said.add(plain)
        picked.append(one)
        if len(picked) == most:
            break
    lead = picked[0].candidate.passage if picked else -1
    return sorted(picked, key=lambda one: (one.candidate.passage != lead, one.candidate.passage, one.candidate.index))


def _standing(one: Weighed, least: float, code: bool) -> tuple[int, float, int, int]:
    """What candidates are sorted by, best first."""
    form = one.candidate.form
    sought = form in ("prose", "row") or (form == "code" and code)
    group = 0 if sought and one.probability >= least else 1
    malus = ROW_MALUS if form == "row" else 0.0
    return group, malus - one.logit, one.candidate.passage, one.candidate.index


def _earns(one: Weighed, first: Weighed, least: float) -> bool:
    """Whether a further sentence is worth its place beside the first."""
    return (
        one.candidate.form == first.candidate.form == "prose"
        and one.probability >= least
        and one.logit >= first.logit - BEHIND
    )
