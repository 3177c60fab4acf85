"""Yes or no by the first token: read in one way, by judges and by guards."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fiel.tools.chat import Chat, ChatRequest, Completion, Usage
from fiel.tools.chat.yes import READABLE, p_yes
from fiel.tools.errors import ModelUnreadable
from fiel.tools.guard.questions import JAILBREAK, AskingGuard
from fiel.tools.judge.model import ModelJudge

TOKENS = st.dictionaries(
    st.sampled_from(["yes", " Yes", "YES\n", "no", " No", "not", '"yes', "yes.", "▁no", "", "Maybe"]),
    st.integers(0, 64).map(lambda share: share / 64),  # whose sums are exact
    max_size=6,
)


class Says:
    """A chat model whose answers begin with these tokens."""

    version = "says:1"
    writes = True

    def __init__(self, tokens: dict[str, float]) -> None:
        self.tokens = tokens

    async def complete(self, request: ChatRequest) -> Completion:
        return Completion("", Usage(), first_token=self.tokens)


def saying(tokens: dict[str, float]) -> Chat:
    return Says(tokens)  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        ({"yes": 0.6, "no": 0.2}, 0.75),
        ({" Yes": 0.3, "YES\n": 0.3, "\tNo": 0.2}, 0.75),
        ({"no": 1.0}, 0.0),
        ({"yes": 1.0}, 1.0),
        ({"yes": 0.25, "no": 0.25}, 0.5),
        ({"yesterday": 0.9, "no": 0.1}, None),
        ({"not": 0.9, "yes": 0.1}, None),
        ({'"no': 0.9, "no.": 0.1}, None),
        ({"yes": 0.4, "The": 0.6}, None),
        ({"": 1.0}, None),
        ({}, None),
    ],
)
def test_a_first_token_is_read_whole(tokens: dict[str, float], expected: float | None) -> None:
    assert p_yes(tokens) == (expected if expected is None else pytest.approx(expected))


@settings(max_examples=100, deadline=None)
@given(TOKENS)
async def test_judge_and_guard_read_the_same_and_each_fails_to_its_stricter_side(tokens: dict[str, float]) -> None:
    read = p_yes(tokens)
    said = sum(share for token, share in tokens.items() if token.strip().lower() in ("yes", "no"))
    assert (read is None) == (said < READABLE)
    assert read is None or 0.0 <= read <= 1.0
    judged = await ModelJudge(saying(tokens)).support("a source", "a statement")
    assert judged == ((read or 0.0) if tokens else None)
    guard = AskingGuard("granite", saying(tokens), JAILBREAK)
    if read is None:
        with pytest.raises(ModelUnreadable):
            await guard.assess("Why?")
    else:
        assert (await guard.assess("Why?")).scores == {"injection": read}
