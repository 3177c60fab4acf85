"""A moderation endpoint in OpenAI's shape: text in, scores by category out.

Source: OpenAI's API reference, *Moderations*. `flagged` of a category lifts its score to at least one half, because the
endpoint's own thresholds differ from category to category.
"""

import math
from collections.abc import Mapping
from typing import Any

import orjson

from fiel.tools.errors import ModelUnreadable
from fiel.tools.guard import Assessment
from fiel.tools.guard.posted import Posted

_CATEGORIES: Mapping[str, str] = {
    "hate": "hate",
    "hate/threatening": "hate",
    "harassment": "harassment",
    "harassment/threatening": "harassment",
    "self-harm": "self_harm",
    "self-harm/intent": "self_harm",
    "self-harm/instructions": "self_harm",
    "sexual": "sexual",
    "sexual/minors": "minors",
    "violence": "violence",
    "violence/graphic": "violence",
    "illicit": "crime",
    "illicit/violent": "weapons",
}
FLAGGED = 0.5
"""Least score of a category that the endpoint itself flags."""


class Moderations(Posted):
    """The endpoint `<url>/moderations`."""

    kind, path = "moderations", "/moderations"

    async def assess(self, question: str, answer: str = "") -> Assessment:
        """See `Guard.assess`. The endpoint sees the answer alone, not the question before it."""
        return Assessment(self._read(await self._post({"input": answer or question})))

    def _read(self, body: bytes) -> dict[str, float]:
        try:
            (result,) = orjson.loads(body)["results"]
            given: Mapping[str, Any] = result["category_scores"]
            flags: Mapping[str, Any] = result["categories"]
            flagged = result["flagged"]
            scores: dict[str, float] = {}
            for name, value in given.items():
                category = _CATEGORIES.get(name, "other")
                score = max(_number(value), FLAGGED if flags[name] is True else 0.0)
                scores[category] = max(scores.get(category, 0.0), score)
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise ModelUnreadable("the guard's reply is no moderation", where=self.version) from error
        if not scores or not isinstance(flagged, bool):
            raise ModelUnreadable("the guard's reply says nothing", where=self.version)
        if flagged and max(scores.values()) < FLAGGED:
            scores["other"] = FLAGGED
        return scores


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError("a score must be a number")
    if not 0 <= value <= 1:
        raise ValueError("a score must lie between 0 and 1")
    return float(value)


__all__ = ["FLAGGED", "Moderations"]
