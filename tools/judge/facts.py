"""Numbers and names of a sentence must stand in the passages that it quotes: the check beside a model's judgement.

Where the built-in judge compares a sentence with the words of its quotes, this one lets a model word things freely, and
holds it to the facts that it could have made up.
"""

from collections.abc import Sequence

from fiel.tools.chat import DraftSentence
from fiel.tools.judge import Judgement, SentenceJudgement
from fiel.tools.judge.support import missing_names
from fiel.tools.search import Passage
from fiel.tools.text import numbers


class Facts:
    """Says *unsupported* or nothing: it never finds a sentence supported that the model does not."""

    version = "facts:1"

    def threshold(self, language: str) -> float:
        return 0.5

    async def judge(
        self, question: str, draft: Sequence[DraftSentence], passages: Sequence[Passage], *, language: str
    ) -> Judgement:
        """One label a sentence; `answered` is 1, because numbers and names do not tell that."""
        return Judgement(tuple(_judged(sentence, passages, language) for sentence in draft), 1.0)


def _judged(sentence: DraftSentence, passages: Sequence[Passage], language: str) -> SentenceJudgement:
    places = dict.fromkeys(quote.passage for quote in sentence.quotes)
    if not places or not all(0 <= place < len(passages) for place in places):
        return SentenceJudgement("unsupported", 0.0)
    quoted = [passages[place] for place in places]
    source = "\n".join(part for one in quoted for part in (one["title"], one["context"], one["text"]))
    if _values(sentence.text) - _values(source):
        return SentenceJudgement("unsupported", 0.0)
    same = any(one["language"] == language for one in quoted)  # London is Londres in another one
    if same and missing_names(sentence.text, source, 0.0):
        return SentenceJudgement("unsupported", 0.0)
    return SentenceJudgement("supported", 1.0)


def _values(text: str) -> frozenset[str]:
    return frozenset(number.value for number in numbers(text))


__all__ = ["Facts"]
