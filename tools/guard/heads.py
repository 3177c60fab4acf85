"""Heads on the sentence vector that retrieval computes anyway: one logistic regression a category, a few kilobytes.

Trained by `fiel.infra.training.moderation`, which also writes the model card beside the weights. They read questions
only: embedding a whole answer would cost more than everything else that is done with it.
"""

import hashlib
from functools import cache
from importlib.resources import files
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt

from fiel.tools.embed import Embedder, Vector
from fiel.tools.guard import Assessment

WEIGHTS = "heads.npz"


class HeadsGuard:
    """Scores questions by the vectors of the built-in embedder, for which the heads were trained."""

    reads_answers = False

    def __init__(self, embed: Embedder) -> None:
        self._embed = embed

    @property
    def version(self) -> str:
        return f"heads:{_weights()[1][:12]}:{self._embed.version}"

    async def assess(self, question: str, answer: str = "") -> Assessment:
        """See `Guard.assess`. An answer gets no scores."""
        if answer:
            return Assessment({})
        return Assessment(score(await self._embed.query(question)))


def score(vector: Vector) -> dict[str, float]:
    """Calibrated scores by category. The hate of a text is the higher one of its two heads."""
    weights, _ = _weights()
    centred = (vector - weights["mean"]) * float(weights["scale"][0])
    logits = weights["weights"] @ centred + weights["bias"]
    chances = 1.0 / (1.0 + np.exp(-(weights["slope"] * logits + weights["shift"])))
    scores: dict[str, float] = {}
    for name, chance in zip(weights["names"].tolist(), chances.tolist(), strict=True):
        category = str(name).partition("/")[0]
        scores[category] = max(scores.get(category, 0.0), float(chance))
    return scores


@cache
def _weights() -> tuple[dict[str, npt.NDArray[Any]], str]:
    """The arrays, and the SHA-256 of the file."""
    data = files("fiel.tools.guard").joinpath(WEIGHTS).read_bytes()
    with np.load(BytesIO(data), allow_pickle=False) as loaded:
        return {name: loaded[name] for name in loaded.files}, hashlib.sha256(data).hexdigest()


__all__ = ["HeadsGuard", "score"]
