"""Follow-up questions without a model."""

import pytest

from fiel.nodes.follow_up import leans, stand_alone

ALONE = (
    "Who founded the Acme Corporation?",
    "When was the Treaty of Versailles signed?",
    "¿Quién fundó la corporación Acme?",
    "¿Cuándo se firmó el Tratado de Versalles?",
    "¿Cuál es la capital de la provincia de Huesca?",
    "What is the capital of the province of Huesca?",
)
LEANING = (
    "When was it founded?",
    "And in 2019?",
    "Where did she study?",
    "What about Spain?",
    "¿Y en 2019?",
    "¿Dónde estudió ella?",
    "¿Cuándo lo fundaron?",
    "Why?",
)


@pytest.mark.parametrize("question", ALONE)
def test_a_whole_question_stays_as_it_is(question: str) -> None:
    assert not leans(question)
    assert stand_alone(question, ["Who was Marie Curie?", "A physicist."]) == question


@pytest.mark.parametrize("question", LEANING)
def test_a_follow_up_gets_what_it_leans_on(question: str) -> None:
    assert leans(question)
    alone = stand_alone(question, ["Who founded the Acme Corporation?", "It was Jane Roe [1]."])
    assert alone.startswith(question)
    assert "Roe" in alone or "Acme" in alone


def test_without_a_conversation_nothing_is_added() -> None:
    assert stand_alone("When was it founded?", []) == "When was it founded?"
