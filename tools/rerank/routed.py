"""Sends each question to the reranker that knows its language and that of its passages."""

from collections import Counter
from collections.abc import Mapping, Sequence

from fiel.tools.rerank import Ranking, Reranker
from fiel.tools.search import Passage


class Routed:
    """One reranker a language, and one for the rest.

    A reranker of one language gets a question only where the question and most of its passages are in that language:
    the English cross-encoder lowers every other.
    """

    def __init__(self, by_language: Mapping[str, Reranker], otherwise: Reranker) -> None:
        self._by_language = dict(by_language)
        self._otherwise = otherwise

    @property
    def version(self) -> str:
        named = [f"{language}={one.version}" for language, one in sorted(self._by_language.items())]
        return "routed:" + ",".join([*named, f"*={self._otherwise.version}"])

    def threshold(self, language: str) -> float:
        """Least relevance at which a question in `language` is worth answering."""
        return self._by_language.get(language, self._otherwise).threshold(language)

    async def rank(self, question: str, passages: Sequence[Passage], *, language: str) -> Ranking:
        chosen = self._otherwise
        if language in self._by_language and mostly(language, passages):
            chosen = self._by_language[language]
        return await chosen.rank(question, passages, language=language)


def mostly(language: str, passages: Sequence[Passage]) -> bool:
    """Whether at least half of the passages whose language is known are in `language`."""
    known = Counter(passage["language"] for passage in passages if passage["language"] != "und")
    return 2 * known[language] >= known.total()
