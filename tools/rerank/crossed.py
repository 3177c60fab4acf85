"""The English reranker: the cross-encoder's scores joined with the evidence that needs no model."""

from collections.abc import Sequence

from fiel.tools.rerank import Ranking
from fiel.tools.rerank.cross_encoder import PairScorer
from fiel.tools.rerank.grading import Row, best_first, list_row, passage_rows, read
from fiel.tools.rerank.logistic import Calibration, calibration, finite
from fiel.tools.search import Passage


class Crossed:
    """Orders by overlap first, asks the cross-encoder about the best of them only, and grades by both.

    Its time goes into a few long pairs: the right passage stands among the first four of the first order in 99 of
    100 questions.
    """

    def __init__(self, scorer: PairScorer, calibrated: Calibration | None = None, *, most: int = 4) -> None:
        """`most` passages are read by the cross-encoder."""
        self._scorer = scorer
        self._calibrated = calibrated or calibration()
        self._most = most

    @property
    def version(self) -> str:
        return f"crossed:{self._scorer.version}:{self._calibrated.digest[:12]}"

    def threshold(self, language: str) -> float:
        """Least relevance at which a question in `language` is worth answering."""
        return self._calibrated.threshold("relevance", language)

    async def rank(self, question: str, passages: Sequence[Passage], *, language: str) -> Ranking:
        """Raises ModelUnavailable when the cross-encoder fails, hangs or answers nonsense."""
        if not passages:
            return Ranking((), (), 0.0)
        reading = read(question, passages)
        rows = passage_rows(reading)
        first = self._calibrated.model("order")
        order = best_first([first.logit(row) for row in rows])
        head = order[: self._most]
        crossed = finite(
            await self._scorer.scores(question, [passages[index]["text"] for index in head]), len(head), "rerank"
        )
        second = self._calibrated.model("order_crossed")
        known = {i: second.logit({**rows[i], **cross_row(crossed, n)}) for n, i in enumerate(head)}
        floor = min(known.values()) - 1.0
        known |= {index: floor - place for place, index in enumerate(order[self._most :])}
        scores = [known[index] for index in range(len(passages))]
        final = best_first(scores)
        row = {**list_row(reading, rows, final), **cross_row(crossed, head.index(final[0]))}
        relevance = self._calibrated.model("relevance_crossed").probability(row)
        return Ranking(tuple(final), tuple(scores), relevance)


def cross_row(crossed: Sequence[float], index: int) -> Row:
    """Features from the cross-encoder's logits (about -11 to 11), scaled to a few units."""
    return {
        "cross": crossed[index] / 5.0,
        "cross_gap": (crossed[index] - max(crossed)) / 5.0,
        "cross_top": max(crossed) / 5.0,
    }
