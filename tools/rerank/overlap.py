"""The reranker without a model: rare words, names, numbers, and the cosine that the search has computed anyway.

It knows no language and so lowers none.
"""

from collections.abc import Sequence

from fiel.tools.rerank import Ranking
from fiel.tools.rerank.choosing import suffix
from fiel.tools.rerank.grading import best_first, list_row, passage_rows, read
from fiel.tools.rerank.logistic import Calibration, calibration
from fiel.tools.search import Passage


class Overlap:
    """Orders and grades by evidence that can be read."""

    def __init__(self, calibrated: Calibration | None = None) -> None:
        self._calibrated = calibrated or calibration()

    @property
    def version(self) -> str:
        return f"overlap:{self._calibrated.digest[:12]}"

    def threshold(self, language: str) -> float:
        """Least relevance at which a question in `language` is worth answering."""
        return self._calibrated.threshold("relevance", language)

    async def rank(self, question: str, passages: Sequence[Passage], *, language: str) -> Ranking:
        """Raises ModelUnavailable where a passage carries a similarity that is no finite number."""
        if not passages:
            return Ranking((), (), 0.0)
        reading = read(question, passages)
        rows = passage_rows(reading)
        ending = suffix(None, passages, language)
        model = self._calibrated.model(f"order{ending}")
        scores = [model.logit(row) for row in rows]
        order = best_first(scores)
        relevance = self._calibrated.model(f"relevance{ending}").probability(list_row(reading, rows, order))
        return Ranking(tuple(order), tuple(scores), relevance)
