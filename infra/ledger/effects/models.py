"""Models that read, recorded: embedders, rerankers, judges and guards."""

from collections.abc import Coroutine, Mapping, Sequence
from typing import Any

from fiel.infra.ledger.effects.record import Recorded, floats, passages_digest, recorded, spent
from fiel.infra.ledger.encode import encode
from fiel.tools.chat import DraftSentence
from fiel.tools.embed import Embedder, Vector
from fiel.tools.guard import Assessment, Guard
from fiel.tools.guard.second import Second
from fiel.tools.judge import Judge, Judgement
from fiel.tools.rerank import Ranking, Reranker
from fiel.tools.search import Passage


class RecordedEmbedder(Recorded[Embedder]):
    """`Embedder`; a vector is kept as its 32-bit floats, little endian."""

    @property
    def dimensions(self) -> int:
        return self._port.dimensions

    async def query(self, text: str) -> Vector:
        asked = {"model": self.version, "query": text}
        return await recorded("embed", lambda: encode(asked), self._port.query(text), floats)

    async def passages(self, texts: Sequence[str]) -> list[Vector]:
        asked = {"model": self.version, "passages": list(texts)}
        return await recorded("embed", lambda: encode(asked), self._port.passages(texts), _vectors)


def _vectors(vectors: Sequence[Vector]) -> bytes:
    return b"".join(floats(vector) for vector in vectors)


class RecordedReranker(Recorded[Reranker]):
    """`Reranker`."""

    def threshold(self, language: str) -> float:
        return self._port.threshold(language)

    async def rank(self, question: str, passages: Sequence[Passage], *, language: str) -> Ranking:
        return await recorded(
            "rerank",
            lambda: encode(
                {
                    "model": self.version,
                    "question": question,
                    "passages": passages_digest(passages),
                    "language": language,
                }
            ),
            self._port.rank(question, passages, language=language),
            _ranking,
        )


def _ranking(ranking: Ranking) -> bytes:
    """Floats by `repr`: the shortest text that reads back as the same number."""
    scores = [repr(float(value)) for value in ranking.scores]
    return encode({"order": ranking.order, "scores": scores, "relevance": repr(float(ranking.relevance))})


class RecordedJudge(Recorded[Judge]):
    """`Judge`."""

    def threshold(self, language: str) -> float:
        return self._port.threshold(language)

    async def judge(
        self, question: str, draft: Sequence[DraftSentence], passages: Sequence[Passage], *, language: str
    ) -> Judgement:
        return await recorded(
            "judge",
            lambda: encode(
                {
                    "model": self.version,
                    "question": question,
                    "draft": list(draft),
                    "passages": passages_digest(passages),
                    "language": language,
                }
            ),
            self._port.judge(question, draft, passages, language=language),
            _judgement,
            lambda judgement: {"usage": spent(judgement.usage)} if judgement.usage.input_tokens else {},
        )


def _judgement(judgement: Judgement) -> bytes:
    return encode(
        {
            "sentences": [[one.label, repr(float(one.score))] for one in judgement.sentences],
            "answered": repr(float(judgement.answered)),
            "usage": spent(judgement.usage),
        }
    )


class RecordedGuard(Recorded[Guard]):
    """`Guard`."""

    @property
    def reads_answers(self) -> bool:
        return self._port.reads_answers

    async def assess(self, question: str, answer: str = "") -> Assessment:
        asked = {"model": self.version, "question": question, "answer": answer}
        return await _assessed("guard", asked, self._port.assess(question, answer))


class RecordedSecond(Recorded[Second]):
    """`Second`. Its version stands among those of the run, and only who has one is asked."""

    async def opinion(self, text: str) -> Assessment:
        return await _assessed("second", {"model": self.version, "text": text}, self._port.opinion(text))


async def _assessed(kind: str, asked: Mapping[str, Any], call: Coroutine[Any, Any, Assessment]) -> Assessment:
    return await recorded(
        kind,
        lambda: encode(asked),
        call,
        _assessment,
        lambda assessment: {"usage": spent(assessment.usage)} if assessment.usage.input_tokens else {},
    )


def _assessment(assessment: Assessment) -> bytes:
    scores = {name: repr(float(value)) for name, value in assessment.scores.items()}
    return encode({"scores": scores, "usage": spent(assessment.usage)})
