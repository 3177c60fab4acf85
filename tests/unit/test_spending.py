"""What a run may use: no request is made that could cost more than is left, whatever prices, prompts and limits are."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fiel.graphs.answer.options import Options, forbidden
from fiel.infra.models import prices
from fiel.infra.settings import Settings
from fiel.nodes.spending import LEAST, counted, within
from fiel.tools.chat import ChatRequest, Turn, Usage
from fiel.tools.chat.wire import price

quick = settings(max_examples=150, deadline=None)
money = st.decimals(0, 20, places=6, allow_nan=False).map(lambda value: f"{value:f}")


def request(text: str, most: int = 512) -> ChatRequest:
    return ChatRequest((Turn("system", "Answer."), Turn("user", text)), max_tokens=most)


def state(spent: str = "0.000000", used: int = 0, priced: str = "0.15/0.60") -> dict[str, Any]:
    return {"usage": {"input_tokens": used, "output_tokens": 0, "cost": spent}, "versions": {"price": priced}}


def worst(asked: ChatRequest, priced: str) -> Decimal:
    """What a call costs where every byte is a token, the template adds its most, and the answer is the longest."""
    prompt = sum(len(turn.content.encode()) + 64 for turn in asked.turns)
    return Decimal(price(priced).of(prompt, asked.max_tokens))


@quick
@given(text=st.text(max_size=300), limit=money, spent=money, prices=st.tuples(money, money), most=st.integers(1, 4096))
def test_no_call_can_cost_more_than_is_left(
    text: str, limit: str, spent: str, prices: tuple[str, str], most: int
) -> None:
    priced = "/".join(prices)
    fitting = within(request(text, most), Options(cost=limit), state(spent, priced=priced))
    if fitting is not None:
        assert LEAST <= fitting.max_tokens <= most
        assert Decimal(spent) + worst(fitting, priced) <= Decimal(limit) or worst(fitting, priced) == 0
    elif most >= LEAST and Decimal(spent) <= Decimal(limit):
        least = ChatRequest(request(text).turns, max_tokens=LEAST)
        assert Decimal(spent) + worst(least, priced) >= Decimal(limit) - Decimal("0.000001")


def test_both_limits_hold_at_once_and_none_is_no_limit() -> None:
    asked = request("x" * 400)
    assert within(asked, Options(), state()) == asked
    by_tokens = within(asked, Options(tokens=200, cost="1"), state())
    assert by_tokens is not None
    assert by_tokens.max_tokens == 200 - 407 // 4
    assert within(asked, Options(tokens=10**6, cost="0.0000001"[:8]), state()) is None


def test_what_costs_nothing_fits_a_limit_of_nothing_until_something_was_spent() -> None:
    asked = request("Why?")
    assert within(asked, Options(cost="0"), state(priced="0/0")) == asked
    assert within(asked, Options(cost="0"), state("0.000001", priced="0/0")) is None


def test_an_endpoint_that_counts_nothing_is_counted_with_the_most() -> None:
    asked, limited = request("Why?"), Options(cost="1")
    assert Decimal(counted(Usage(), asked, limited, state()).cost) == worst(asked, "0.15/0.60") > 0
    assert counted(Usage(3, 4, "0.000001"), asked, limited, state()) == Usage(3, 4, "0.000001")
    assert counted(Usage(), asked, Options(), state()) == Usage()


@pytest.mark.parametrize("cost", ["0.1234567", "-1", "1,5", "1e3", "nan", " 1", "1 ", ".5", "٣", "1" * 10, 0.05])
def test_a_limit_that_is_no_amount_is_refused(cost: Any) -> None:
    assert forbidden(Options(cost=cost), frozenset({"reader"})) == "cost"
    assert forbidden(Options(cost="0.05"), frozenset({"reader"})) is None


@pytest.mark.parametrize(
    ("set_to", "known"),
    [
        ({}, {"": "0/0", "extract": "0/0"}),
        ({"chat": "gguf:a.gguf", "chat_price": "1/2"}, {"": "0/0", "gguf:a.gguf": "0/0", "extract": "0/0"}),
        ({"chat": "openai:a"}, {"extract": "0/0"}),
        ({"chat": "openai:a", "chat_price": "1 / 0.6"}, {"": "1/0.6", "openai:a": "1/0.6", "extract": "0/0"}),
        ({"chat": "openai:a", "chat_price": "1/2", "judge": "openai:b"}, {}),
        ({"judge": "openai:b", "judge_price": "1/2"}, {"": "0/0", "extract": "0/0"}),
        ({"judge": "gguf:b.gguf"}, {"": "0/0", "extract": "0/0"}),
    ],
)  # fmt: skip
def test_a_price_is_known_where_all_is_known_that_a_run_costs(set_to: dict[str, str], known: dict[str, str]) -> None:
    assert prices(Settings(**set_to)) == known  # type: ignore[arg-type]
