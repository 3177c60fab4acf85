"""The built-in chat adapter: what it quotes is verbatim, at most two sentences, and the ones that answer."""

import math
from collections.abc import Sequence

import pytest

from fiel.tools.chat import ChatRequest
from fiel.tools.chat.extract import Extract
from fiel.tools.errors import ModelUnavailable
from fiel.tools.rerank.choosing import Weighed, chosen
from fiel.tools.rerank.evidence import Candidate
from fiel.tools.search import Passage
from fiel.tools.text import Span, content
from fiel.tools.text.markup import Form
from tests.passages import passage, passages


class SharedWords:
    """A pair scorer that counts common words."""

    version = "shared-words:1"

    def __init__(self) -> None:
        self.calls = 0

    async def scores(self, question: str, texts: Sequence[str]) -> list[float]:
        self.calls += 1
        return [4.0 * len(content(question) & content(text)) - 8.0 for text in texts]


class Broken:
    """Answers no numbers."""

    version = "broken:1"

    async def scores(self, question: str, texts: Sequence[str]) -> list[float]:
        return [math.nan for _ in texts]


def request(question: str, there: Sequence[Passage], language: str) -> ChatRequest:
    return ChatRequest(turns=(), question=question, passages=there, language=language)


@pytest.fixture(params=["plain", "scored"])
def extract(request: pytest.FixtureRequest) -> Extract:
    return Extract(SharedWords() if request.param == "scored" else None)


@pytest.mark.parametrize(
    ("language", "question", "gold"),
    [
        ("en", "How long is the Rhine?", "1,233 kilometres"),
        ("en", "When was the poet Heinrich Heine born?", "1797"),
        ("en", "Who built the Eiffel Tower?", "Gustave Eiffel's company"),
        ("es", "¿Qué longitud tiene el Rin?", "1.233 kilómetros"),
        ("es", "¿Cuándo nació el poeta Heinrich Heine?", "1797"),
        ("es", "¿Quién construyó la Torre Eiffel?", "Gustave Eiffel"),
    ],
)
async def test_the_sentences_that_answer_are_quoted(extract: Extract, language: str, question: str, gold: str) -> None:
    bread, rhine, tower = passages(language)
    there = [tower, rhine, bread] if "Eiffel" in question else [rhine, tower, bread]
    completion = await extract.complete(request(question, there, language))
    assert gold in completion.text
    assert completion.sentences is not None and 1 <= len(completion.sentences) <= 2
    for sentence in completion.sentences:
        (quote,) = sentence.quotes
        assert there[quote.passage]["text"][quote.start : quote.end] == sentence.text


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ("Who built the old harbour of Kiel? ", "The old harbour of Kiel was built by Anna Weber."),
        ("¿Quién construyó el viejo puerto de Kiel? ", "El viejo puerto de Kiel lo construyó Anna Weber."),
    ],
)
async def test_a_question_is_never_quoted_as_an_answer(extract: Extract, asked: str, answer: str) -> None:
    language = "en" if asked.startswith("Who") else "es"
    question = asked.strip()
    completion = await extract.complete(request(question, [passage(asked + answer)], language))
    assert completion.text == answer
    alone = await extract.complete(request(question, [passage(asked * 2)], language))
    assert alone.sentences == ()


@pytest.mark.parametrize(
    ("task", "answer", "question", "quoted"),
    [
        ("Describe the harbour of Kiel.", "The harbour of Kiel is old.", "Is the harbour of Kiel old?", False),
        ("Provide an example of a harbour in Kiel.", "The harbour is old.", "Is the harbour of Kiel old?", False),
        ("Explica el puerto de Kiel.", "El puerto de Kiel es viejo.", "¿Es viejo el puerto de Kiel?", False),
        ("The old maps of Kiel\ndescribe the harbour.", "Tests take an hour.", "Is the harbour of Kiel old?", True),
        ("The Kiel T\nDescribe the harbour of Kiel.", "The harbour is old.", "Is the harbour of Kiel old?", False),
        ("Describe the harbour of Kiel.", "Tests take an hour.", "How is the harbour of Kiel tested?", True),
        ("Describe the harbour of Kiel.", "Tests take an hour.", "What must I describe about Kiel?", True),
        ("Provide a pass for the harbour.", "The harbour is old.", "What do I need at the harbour?", True),
    ],
)
async def test_a_task_is_quoted_only_where_the_question_asks_what_to_do(
    extract: Extract, task: str, answer: str, question: str, quoted: bool
) -> None:
    completion = await extract.complete(request(question, [passage(f"{answer} {task}")], "en"))
    assert (task.splitlines()[-1] in completion.text) == quoted


async def test_a_question_in_spanish_quotes_english_text(extract: Extract) -> None:
    completion = await extract.complete(request("¿Cuándo nació Heinrich Heine?", passages("en"), "es"))
    assert "Heinrich Heine was born in Düsseldorf in 1797." in completion.text


async def test_the_cross_encoder_is_asked_about_english_only() -> None:
    scorer = SharedWords()
    await Extract(scorer).complete(request("¿Quién construyó la Torre Eiffel?", passages("es"), "es"))
    await Extract(scorer).complete(request("¿Quién construyó la Torre Eiffel?", passages("en"), "es"))
    assert scorer.calls == 0
    await Extract(scorer).complete(request("Who built the Eiffel Tower?", passages("en"), "en"))
    assert scorer.calls == 1


async def test_a_line_break_inside_a_sentence_stays_in_the_quote_only(extract: Extract) -> None:
    one = passage("The mill was built\nin 1702 by monks.")
    completion = await extract.complete(request("When was the mill built?", [one], "en"))
    assert completion.sentences is not None
    (sentence,) = completion.sentences
    (quote,) = sentence.quotes
    assert sentence.text == "The mill was built in 1702 by monks."
    assert one["text"][quote.start : quote.end] == "The mill was built\nin 1702 by monks."


async def test_the_same_sentence_is_not_quoted_twice(extract: Extract) -> None:
    there = [passage("The mill was built in 1702.", 1), passage("The mill was built in 1702. It burnt.", 2)]
    completion = await extract.complete(request("When was the mill built?", there, "en"))
    assert completion.text.count("1702") == 1


def test_a_second_sentence_earns_its_place() -> None:
    def one(passage: int, index: int, logit: float, form: Form = "prose") -> Weighed:
        candidate = Candidate(passage, index, Span(0, 1), f"{passage}.{index}", form)
        return Weighed(candidate, {}, logit, 1 / (1 + math.exp(-logit)))

    def places(*weighed: Weighed, code: bool = False) -> list[tuple[int, int]]:
        picked = chosen(weighed, least=0.03, code=code)
        return [(found.candidate.passage, found.candidate.index) for found in picked]

    best = one(0, 1, 1.0)
    assert places(best, one(0, 0, 0.0)) == [(0, 0), (0, 1)]
    assert places(best, one(0, 2, -1.6)) == [(0, 1)], "far behind the first"
    assert places(best, one(2, 0, 0.9), one(1, 0, 1.1)) == [(1, 0), (0, 1)], "the best passage speaks first"
    assert places(best, one(0, 0, 0.5, "row")) == [(0, 1)], "a fragment"
    assert places(one(0, 0, -3.0), one(0, 1, -3.9)) == [(0, 0)], "not worth quoting"
    assert places(one(0, 0, 3.0, "code"), one(1, 0, -2.0)) == [(1, 0)]
    assert places(one(0, 0, 3.0, "code"), one(1, 0, -2.0), code=True) == [(0, 0)]
    assert places(one(0, 0, 3.0, "code"), one(1, 0, -5.0)) == [(0, 0)], "nothing else is worth quoting"
    assert places(one(0, 0, 3.0, "heading"), one(1, 0, -2.0)) == [(1, 0)]


MANUAL = """# Backup of the database

The service keeps a backup of the database for 30 days.

```
# backup of the database kept by the service for how many days
service backup database --keep 30
```

| Service | Backup of the database kept |
|---|---|
| database backup service | how many days: 30 |
"""


@pytest.mark.parametrize(
    "question",
    ["For how many days does the service keep a backup of the database?", "¿Cuántos días? (backup database service)"],
)
async def test_prose_is_quoted_before_code_headings_and_rows(extract: Extract, question: str) -> None:
    completion = await extract.complete(request(question, [passage(MANUAL)], "en"))
    assert completion.text == "The service keeps a backup of the database for 30 days."


async def test_code_is_quoted_where_it_is_asked_for(extract: Extract) -> None:
    there = [passage("Backups matter.\n\n```\nservice backup database --keep 30\n```\n\nRestore them often.")]
    completion = await extract.complete(request("Which command makes a backup of the database?", there, "en"))
    assert completion.text.startswith("service backup database --keep 30")


async def test_code_alone_is_still_quoted(extract: Extract) -> None:
    there = [passage("```\nservice backup --keep 30\n```")]
    completion = await extract.complete(request("How long does the service keep a backup?", there, "en"))
    assert completion.text == "service backup --keep 30"


@pytest.mark.parametrize("there", [[], [passage(" \n ")]])
async def test_without_sentences_there_is_no_draft(extract: Extract, there: list[Passage]) -> None:
    completion = await extract.complete(request("Who?", there, "en"))
    assert completion.sentences == () and completion.text == ""


async def test_nonsense_of_the_scorer_is_an_error() -> None:
    with pytest.raises(ModelUnavailable):
        await Extract(Broken()).complete(request("Who built it?", passages("en"), "en"))


async def test_it_writes_nothing_and_says_what_it_is(extract: Extract) -> None:
    assert extract.writes is False and extract.version.startswith("extract:")


async def test_a_sentence_that_gives_orders_is_not_quoted(extract: Extract) -> None:
    there = passages("en")
    order = there[1]["text"].index("It is 1,233 kilometres long.")
    there[1]["orders"] = [[order, order + 28]]
    completion = await extract.complete(request("How long is the Rhine?", there, "en"))
    assert "1,233" not in completion.text
