"""Vectors, cross-encoder scores and answers on disk, so that an evaluation asks each model each thing once."""

import hashlib
import pickle
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from fiel.tools.chat import AtOnce, Chat, ChatRequest, Completion
from fiel.tools.embed import Embedder, Vector
from fiel.tools.rerank.cross_encoder import PairScorer


def _key(*parts: str) -> bytes:
    return hashlib.sha256("\0".join(parts).encode()).digest()[:16]


class Store:
    """A dictionary kept in one file; written when the block ends."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.values: dict[bytes, Any] = {}
        self._before = 0

    def __enter__(self) -> "Store":
        if self._path.is_file():
            self.values = pickle.loads(self._path.read_bytes())  # noqa: S301
        self._before = len(self.values)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.save()

    def save(self) -> None:
        """Write what is new, in one step."""
        if len(self.values) == self._before:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._path.with_suffix(".new")
        fresh.write_bytes(pickle.dumps(self.values))
        fresh.replace(self._path)
        self._before = len(self.values)


class CachedScorer:
    """A pair scorer that remembers on disk."""

    def __init__(self, inner: PairScorer, store: Store) -> None:
        self._inner = inner
        self._store = store

    @property
    def version(self) -> str:
        return self._inner.version

    def knows(self, question: str, texts: Sequence[str]) -> bool:
        """Whether no pair would have to be scored."""
        return all(_key(self.version, question, text) in self._store.values for text in texts)

    async def scores(self, question: str, texts: Sequence[str]) -> list[float]:
        """As the scorer itself."""
        missing = [text for text in dict.fromkeys(texts) if not self.knows(question, [text])]
        for text, score in zip(missing, await self._inner.scores(question, missing), strict=True):
            self._store.values[_key(self.version, question, text)] = score
            if len(self._store.values) % 2000 == 0:
                self._store.save()
        return [float(self._store.values[_key(self.version, question, text)]) for text in texts]


class CachedEmbedder:
    """An embedder that remembers on disk."""

    def __init__(self, inner: Embedder, store: Store) -> None:
        self._inner = inner
        self._store = store

    @property
    def version(self) -> str:
        return self._inner.version

    @property
    def dimensions(self) -> int:
        return self._inner.dimensions

    async def query(self, text: str) -> Vector:
        """As the embedder itself."""
        key = _key(self.version, "query", text)
        if key not in self._store.values:
            self._store.values[key] = await self._inner.query(text)
        return np.asarray(self._store.values[key], dtype=np.float32)

    async def passages(self, texts: Sequence[str]) -> list[Vector]:
        """As the embedder itself."""
        keys = [_key(self.version, "passage", text) for text in texts]
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in self._store.values}
        vectors = await self._inner.passages(list(missing.values()))
        self._store.values.update(zip(missing, vectors, strict=True))
        return [np.asarray(self._store.values[key], dtype=np.float32) for key in keys]


class CachedChat(AtOnce):
    """A chat model that remembers on disk what it wrote on which prompt."""

    def __init__(self, inner: Chat, store: Store) -> None:
        self._inner = inner
        self._store = store

    @property
    def version(self) -> str:
        return self._inner.version

    @property
    def writes(self) -> bool:
        return self._inner.writes

    async def complete(self, request: ChatRequest) -> Completion:
        """As the model itself; written to the disk at once, since it may have taken a minute."""
        turns = [part for turn in request.turns for part in (turn.role, turn.content)]
        key = _key(self.version, "chat", str(request.max_tokens), *turns)
        if key not in self._store.values:
            self._store.values[key] = await self._inner.complete(request)
            self._store.save()
        found: Completion = self._store.values[key]
        return found
