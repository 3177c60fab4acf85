"""The answer object: what of a state may be told as the answer of a run."""

from typing import Any

import pytest
from langchain_core.messages import AIMessage

from fiel.infra.answering import answer_object
from fiel.nodes.base import said

RUN = "3f0c2a52-5d0e-4c53-8a19-0a8d6a5a9c11"


def state(outcome: str, *messages: AIMessage, answer: str = "Words.") -> dict[str, Any]:
    return {
        "outcome": outcome, "reason": "ok", "answer": answer, "citations": [{"marker": "[1]", "quote": "q"}],
        "judgement": {"satisfied": True, "answered": "0.900000", "sentences": []}, "messages": list(messages),
    }  # fmt: skip


@pytest.mark.parametrize("outcome", ["answered", "abstained", "refused", "unavailable", "pending"])
def test_only_an_answer_is_supported(outcome: str) -> None:
    """A draft that satisfied the judge and was then held back supports nothing that the caller sees."""
    answer = answer_object(RUN, None, state(outcome, said(RUN, "Words.", outcome, "ok")), {})
    assert answer["outcome"] == outcome
    assert answer["judgement"]["supported"] is (outcome == "answered")


@pytest.mark.parametrize("outcome", ["answered", "abstained", "refused"])
@pytest.mark.parametrize(
    "messages",
    [
        [],
        [said("another-run", "Words.", "answered", "ok")],
        [said(RUN, "Other words.", "answered", "ok")],
        [said(RUN, "Words.", "answered", "ok"), AIMessage("Words.")],
    ],
)
def test_what_the_run_has_not_said_is_no_answer(outcome: str, messages: list[AIMessage]) -> None:
    answer = answer_object(RUN, None, state(outcome, *messages), {})
    assert (answer["outcome"], answer["reason"], answer["answer"]) == ("unavailable", "not_proven", "")
    assert (answer["citations"], answer["verdicts"]) == ([], [])
    assert answer["judgement"] == {"supported": False, "answered": None, "sentences": []}
