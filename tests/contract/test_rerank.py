"""The suite of the rerank port, run on every adapter, and of the scorer behind the English one."""

import asyncio
import math
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from fiel.tools.errors import ModelTimeout, ModelUnavailable
from fiel.tools.rerank import Reranker
from fiel.tools.rerank.cross_encoder import CrossEncoder, PairScorer
from fiel.tools.rerank.crossed import Crossed
from fiel.tools.rerank.overlap import Overlap
from fiel.tools.rerank.routed import Routed
from fiel.tools.text import content
from tests.passages import passage, passages


class SharedWords:
    """A pair scorer that counts common words: deterministic, and fit to stand in for the cross-encoder."""

    version = "shared-words:1"

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def scores(self, question: str, texts: Sequence[str]) -> list[float]:
        self.asked += texts
        return [4.0 * len(content(question) & content(text)) - 8.0 for text in texts]


class Broken:
    """Answers whatever it is given."""

    version = "broken:1"

    def __init__(self, *scores: float) -> None:
        self._scores = list(scores)

    async def scores(self, question: str, texts: Sequence[str]) -> list[float]:
        return self._scores


def routed(scorer: PairScorer) -> Routed:
    return Routed({"en": Crossed(scorer)}, Overlap())


@pytest.fixture(
    params=["overlap", "crossed", "routed", pytest.param("real", marks=pytest.mark.slow)],
)
def reranker(request: pytest.FixtureRequest) -> Reranker:
    adapters: dict[str, Reranker] = {
        "overlap": Overlap(),
        "crossed": Crossed(SharedWords()),
        "routed": routed(SharedWords()),
    }
    return routed(CrossEncoder(threads=1)) if request.param == "real" else adapters[request.param]


QUESTIONS = {
    "en": ("Who built the Eiffel Tower?", "How long is the Rhine?"),
    "es": ("¿Quién construyó la Torre Eiffel?", "¿Qué longitud tiene el Rin?"),
}


@pytest.mark.parametrize("language", ["en", "es"])
async def test_the_passage_that_answers_comes_first(reranker: Reranker, language: str) -> None:
    for question, place in zip(QUESTIONS[language], (2, 1), strict=True):
        ranking = await reranker.rank(question, passages(language), language=language)
        assert ranking.order[0] == place
        assert ranking.scores[place] == max(ranking.scores)


async def test_the_order_is_a_permutation_by_falling_score(reranker: Reranker) -> None:
    many = [passage(f"Sentence number {n} about rivers. It says little.", n + 1) for n in range(12)]
    ranking = await reranker.rank("Which river is the longest?", many, language="en")
    assert sorted(ranking.order) == list(range(12))
    assert len(ranking.scores) == 12
    assert [ranking.scores[i] for i in ranking.order] == sorted(ranking.scores, reverse=True)


@pytest.mark.parametrize("language", ["en", "es"])
async def test_relevance_is_a_probability_that_falls_for_another_topic(reranker: Reranker, language: str) -> None:
    other = {"en": "Which enzyme unwinds DNA?", "es": "¿Qué enzima desenrolla el ADN?"}[language]
    off = [passage(one["text"], n, language=language, similarity="0.740000") for n, one in
           enumerate(passages(language), 1)]  # fmt: skip
    near = await reranker.rank(QUESTIONS[language][0], passages(language), language=language)
    far = await reranker.rank(other, off, language=language)
    assert 0.0 <= far.relevance < near.relevance <= 1.0
    assert far.relevance < reranker.threshold(language) * 10 and near.relevance >= reranker.threshold(language)


async def test_nothing_to_rank(reranker: Reranker) -> None:
    ranking = await reranker.rank("Anything?", [], language="en")
    assert (ranking.order, ranking.scores, ranking.relevance) == ((), (), 0.0)


async def test_the_same_call_gives_the_same_answer(reranker: Reranker) -> None:
    first = await reranker.rank(QUESTIONS["en"][0], passages("en"), language="en")
    assert await reranker.rank(QUESTIONS["en"][0], passages("en"), language="en") == first


@pytest.mark.parametrize("question", ["?", "¿…?", "the of and", "ア" * 3000, "x" * 20000, "\u0000 \ud7ff"])
async def test_odd_questions_are_ranked_too(reranker: Reranker, question: str) -> None:
    ranking = await reranker.rank(question, passages("en"), language="und")
    assert sorted(ranking.order) == [0, 1, 2] and math.isfinite(ranking.relevance)


async def test_a_search_without_cosine_is_ranked(reranker: Reranker) -> None:
    plain = [passage(one["text"], n, similarity=None) for n, one in enumerate(passages("en"), 1)]
    assert (await reranker.rank(QUESTIONS["en"][0], plain, language="en")).order[0] == 2


async def test_the_version_names_the_calibration(reranker: Reranker) -> None:
    assert ":" in reranker.version and len(reranker.version) > 12
    assert all(0.0 < reranker.threshold(language) < 1.0 for language in ("en", "es", "fr", "und"))


async def test_other_languages_never_reach_the_cross_encoder() -> None:
    scorer = SharedWords()
    one = routed(scorer)
    await one.rank(QUESTIONS["es"][0], passages("es"), language="es")
    await one.rank(QUESTIONS["es"][0], passages("en"), language="es")
    await one.rank(QUESTIONS["en"][0], passages("es"), language="en")
    assert scorer.asked == []
    await one.rank(QUESTIONS["en"][0], passages("en"), language="en")
    assert len(scorer.asked) == 3


async def test_the_cross_encoder_reads_no_more_than_four_passages() -> None:
    scorer = SharedWords()
    many = [passage(f"The river number {n} is long.", n + 1) for n in range(30)]
    await Crossed(scorer).rank("Which river is long?", many, language="en")
    assert len(scorer.asked) == 4


@pytest.mark.parametrize("scores", [(math.nan, 1.0, 1.0), (math.inf, 1.0, 1.0), (1.0,), (), (1.0,) * 9])
async def test_nonsense_of_the_scorer_is_an_error(scores: tuple[float, ...]) -> None:
    with pytest.raises(ModelUnavailable):
        await Crossed(Broken(*scores)).rank(QUESTIONS["en"][0], passages("en"), language="en")


async def test_a_similarity_that_is_no_number_is_an_error(reranker: Reranker) -> None:
    bad = [passage(one["text"], n, similarity="nan") for n, one in enumerate(passages("en"), 1)]
    with pytest.raises(ModelUnavailable):
        await reranker.rank(QUESTIONS["en"][0], bad, language="en")


class Sessions:
    """Stands in for onnxruntime's session and the tokenizer."""

    def __init__(self, answer: object, *, seconds: float = 0.0) -> None:
        self._answer = answer
        self._seconds = seconds

    def run(self, names: object, feed: object) -> list[object]:
        time.sleep(self._seconds)
        if isinstance(self._answer, Exception):
            raise self._answer
        return [self._answer]

    def encode_batch(self, pairs: Sequence[tuple[str, str]]) -> list[SimpleNamespace]:
        return [SimpleNamespace(ids=[1, 2], attention_mask=[1, 1], type_ids=[0, 1]) for _ in pairs]


def scorer_with(answer: object, *, seconds: float = 0.0, timeout: float = 5.0) -> CrossEncoder:
    import numpy as np

    scorer = CrossEncoder(timeout=timeout)
    fake = Sessions(np.array(answer) if isinstance(answer, list) else answer, seconds=seconds)
    scorer._loaded = (fake, fake)
    return scorer


@pytest.mark.parametrize(
    "answer", [[[math.nan], [1.0]], [[math.inf], [1.0]], [1.0, 2.0], [[1.0]], [[1.0, 2.0]], None, RuntimeError("bad")]
)
async def test_the_cross_encoder_refuses_what_it_cannot_read(answer: object) -> None:
    with pytest.raises(ModelUnavailable):
        await scorer_with(answer).scores("Who?", ["one", "two"])


async def test_a_cross_encoder_that_hangs_is_an_error_in_time() -> None:
    scorer = scorer_with([[1.0]], seconds=0.5, timeout=0.05)
    with pytest.raises(ModelTimeout):
        await scorer.scores("Who?", ["one"])
    await asyncio.sleep(0.6)  # the worker ends; the next call is served again
    assert await scorer.scores("Who?", ["one"]) == [1.0]
    scorer.close()


async def test_a_pair_is_scored_once() -> None:
    scorer = scorer_with([[1.0], [2.0]])
    assert await scorer.scores("Who?", ["a", "b"]) == [1.0, 2.0]
    scorer._loaded = (Sessions(RuntimeError("asked again")),) * 2
    assert await scorer.scores("Who?", ["b", "a", "b"]) == [2.0, 1.0, 2.0]
    assert await scorer.scores("Who?", []) == []


async def test_another_file_than_the_calibrated_one_is_refused(tmp_path: Path) -> None:
    for name in ("model.onnx", "tokenizer.json"):
        (tmp_path / name).write_bytes(b"something else")
    with pytest.raises(ModelUnavailable, match="SHA-256"):
        await CrossEncoder(folder=tmp_path).scores("Who?", ["one"])
    with pytest.raises(ModelUnavailable, match="cannot be read"):
        await CrossEncoder(folder=tmp_path / "none").load()


@pytest.mark.slow
async def test_the_real_cross_encoder_is_found_and_tells_answers_apart() -> None:
    scorer = CrossEncoder(threads=1)
    right, wrong = await scorer.scores(
        "How long is the Rhine?", ["It is 1,233 kilometres long.", "Bread rises slowly."]
    )
    assert right > wrong + 3
    scorer.close()
