"""What a model answers is read strictly: the right number of vectors, finite, of one width, with a direction."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from fiel.tools.embed import Vector
from fiel.tools.errors import ModelUnreadable

LONGEST_QUESTION = 2_400
"""Characters of a question that are embedded. What is longer is no question, and would only take time."""


def readable(text: str) -> str:
    """`text` as every model can take it: no NUL, no lone surrogates, not empty."""
    return text.replace("\0", " ").encode("utf-8", "replace").decode() or " "


def question(text: str) -> str:
    """A question, readable and cut to size."""
    return readable(text[:LONGEST_QUESTION])


def units(rows: Any, count: int, dimensions: int, where: str) -> list[Vector]:
    """`rows` as `count` unit vectors of `dimensions` (0: any one width). Raises ModelUnreadable."""
    try:
        matrix = np.asarray(rows, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ModelUnreadable("the vectors are not rows of numbers of one width", where=where) from error
    if matrix.ndim != 2 or matrix.shape[0] != count or matrix.shape[1] == 0:
        raise ModelUnreadable(f"{count} vectors were asked for, and {_shape(matrix.shape)} came back", where=where)
    if dimensions and matrix.shape[1] != dimensions:
        raise ModelUnreadable(
            f"the vectors have {matrix.shape[1]} dimensions, not {dimensions}",
            where=where,
            hint="Set FIEL_EMBED_DIMENSIONS to what the model gives, and ingest again",
        )
    lengths = np.linalg.norm(matrix, axis=1, keepdims=True)
    if not (np.isfinite(matrix).all() and (lengths > 0).all()):
        raise ModelUnreadable("a vector is not finite, or zero", where=where)
    return list((matrix / lengths).astype(np.float32))


def _shape(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape)) or "one number"
