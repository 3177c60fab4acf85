"""Likeness of topic: how near the vector of a question comes to those of examples, as a chance.

Vectors of multilingual-e5-small point almost the same way, and those of one language or one style more so. Their mean
and the directions of language and style are taken away first, so that one scale serves English, Spanish and examples in
the one for questions in the other. `python -m fiel.infra.training.topics` fits it; `models/topics/CARD.md` has figures.
"""

import io
import math
from dataclasses import dataclass
from functools import cache, lru_cache
from zipfile import BadZipFile

import numpy as np

from fiel.policies.heads import Matrix, bytes_of, file_of
from fiel.tools import e5
from fiel.tools.errors import PolicyError

NAME = "topics"
"""Of the folder under `models`; its hash is part of a bundle's version."""


@dataclass(frozen=True, slots=True, eq=False)
class Likeness:
    """`chance = logistic(slope · (cosine - middle - crowd · ln n))` for the nearest of n examples."""

    mean: Matrix
    """(dimensions,)"""
    aside: Matrix
    """(directions, dimensions), orthonormal: what is no matter of topic."""
    slope: float
    middle: float
    crowd: float
    """The nearest of many is nearer by chance alone."""

    def turned(self, vectors: Matrix) -> Matrix:
        """Unit vectors of the same shape without mean and what is set aside."""
        moved = vectors - self.mean
        moved = moved - (moved @ self.aside.T) @ self.aside
        return np.asarray(moved / np.maximum(np.linalg.norm(moved, axis=1, keepdims=True), 1e-9), np.float32)

    def chances(self, vectors: Matrix, examples: Matrix) -> Matrix:
        """One chance a row of `vectors` that it is about what one of `examples` is about; both are turned."""
        nearest = (vectors @ examples.T).max(axis=1)
        logits = self.slope * (nearest - self.middle - self.crowd * math.log(len(examples)))
        return np.asarray(1.0 / (1.0 + np.exp(-np.clip(logits, -30.0, 30.0))), np.float32)


@cache
def likeness() -> Likeness:
    """The fit, read once a process. Raises PolicyError where the file cannot be used."""
    try:
        with np.load(io.BytesIO(bytes_of(NAME)), allow_pickle=False) as held:
            mean, aside = held["mean"].astype(np.float32), held["aside"].astype(np.float32)
            slope, middle, crowd = (float(value) for value in held["scalars"])
    except (OSError, EOFError, ValueError, KeyError, BadZipFile) as error:
        raise PolicyError(f"the fit of topics cannot be read: {error}", where=str(file_of(NAME))) from error
    numbers = np.concatenate([mean.ravel(), aside.ravel(), [slope, middle, crowd]])
    if mean.ndim != 1 or aside.shape[1:] != mean.shape or not np.isfinite(numbers).all() or slope <= 0:
        raise PolicyError("the fit of topics is broken", where=str(file_of(NAME)), hint="Fit it again")
    return Likeness(mean, aside, slope, middle, crowd)


@lru_cache(maxsize=64)
def examples(texts: tuple[str, ...]) -> Matrix:
    """The turned vectors of a bundle's examples, (texts, dimensions), kept by the process. Raises ModelUnavailable."""
    return vectors(texts)


def vectors(texts: tuple[str, ...]) -> Matrix:
    """The turned vectors of questions, each of one window. Raises ModelUnavailable."""
    return likeness().turned(np.asarray(e5.shared().encode(texts, True), np.float32))
