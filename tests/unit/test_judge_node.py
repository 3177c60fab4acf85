"""The hop judge: what it holds against a draft whatever the judge says."""

from collections.abc import Sequence
from typing import Any

import pytest

from fiel.nodes.judge import Judge
from fiel.tools.chat import DraftSentence
from fiel.tools.judge import Judgement, SentenceJudgement
from fiel.tools.vault import MemoryVault
from tests.unit.test_cite import TEXT, passage


class Runs:
    def run_of(self, runtime: Any, config: Any) -> str:
        return "run"


class Content:
    """A judge that is content with everything, and reads what is quoted as Python slices do."""

    version = "test"

    def threshold(self, language: str) -> float:
        return 0.5

    async def judge(
        self, question: str, draft: Sequence[DraftSentence], passages: Sequence[Any], *, language: str
    ) -> Judgement:
        for sentence in draft:
            for quote in sentence.quotes:
                assert passages[quote.passage]["text"][quote.start : quote.end] is not None
        return Judgement(tuple(SentenceJudgement("supported", 1.0) for _ in draft), 1.0)


async def judged(*quotes: dict[str, Any]) -> dict[str, Any]:
    vault = MemoryVault()
    draft = await vault.put("run", {"sentences": [{"text": "Opened in 1912.", "quotes": list(quotes)}]})
    state = {
        "draft": draft, "standalone": "When?", "passages": [passage(), passage()], "language": "en",
        "usage": {"input_tokens": 0, "output_tokens": 0, "cost": "0.000000"},
    }  # fmt: skip
    recorder: Any = Runs()
    runtime: Any = None
    return await Judge(Content(), recorder, vault)(state, runtime, {})


def quote(number: Any, start: Any, end: Any) -> dict[str, Any]:
    return {"passage": number, "start": start, "end": end}


@pytest.mark.parametrize(
    "wrong",
    [
        (-1, 0, 5), (2, 0, 5), (0, -5, 5), (0, 5, 5), (0, 6, 5), (0, 0, len(TEXT) + 1), (0, 0, -1), (True, 0, 5),
        (0, False, 5),
    ],
)  # fmt: skip
async def test_a_quote_that_lies_nowhere_supports_nothing(wrong: tuple[int, int, int]) -> None:
    update = await judged(quote(*wrong))
    assert (update["reason"], update["judgement"]["satisfied"]) == ("unsupported", False)
    update = await judged(quote(0, 0, 5), quote(*wrong))
    assert update["reason"] == "unsupported"


@pytest.mark.parametrize("right", [(0, 0, 1), (1, 0, len(TEXT))])
async def test_a_quote_within_its_passage_supports(right: tuple[int, int, int]) -> None:
    assert (await judged(quote(*right)))["judgement"]["satisfied"]
