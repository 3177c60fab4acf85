"""What a run may use, in tokens and in money: what is left of it, and what of a request still fits."""

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

from fiel.nodes.base import State
from fiel.tools.chat import ChatRequest, Usage

TOO_COSTLY = "too_costly"
PRICE_UNKNOWN = "price_unknown"
PRICE = "price"
"""Name among the versions of a run: the price that its limit in money is counted with."""
LEAST = 16
"""Tokens of an answer that is worth asking for."""
_FRAME = 64
"""Tokens that a chat template may put around a turn, at most."""
_ROUNDING = Decimal("0.000001")


def within(request: ChatRequest, options: Any, state: State) -> ChatRequest | None:
    """`request` with an answer no longer than the run may still get; None where its prompt alone leaves no room."""
    room = request.max_tokens
    if options.tokens:
        room = min(room, options.tokens - _used(state["usage"]) - _bytes(request) // 4)
    if options.cost:
        room = min(room, _affordable(request, Decimal(options.cost) - Decimal(state["usage"]["cost"]), state))
    return replace(request, max_tokens=room) if room >= LEAST else None


def counted(usage: Usage, request: ChatRequest, options: Any, state: State) -> Usage:
    """`usage` of a call; where there is a limit in money and the endpoint counts no tokens, what it costs at most."""
    if not options.cost or usage.input_tokens or usage.output_tokens:
        return usage
    return replace(usage, cost=_price(state).of(_most(request), request.max_tokens))


def added(usage: Mapping[str, Any], more: Usage) -> dict[str, Any]:
    """Usage of a run so far and that of one more call."""
    return {
        "input_tokens": usage["input_tokens"] + more.input_tokens,
        "output_tokens": usage["output_tokens"] + more.output_tokens,
        "cost": str(Decimal(usage["cost"]) + Decimal(more.cost)),
    }


def _affordable(request: ChatRequest, left: Decimal, state: State) -> int:
    """Tokens of an answer that `left` pays for, behind the prompt. Exact: money is no float."""
    price = _price(state)
    if left < 0:
        return 0
    if not price.input and not price.output:
        return request.max_tokens
    left = (left - _ROUNDING) * 1_000_000 - price.input * _most(request)
    if left < 0:
        return 0
    return int(left // price.output) if price.output else request.max_tokens


def _price(state: State) -> Any:
    from fiel.tools.chat.wire import price

    return price(state["versions"][PRICE])


def _most(request: ChatRequest) -> int:
    """Tokens of the prompt at most: none is shorter than a byte."""
    return _bytes(request) + _FRAME * len(request.turns)


def _bytes(request: ChatRequest) -> int:
    return sum(len(turn.content.encode("utf-8", "surrogatepass")) for turn in request.turns)


def _used(usage: Mapping[str, Any]) -> int:
    return int(usage["input_tokens"] + usage["output_tokens"])
