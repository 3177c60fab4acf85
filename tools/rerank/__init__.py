"""The rerank port: orders passages by how well they answer, and grades whether any of them does."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from fiel.tools.search import Passage


@dataclass(frozen=True, slots=True)
class Ranking:
    """Order and grade of a list of passages."""

    order: tuple[int, ...]
    """Indices into the given passages, best first; a permutation."""
    scores: tuple[float, ...]
    """Score of each given passage, in the given order; higher is better, comparable within one ranking only."""
    relevance: float
    """Calibrated probability, 0 to 1, that at least one passage answers the question."""


class Reranker(Protocol):
    """Orders and grades. Raises ModelUnavailable when its model fails, hangs or answers nonsense."""

    @property
    def version(self) -> str: ...

    def threshold(self, language: str) -> float:
        """Least relevance at which a question in `language` is worth answering."""
        ...

    async def rank(self, question: str, passages: Sequence[Passage], *, language: str) -> Ranking: ...


__all__ = ["Ranking", "Reranker"]
