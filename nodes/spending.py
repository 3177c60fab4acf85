"""The tokens that a run may use: what is left of them, and what of a request still fits."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fiel.tools.chat import ChatRequest

TOO_COSTLY = "too_costly"
LEAST = 16
"""Tokens of an answer that is worth asking for."""


def within(request: ChatRequest, limit: int, usage: Mapping[str, Any]) -> ChatRequest | None:
    """`request` with an answer no longer than a run may still get; None where its prompt alone leaves no room.

    `limit`: tokens of the whole run, 0 for any number. A prompt's tokens are estimated as its UTF-8 bytes over 4.
    """
    if not limit:
        return request
    prompt = sum(len(turn.content.encode("utf-8", "surrogatepass")) for turn in request.turns) // 4
    room = limit - usage["input_tokens"] - usage["output_tokens"] - prompt
    return replace(request, max_tokens=min(request.max_tokens, room)) if room >= LEAST else None
