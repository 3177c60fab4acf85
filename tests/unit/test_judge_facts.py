"""Numbers and names beside a judging model; and the pairs on which such a model is calibrated."""

import json
from pathlib import Path
from typing import Any

import pytest

from fiel.infra.evaluation.calibrate_judge import Case, ask, cases, items, report
from fiel.tools.chat import ChatRequest, Completion, DraftSentence, Quote, Usage
from fiel.tools.errors import SettingsError, UsageError
from fiel.tools.judge.facts import Facts
from fiel.tools.judge.model import ModelJudge
from fiel.tools.search import Passage

TEXT = "The eagle landed in 1969 near Tranquility Base. About 1,200 people saw Neil Armstrong."


def passage(text: str = TEXT, language: str = "en", title: str = "Apollo") -> Passage:
    return Passage(
        document="d", uri="u", title=title, version="v", chunk="c", text=text, context="", start=0, end=len(text),
        language=language, score="0.5", dense_rank=1, text_rank=1, similarity=None,
    )  # fmt: skip


async def label(sentence: str, *quotes: Quote, language: str = "en", passages: list[Passage] | None = None) -> str:
    draft = [DraftSentence(sentence, quotes or (Quote(0, 0, 5),))]
    found = await Facts().judge("q", draft, passages or [passage()], language=language)
    assert found.answered == 1.0
    return found.sentences[0].label


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("Neil Armstrong landed in 1969.", "supported"),
        ("Some 1200 persons watched Armstrong.", "supported"),
        ("They came down in words of their own.", "supported"),
        ("Apollo landed in 1969.", "supported"),
        ("It landed in 1970.", "unsupported"),
        ("About 12,000 people saw it.", "unsupported"),
        ("There was also Buzz Aldrin.", "unsupported"),
    ],
)
async def test_numbers_and_names_must_stand_in_the_passage(sentence: str, expected: str) -> None:
    assert await label(sentence) == expected


async def test_in_another_language_numbers_count_and_names_do_not() -> None:
    assert await label("Fue en la Base de la Tranquilidad, en 1969.", language="es") == "supported"
    assert await label("Fue en la Base de la Tranquilidad, en 1970.", language="es") == "unsupported"


@pytest.mark.parametrize("quotes", [(Quote(1, 0, 5),), (Quote(-1, 0, 5),), (Quote(0, 0, 5), Quote(7, 0, 5))])
async def test_a_quote_of_nothing_carries_nothing(quotes: tuple[Quote, ...]) -> None:
    assert await label("Neil Armstrong landed in 1969.", *quotes) == "unsupported"


async def test_only_the_cited_passages_count() -> None:
    both = [passage("Nothing here."), passage()]
    assert await label("It landed in 1969.", passages=both) == "unsupported"
    assert await label("It landed in 1969.", Quote(1, 0, 5), passages=both) == "supported"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    documents = [
        {"id": "a", "title": "Moon", "text": "The eagle landed in 1969. Collins stayed in orbit."},
        {"id": "b", "title": "Sea", "text": "The Nautilus dived in 1954. Rickover had it built."},
    ]
    questions = [
        {"id": "1", "question": "When did it land?", "document": "a", "answers": ["1969"], "answerable": True},
        {"id": "2", "question": "Who stayed?", "document": "a", "answers": ["Collins"], "answerable": True},
        {"id": "3", "question": "Who sang?", "document": "a", "answers": [], "answerable": False},
    ]
    for name, rows in (("set.docs", documents), ("set.questions", questions)):
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return tmp_path


class Knowing:
    """A model that is sure of whatever it says, and right about the moon landing."""

    version = "knowing"
    writes = True

    async def complete(self, request: ChatRequest) -> Completion:
        prompt = request.turns[-1].content
        known = (('land?" is: 1969.', "eagle"), ('stayed?" is: Collins.', "Collins stayed"))
        known += (("Question: When", "Answer: The eagle"), ("Question: Who", "Answer: Collins"))
        right = any(one in prompt and other in prompt for one, other in known)
        return Completion("yes", Usage(), first_token={"yes": 0.9, "no": 0.1} if right else {"yes": 0.2, "no": 0.8})


def test_pairs_are_drawn_alike_each_time(folder: Path) -> None:
    drawn = items(folder, "set", "en", 5, seed=1)
    assert drawn == items(folder, "set", "en", 5, seed=1)
    assert {item.question for item in drawn} == {"When did it land?", "Who stayed?"}
    made = list(cases(drawn[0]))
    assert [case.right for case in made] == [True, False, False, True, False]
    assert drawn[0].answer in made[0].second
    assert drawn[0].other_answer in made[1].second
    assert made[2].first.startswith("The Nautilus")


async def test_thresholds_are_found_and_reported(folder: Path) -> None:
    drawn = [case for item in items(folder, "set", "en", 5, seed=1) for case in cases(item)]
    judge = ModelJudge(Knowing())
    found: dict[str, Any] = report(judge, await ask(judge, drawn), 0.05)
    assert found["fit"]
    assert found["FIEL_JUDGE_THRESHOLDS"] == "0.5500/0.5500"
    assert found["support"]["auc"] == "1.000"
    assert "n=4" in found["support"]["false_yes"]


async def test_a_model_that_always_says_yes_is_not_fit(folder: Path) -> None:
    class Yes(Knowing):
        async def complete(self, request: ChatRequest) -> Completion:
            return Completion("yes", Usage(), first_token={"yes": 1.0})

    drawn = [case for item in items(folder, "set", "en", 5, seed=1) for case in cases(item)]
    judge = ModelJudge(Yes())
    assert not report(judge, await ask(judge, drawn), 0.05)["fit"]


async def test_a_model_without_probabilities_cannot_be_calibrated() -> None:
    class Mute(Knowing):
        async def complete(self, request: ChatRequest) -> Completion:
            return Completion("yes", Usage())

    with pytest.raises(SettingsError):
        await ask(ModelJudge(Mute()), [Case("support", "a", "b", True)])


def test_missing_data_say_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        items(tmp_path, "set", "en", 5, seed=1)
