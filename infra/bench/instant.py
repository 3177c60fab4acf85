"""Models that answer at once, so that a benchmark measures the house around them."""

import hashlib
from collections.abc import Sequence

import numpy as np

from fiel.tools.chat import AtOnce, ChatRequest, Completion, DraftSentence, Quote, Usage
from fiel.tools.embed import Vector
from fiel.tools.guard import Assessment
from fiel.tools.judge import Judgement, SentenceJudgement
from fiel.tools.rerank import Ranking
from fiel.tools.search import Passage

DIMENSIONS = 384


class InstantEmbedder:
    """A unit vector that only depends on the text."""

    version = "instant:1"
    dimensions = DIMENSIONS

    async def query(self, text: str) -> Vector:
        return _vector(text)

    async def passages(self, texts: Sequence[str]) -> list[Vector]:
        return [_vector(text) for text in texts]


def _vector(text: str) -> Vector:
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")
    vector = np.random.default_rng(seed).standard_normal(DIMENSIONS, dtype=np.float32)
    return vector / np.linalg.norm(vector)


class InstantE5:
    """The engine that heads of policies share with retrieval: every text has the one vector, of a harmless question."""

    def __init__(self, vector: Vector) -> None:
        self._vector = vector

    def encode(self, windows: Sequence[str], is_query: bool) -> list[Vector]:
        return [self._vector] * len(windows)


class InstantReranker:
    """Leaves the order as it is, and finds everything relevant."""

    version = "instant:1"

    def threshold(self, language: str) -> float:
        return 0.5

    async def rank(self, question: str, passages: Sequence[Passage], *, language: str) -> Ranking:
        count = len(passages)
        return Ranking(tuple(range(count)), tuple(float(count - index) for index in range(count)), 1.0)


class InstantChat(AtOnce):
    """Quotes the first passage up to its first full stop."""

    version = "instant:1"
    writes = False

    async def complete(self, request: ChatRequest) -> Completion:
        text = request.passages[0]["text"]
        end = text.find(". ") + 1 or len(text)
        return Completion(text[:end], Usage(), sentences=(DraftSentence(text[:end], (Quote(0, 0, end),)),))


class InstantGuard:
    """Finds everything harmless."""

    version = "instant:1"
    reads_answers = False

    async def assess(self, question: str, answer: str = "") -> Assessment:
        return Assessment({"hate": 0.0, "violence": 0.0})


class InstantJudge:
    """Finds everything supported."""

    version = "instant:1"

    def threshold(self, language: str) -> float:
        return 0.5

    async def judge(
        self, question: str, draft: Sequence[DraftSentence], passages: Sequence[Passage], *, language: str
    ) -> Judgement:
        return Judgement(tuple(SentenceJudgement("supported", 1.0) for _ in draft), 1.0)
