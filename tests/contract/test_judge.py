"""The suite of the judge port: the built-in judge without a scorer, with one, and with the real cross-encoder."""

import math
from collections.abc import Sequence

import pytest

from fiel.tools.chat import DraftSentence, Quote
from fiel.tools.errors import ModelUnavailable
from fiel.tools.judge import Judge, Judgement
from fiel.tools.judge.evidence import Evidence
from fiel.tools.rerank.cross_encoder import CrossEncoder
from fiel.tools.search import Passage
from fiel.tools.text import content, sentences
from tests.passages import passage, passages


class SharedWords:
    """A pair scorer that counts common words."""

    version = "shared-words:1"

    async def scores(self, question: str, texts: Sequence[str]) -> list[float]:
        return [4.0 * len(content(question) & content(text)) - 8.0 for text in texts]


class Broken:
    """Answers whatever it is given."""

    version = "broken:1"

    def __init__(self, *scores: float) -> None:
        self._scores = list(scores)

    async def scores(self, question: str, texts: Sequence[str]) -> list[float]:
        return self._scores


@pytest.fixture(params=["plain", "scored", pytest.param("real", marks=pytest.mark.slow)])
def judge(request: pytest.FixtureRequest) -> Judge:
    scorers = {"plain": lambda: None, "scored": SharedWords, "real": lambda: CrossEncoder(threads=1)}
    return Evidence(scorers[request.param]())


def ordered(language: str) -> list[Passage]:
    """Tower, Rhine, bread: as a reranker leaves them for a question about the tower."""
    return passages(language)[::-1]


def quoting(text: str, one: Passage, place: int, *numbers: int) -> DraftSentence:
    """A sentence `text` that quotes the sentences `numbers` of passage `place`."""
    spans = sentences(one["text"])
    return DraftSentence(text, tuple(Quote(place, spans[n].start, spans[n].end) for n in numbers))


async def judged(judge: Judge, text: str, language: str, *numbers: int) -> str:
    """Label of `text` over the sentences `numbers` of the tower's passage."""
    there = ordered(language)
    draft = [quoting(text, there[0], 0, *numbers)]
    question = {"en": "Tell me about the Eiffel Tower.", "es": "Háblame de la Torre Eiffel."}[language]
    judgement = await judge.judge(question, draft, there, language=language)
    return judgement.sentences[0].label


@pytest.mark.parametrize(
    ("language", "text", "numbers"),
    [
        ("en", "The Eiffel Tower was finished in 1889 for the World's Fair in Paris.", (0,)),
        ("en", "Gustave Eiffel's company built it.", (1,)),
        ("en", "The Eiffel Tower was finished in 1889.", (0,)),
        ("en", "It is 330 metres tall.", (2,)),
        ("es", "La Torre Eiffel se terminó en 1889 para la Exposición Universal de París.", (0,)),
        ("es", "Mide 330 metros.", (2,)),
        ("es", "La construyó la empresa de Gustave Eiffel.", (1,)),
    ],
)
async def test_what_the_quotes_hold_is_supported(
    judge: Judge, language: str, text: str, numbers: tuple[int, ...]
) -> None:
    assert await judged(judge, text, language, *numbers) == "supported"


@pytest.mark.parametrize(
    ("language", "text", "numbers"),
    [
        ("en", "The Eiffel Tower was finished in 1899 for the World's Fair in Paris.", (0,)),
        ("en", "It is 300 metres tall and was the tallest building for 41 years.", (2,)),
        ("en", "The Eiffel Tower was not finished in 1889 for the World's Fair in Paris.", (0,)),
        ("es", "La Torre Eiffel se terminó en 1898 para la Exposición Universal de París.", (0,)),
        ("es", "Mide 350 metros y fue el edificio más alto durante 41 años.", (2,)),
        ("es", "La Torre Eiffel no se terminó en 1889 para la Exposición Universal de París.", (0,)),
    ],
)
async def test_a_changed_number_or_a_negation_contradicts(
    judge: Judge, language: str, text: str, numbers: tuple[int, ...]
) -> None:
    assert await judged(judge, text, language, *numbers) == "contradicted"


@pytest.mark.parametrize(
    ("language", "text", "numbers"),
    [
        ("en", "The Eiffel Tower was finished in 1889 for the World's Fair in Paris.", (1,)),  # quotes another sentence
        ("en", "The Eiffel Tower was finished in 1889 by Stephen Sauvestre.", (0,)),
        ("en", "Gustave Eiffel's company built it with help from Maurice Koechlin.", (1,)),
        ("en", "Sourdough bread rises slowly because wild yeast works at a low temperature.", (0,)),
        ("en", "Visitors love the restaurant upstairs.", (0, 1, 2)),
        ("en", "The Eiffel Tower was finished in 1889 for the World's Fair in London.", (0,)),
        ("es", "La Torre Eiffel se terminó en 1889 para la Exposición Universal de París.", (1,)),
        ("es", "La construyó la empresa de Alexandre Sauvestre.", (1,)),
        ("es", "Los panaderos alimentan la masa dos veces al día.", (0,)),
        ("es", "La Torre Eiffel se terminó en 1889 para la Exposición Universal de Londres.", (0,)),
    ],
)
async def test_what_the_quotes_do_not_hold_is_not_supported(
    judge: Judge, language: str, text: str, numbers: tuple[int, ...]
) -> None:
    assert await judged(judge, text, language, *numbers) != "supported"


async def test_a_sentence_without_quotes_is_unsupported_and_answers_nothing(judge: Judge) -> None:
    judgement = await judge.judge(
        "How tall is the Eiffel Tower?", [DraftSentence("It is 330 metres tall.")], ordered("en"), language="en"
    )
    assert judgement.sentences[0].label == "unsupported" and judgement.answered == 0.0


async def test_no_sentence_answers_nothing(judge: Judge) -> None:
    assert await judge.judge("Who?", [], ordered("en"), language="en") == Judgement((), 0.0)


async def test_each_sentence_is_judged_by_its_own_quotes(judge: Judge) -> None:
    there = ordered("en")
    tall = "It is 330 metres tall and was the tallest building for 41 years."
    draft = [quoting(tall, there[0], 0, 2), quoting(tall, there[0], 0, 1)]
    judgement = await judge.judge("How tall is the Eiffel Tower?", draft, there, language="en")
    assert [one.label for one in judgement.sentences] == ["supported", "unsupported"]
    assert all(0.0 <= one.score <= 1.0 for one in judgement.sentences)


@pytest.mark.parametrize("language", ["en", "es"])
async def test_answered_falls_for_another_topic(judge: Judge, language: str) -> None:
    there = ordered(language)
    draft = [quoting(sentences(there[0]["text"])[2].of(there[0]["text"]), there[0], 0, 2)]
    asked = {"en": "How tall is the Eiffel Tower?", "es": "¿Cuánto mide la Torre Eiffel?"}[language]
    other = {"en": "Which enzyme unwinds DNA?", "es": "¿Qué enzima desenrolla el ADN?"}[language]
    near = await judge.judge(asked, draft, there, language=language)
    off = [{**one, "similarity": "0.740000"} for one in there]
    far = await judge.judge(other, draft, off, language=language)  # type: ignore[arg-type]
    assert far.answered < judge.threshold(language) <= near.answered


@pytest.mark.parametrize("quote", [Quote(9, 0, 3), Quote(-1, 0, 3), Quote(0, 5, 5), Quote(0, -1, 3), Quote(0, 0, 9999)])
async def test_a_quote_outside_its_passage_is_an_error(judge: Judge, quote: Quote) -> None:
    with pytest.raises(ModelUnavailable):
        await judge.judge("Who?", [DraftSentence("It.", (quote,))], ordered("en"), language="en")


@pytest.mark.parametrize("scores", [(math.nan,) * 3, (1.0,), ()])
async def test_nonsense_of_the_scorer_is_an_error(scores: tuple[float, ...]) -> None:
    there = ordered("en")
    draft = [quoting("Gustave Eiffel's company built it.", there[0], 0, 1)]
    with pytest.raises(ModelUnavailable):
        await Evidence(Broken(*scores)).judge("Who built it?", draft, there, language="en")


async def test_the_same_call_gives_the_same_judgement(judge: Judge) -> None:
    there = ordered("en")
    draft = [quoting("Gustave Eiffel's company built it.", there[0], 0, 1)]
    first = await judge.judge("Who built the tower?", draft, there, language="en")
    assert await judge.judge("Who built the tower?", draft, there, language="en") == first


async def test_odd_text_is_judged(judge: Judge) -> None:
    odd = [passage("… — ¿?", 1), passage("東京は首都です。", 2, language="ja")]
    draft = [DraftSentence("東京は首都です。", (Quote(1, 0, 8),)), DraftSentence("…", (Quote(0, 0, 3),))]
    judgement = await judge.judge("首都は?", draft, odd, language="ja")
    assert [one.label for one in judgement.sentences] == ["supported", "unsupported"]
