"""Vectors from hashes of words: instantaneous and deterministic, for tests, benchmarks and measuring everything else.

Texts that share words are near to one another; meaning is beyond it.
"""

import hashlib
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from fiel.tools.embed import Vector
from fiel.tools.embed.checked import question, readable, units
from fiel.tools.text import words


class HashEmbedder:
    """A text's vector is the sum of the vectors of its content words, each drawn from the word's hash."""

    def __init__(self, dimensions: int = 384) -> None:
        if dimensions < 1:
            raise ValueError("a vector has at least one dimension")
        self._dimensions = dimensions

    @property
    def version(self) -> str:
        return f"hash:1:{self._dimensions}"

    @property
    def dimensions(self) -> int:
        return self._dimensions

    async def query(self, text: str) -> Vector:
        return self._embed(question(text))

    async def passages(self, texts: Sequence[str]) -> list[Vector]:
        return [self._embed(readable(text)) for text in texts]

    def _embed(self, text: str) -> Vector:
        forms = [word.form for word in words(text) if word.content] or [text]
        total = np.sum([_drawn(form, self._dimensions) for form in forms], axis=0)
        return units([total], 1, self._dimensions, "hash")[0]


@lru_cache(maxsize=65536)
def _drawn(form: str, dimensions: int) -> Vector:
    seed = int.from_bytes(hashlib.sha256(form.encode()).digest()[:8], "big")
    return np.random.default_rng(seed).standard_normal(dimensions).astype(np.float32)
