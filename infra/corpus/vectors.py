"""Vectors for documents: known ones are found by hash, the others computed once, in batches over documents."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fiel.infra.corpus.prepare import Prepared
from fiel.infra.corpus.store import Store, chunk_hashes, embedded_text
from fiel.tools.embed import Embedder, Vector
from fiel.tools.errors import ModelUnavailable

_LOOKUP = 5000
_UNIT = 0.02
"""How far from 1 the length of a vector may be."""


@dataclass(frozen=True, slots=True)
class Need:
    """A text whose vector is wanted."""

    sha256: bytes
    text: str


class Vectors:
    """Finds out what has to be embedded, embeds it, and stores it under its hash."""

    def __init__(self, store: Store, embed: Embedder) -> None:
        self._store = store
        self._embed = embed

    async def missing(self, documents: Sequence[Prepared]) -> list[list[Need]]:
        """For each document the texts without a vector; a text stands with the first document that has it."""
        hashes = [chunk_hashes(document) for document in documents]
        wanted = sorted({key for keys in hashes for key in keys})
        known: set[bytes] = set()
        for start in range(0, len(wanted), _LOOKUP):
            known |= await self._store.known(wanted[start : start + _LOOKUP])
        needs: list[list[Need]] = []
        for document, keys in zip(documents, hashes, strict=True):
            needs.append([])
            for chunk, key in zip(document.chunks, keys, strict=True):
                if key not in known:
                    known.add(key)
                    needs[-1].append(Need(key, embedded_text(chunk.context, chunk.text)))
        return needs

    async def compute(self, needs: Sequence[Need]) -> list[tuple[bytes, Vector]]:
        """Vectors of one batch. Raises ModelUnavailable, also for what is no unit vector."""
        vectors = await self._embed.passages([need.text for need in needs])
        if len(vectors) != len(needs):
            raise ModelUnavailable(f"the embedding model gave {len(vectors)} vectors for {len(needs)} texts")
        for vector in vectors:
            _require_unit(vector, self._embed.dimensions)
        return [(need.sha256, vector) for need, vector in zip(needs, vectors, strict=True)]

    async def keep(self, vectors: Sequence[tuple[bytes, Vector]]) -> None:
        """Store what was computed."""
        await self._store.keep(vectors)


def _require_unit(vector: Vector, dimensions: int) -> None:
    if vector.shape != (dimensions,):
        raise ModelUnavailable(f"the embedding model gave a vector of shape {vector.shape}, not ({dimensions},)")
    length = float(np.linalg.norm(vector))
    if not abs(length - 1) < _UNIT:  # also refuses NaN
        raise ModelUnavailable(f"the embedding model gave a vector of length {length:.4g}, not 1")
