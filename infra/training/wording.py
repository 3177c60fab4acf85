"""Fitting the weights of wordings (`fiel.policies.checks.grams`): a penalised logistic regression over hashed words."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from fiel.infra.training.head import Array
from fiel.policies.checks.grams import LETTERS, PLACES, WORDS, Numbers, places
from fiel.policies.checks.signs import signs

LOOSE = 20.0
"""The inverse of the penalty."""


def table(texts: Sequence[str]) -> Any:
    """Sparse rows (texts, PLACES): in each row words and runs of letters have unit length apart, and signs count 1."""
    from scipy.sparse import csr_matrix

    columns, values, ends = [], [], [0]
    for text in texts:
        words, letters = places(text)
        seen = [WORDS + LETTERS + sign for sign in signs(text)]
        for found, weight in ((words, _unit(words)), (letters, _unit(letters)), (seen, 1.0)):
            columns.append(np.array(found, np.int32))
            values.append(np.full(len(found), weight, np.float32))
        ends.append(ends[-1] + len(words) + len(letters) + len(seen))
    shape = (len(texts), PLACES)
    return csr_matrix((np.concatenate(values), np.concatenate(columns), np.array(ends)), shape=shape)


def _unit(found: Sequence[int]) -> float:
    return float(len(found) ** -0.5) if found else 0.0


def fit(rows: Any, labels: Array, weights: Array) -> tuple[Numbers, float]:
    """Weights and bias; rows of weight 0 do not count. Deterministic."""
    from sklearn.linear_model import LogisticRegression

    used = weights > 0
    model = LogisticRegression(C=LOOSE, solver="liblinear", max_iter=200)
    model.fit(rows[used], labels[used], sample_weight=weights[used])
    return np.asarray(model.coef_[0], np.float32), float(model.intercept_[0])


def logits(rows: Any, fitted: tuple[Numbers, float]) -> Array:
    """Of each row."""
    return np.asarray(rows @ fitted[0] + fitted[1], np.float64)
