"""An embedder for tests of ingest: instant, deterministic, and it remembers what it was asked."""

import hashlib
from collections.abc import Sequence

import numpy as np

from fiel.tools.embed import Vector


class HashEmbedder:
    """A vector that depends on the whole text and means nothing."""

    def __init__(self, version: str = "hash:1", dimensions: int = 384) -> None:
        self.version = version
        self.dimensions = dimensions
        self.texts: list[str] = []

    async def query(self, text: str) -> Vector:
        return self._vector(text)

    async def passages(self, texts: Sequence[str]) -> list[Vector]:
        self.texts.extend(texts)
        return [self._vector(text) for text in texts]

    def _vector(self, text: str) -> Vector:
        seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8])
        vector = np.random.default_rng(seed).standard_normal(self.dimensions).astype(np.float32)
        return np.asarray(vector / np.linalg.norm(vector), dtype=np.float32)
