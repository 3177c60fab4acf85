"""Ridge-penalised logistic regression by Newton's method: deterministic, and all that the small models need."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from fiel.tools.rerank.grading import Row
from fiel.tools.rerank.logistic import Logistic

Array = npt.NDArray[np.float64]


def fit(
    names: Sequence[str],
    rows: Sequence[Row],
    labels: Sequence[bool],
    *,
    ridge: float = 1.0,
    weights: Sequence[float] | None = None,
) -> Logistic:
    """Coefficients for `rows`. Features are scaled to unit variance for the penalty; the bias is not penalised."""
    table = np.array([[row[name] for name in names] for row in rows], dtype=np.float64)
    mean, spread = table.mean(axis=0), table.std(axis=0)
    spread[spread < 1e-9] = 1.0
    scaled = np.hstack([(table - mean) / spread, np.ones((len(rows), 1))])
    target = np.array(labels, dtype=np.float64)
    weight = np.ones(len(rows)) if weights is None else np.array(weights, dtype=np.float64)
    beta = _newton(scaled, target, weight, ridge)
    plain = beta[:-1] / spread
    bias = float(beta[-1] - (plain * mean).sum())
    return Logistic(tuple(names), tuple(float(round(value, 5)) for value in plain), round(bias, 5))


def _newton(table: Array, target: Array, weight: Array, ridge: float) -> Array:
    beta = np.zeros(table.shape[1])
    penalty = np.full(table.shape[1], ridge)
    penalty[-1] = 1e-6
    for _ in range(50):
        chance = 1.0 / (1.0 + np.exp(-np.clip(table @ beta, -30, 30)))
        gradient = table.T @ (weight * (target - chance)) - penalty * beta
        curvature = (table * (weight * chance * (1 - chance))[:, None]).T @ table + np.diag(penalty)
        step = np.linalg.solve(curvature, gradient)
        beta = beta + step
        if float(np.abs(step).max()) < 1e-7:
            break
    return np.asarray(beta)


def folds(groups: Sequence[str], count: int = 5) -> Iterator[tuple[list[int], list[int]]]:
    """Indices to train and to test on, so that no group (article) is on both sides."""
    names = sorted(set(groups))
    for number in range(count):
        held = set(names[number::count])
        yield (
            [index for index, group in enumerate(groups) if group not in held],
            [index for index, group in enumerate(groups) if group in held],
        )
