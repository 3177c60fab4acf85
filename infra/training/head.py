"""Fitting a head: landmarks drawn by a fixed seed, logistic regression on them by Newton's method, Platt's calibration.

The features are those of Nyström's approximation of a Gaussian kernel (Williams and Seeger 2001) beside the vector
itself. NumPy alone, and deterministic on one machine.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fiel.policies.heads import Head, Matrix

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Plan:
    """Choices of a fit."""

    landmarks: int = 1000
    width: float = 8.0
    ridge: float = 0.1
    scale: float = 2.0
    """Of the linear part, before the penalty."""
    steps: int = 6


class Table:
    """Features of all samples over one set of landmarks."""

    def __init__(self, vectors: Matrix, sources: Sequence[str], plan: Plan) -> None:
        """`vectors` (n, dimensions) of unit length; `sources` of as many of the first as may be landmarks or fitted to.

        Landmarks are drawn so that small sources are not left out.
        """
        self._plan = plan
        counts = {source: sources.count(source) for source in set(sources)}
        chance = np.array([counts[source] ** -0.5 for source in sources])
        chosen = np.random.default_rng(1).choice(
            len(sources), min(plan.landmarks, len(sources)), replace=False, p=chance / chance.sum()
        )
        self._landmarks = vectors[chosen].astype(np.float16).astype(np.float32)
        self._mean = vectors[: len(sources)].mean(axis=0)
        kernel = _nearness(self._landmarks, self._landmarks, plan.width)
        values, axes = np.linalg.eigh(kernel.astype(np.float64) + 1e-6 * np.eye(len(kernel)))
        self._whiten = np.asarray(axes / np.sqrt(np.maximum(values, 1e-6)), np.float32)
        self.features = np.hstack(
            [
                _nearness(vectors, self._landmarks, plan.width) @ self._whiten,
                (vectors - self._mean) * plan.scale,
                np.ones((len(vectors), 1)),
            ]
        ).astype(np.float32)

    def fit(self, labels: Array, weights: Array) -> Array:
        """Coefficients of a ridge-penalised logistic regression; rows of weight 0 do not count."""
        rows = weights > 0
        table, target, weight = self.features[rows], labels[rows], weights[rows]
        beta = np.zeros(table.shape[1])
        penalty = np.full(table.shape[1], self._plan.ridge)
        penalty[-1] = 1e-6
        for _ in range(self._plan.steps):
            chance = 1.0 / (1.0 + np.exp(-np.clip(table @ beta.astype(np.float32), -30, 30)))
            gradient = table.T @ (weight * (target - chance)).astype(np.float32) - penalty * beta
            curve = (weight * np.maximum(chance * (1 - chance), 1e-4)).astype(np.float32)
            beta = beta + np.linalg.solve(
                ((table * curve[:, None]).T @ table).astype(np.float64) + np.diag(penalty), gradient
            )
        return beta

    def logits(self, beta: Array) -> Array:
        """Of all samples."""
        return np.asarray(self.features @ beta.astype(np.float32), np.float64)

    def head(self, beta: Array, slope: float, offset: float) -> Head:
        """The coefficients as a head whose logit is `slope * logit + offset`."""
        count = len(self._landmarks)
        near = self._whiten @ beta[:count].astype(np.float32) * slope
        linear = beta[count:-1] * self._plan.scale * slope
        bias = float(beta[-1] * slope + offset - self._mean @ linear)
        return Head(self._landmarks, near.astype(np.float32), linear.astype(np.float32), bias, self._plan.width)


def _nearness(vectors: Matrix, landmarks: Matrix, width: float) -> Matrix:
    return np.asarray(np.exp(-width * np.maximum(2.0 - 2.0 * (vectors @ landmarks.T), 0.0)), np.float32)


def platt(logits: Array, labels: Array, weights: Array) -> Array:
    """Calibrates logits of texts that the fits had not seen (Platt 1999), those of several fits as one sum.

    `logits` (n, m), one column a fit. Returns m slopes and the offset.
    """
    table = np.hstack([logits, np.ones((len(logits), 1))])
    beta = np.ones(table.shape[1]) / logits.shape[1]
    beta[-1] = 0.0
    for _ in range(30):
        chance = 1.0 / (1.0 + np.exp(-np.clip(table @ beta, -30, 30)))
        curve = weights * chance * (1 - chance)
        beta = beta + np.linalg.solve(
            (table * curve[:, None]).T @ table + 1e-6 * np.eye(len(beta)), table.T @ (weights * (labels - chance))
        )
    return np.asarray(beta, np.float64)
