"""The judge port: is each sentence of a draft carried by its passages, and does the draft answer the question?"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from fiel.tools.chat import DraftSentence, Usage
from fiel.tools.search import Passage

Label = Literal["supported", "contradicted", "unsupported"]


@dataclass(frozen=True, slots=True)
class SentenceJudgement:
    """The judgement of one sentence."""

    label: Label
    score: float
    """Probability, 0 to 1, that the sentence is supported."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """The judgement of a draft."""

    sentences: tuple[SentenceJudgement, ...]
    answered: float
    """Calibrated probability, 0 to 1, that the draft answers the question."""
    usage: Usage = field(default_factory=Usage)


class Judge(Protocol):
    """Judges drafts. Raises ModelUnavailable when it cannot be asked or its answer cannot be read."""

    @property
    def version(self) -> str: ...

    def threshold(self, language: str) -> float:
        """Least `answered` at which an answer in `language` may be released."""
        ...

    async def judge(
        self, question: str, draft: Sequence[DraftSentence], passages: Sequence[Passage], *, language: str
    ) -> Judgement: ...


__all__ = ["Judge", "Judgement", "Label", "SentenceJudgement"]
