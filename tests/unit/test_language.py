"""Language detection: short questions, uncertainty, long texts."""

import json
from pathlib import Path

import pytest

from fiel.tools.language import LANGUAGES, LanguageDetector, detect

DATA = Path(__file__).parents[2].parent / "shared" / "data" / "qa"

QUESTIONS = {
    "en": ["Who wrote it?", "What is the capital of France?", "How does a question flow?", "when was it built"],
    "es": [
        "¿Quién lo escribió?",
        "¿Cuál es la capital de Francia?",
        "¿Cómo fluye una pregunta?",
        "cuándo se construyó",
    ],
    "de": ["Wer hat das geschrieben?"],
    "fr": ["Qui a écrit ce livre ?"],
    "zh": ["谁写了这本书?"],
    "ja": ["これは誰が書きましたか。"],
    "ru": ["Кто написал эту книгу?"],
    "ar": ["من كتب هذا الكتاب؟"],
}


@pytest.mark.parametrize("language", QUESTIONS)
def test_tells_the_language_of_short_questions(language: str) -> None:
    assert [detect(question) for question in QUESTIONS[language]] == [language] * len(QUESTIONS[language])


@pytest.mark.parametrize("text", ["", " ", "\n", "42", "1234567890 + 7", "?!", "a", "x1", "----", "😀😀😀"])
def test_does_not_guess_from_what_is_no_language(text: str) -> None:
    assert detect(text) == "und"


def test_is_und_where_it_is_not_sure_enough() -> None:
    assert LanguageDetector(least_confidence=1.1)("What is the capital of France?") == "und"


def test_only_answers_with_the_languages_it_was_given() -> None:
    narrow = LanguageDetector(languages=("en", "es"))
    assert narrow("Wer hat dieses Buch geschrieben?") in ("en", "es", "und")
    assert "und" not in LANGUAGES


def test_judges_a_long_text_by_samples_of_all_of_it() -> None:
    header = "ID;NAME;QTY\n" * 20
    assert detect(header + "Esta es una frase en español sobre la historia de la ciudad. " * 2000) == "es"


def test_survives_what_is_no_utf8() -> None:
    assert isinstance(detect("\ud800 the surrogate stands alone"), str)


@pytest.mark.skipif(not DATA.is_dir(), reason="the evaluation data is not beside this checkout")
@pytest.mark.parametrize(("name", "language"), [("xquad-en", "en"), ("xquad-es", "es")])
def test_is_right_on_nearly_all_questions_of_a_benchmark(name: str, language: str) -> None:
    lines = (DATA / f"{name}.questions.jsonl").read_text(encoding="utf-8").splitlines()
    found = [detect(json.loads(line)["question"]) for line in lines]
    assert found.count(language) / len(found) >= 0.985
    assert sum(one not in (language, "und") for one in found) / len(found) <= 0.005
