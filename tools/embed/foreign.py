"""Embedding models that other libraries define: anything with LlamaIndex's or LangChain's interface.

Named as `module:factory`: the factory is called without arguments and returns the model. Their synchronous methods are
called in threads of their own: both libraries fall back to those in their asynchronous ones, and LlamaIndex then holds
the event loop for as long as the model computes.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import Any

from fiel.tools.chat.limits import Limits
from fiel.tools.embed import Vector
from fiel.tools.embed.checked import question, readable, units
from fiel.tools.errors import FielError, ModelTimeout, ModelUnavailable, SettingsError

BATCH = 32
THREADS = 4


class ForeignEmbedder:
    """A model given by two functions: one for a question, one for passages."""

    def __init__(
        self,
        name: str,
        *,
        query: Callable[[str], Any],
        passages: Callable[[list[str]], Any],
        dimensions: int = 0,
        limits: Limits | None = None,
    ) -> None:
        """`name` becomes the version, with the dimensions. `dimensions` 0: whatever the first answer has."""
        self._name = name
        self._query = query
        self._passages = passages
        self._dimensions = dimensions
        self._limits = limits or Limits()
        self._threads = ThreadPoolExecutor(THREADS, "embed-foreign")

    @property
    def version(self) -> str:
        return f"{self._name}:{self.dimensions}"

    @property
    def dimensions(self) -> int:
        """Raises SettingsError while nobody has said and the model was not asked."""
        if not self._dimensions:
            raise SettingsError(
                "the width of the embedding model's vectors is not known yet", hint="Set FIEL_EMBED_DIMENSIONS"
            )
        return self._dimensions

    async def probe(self) -> int:
        """The dimensions, from the model itself where they are not known. Raises kinds of ModelUnavailable."""
        if not self._dimensions:
            self._dimensions = len(await self.query("fiel"))
        return self._dimensions

    async def query(self, text: str) -> Vector:
        row = await self._call(self._query, question(text))
        return units([row], 1, self._dimensions, self._name)[0]

    async def passages(self, texts: Sequence[str]) -> list[Vector]:
        vectors: list[Vector] = []
        for begin in range(0, len(texts), BATCH):
            batch = [readable(text) for text in texts[begin : begin + BATCH]]
            vectors += units(await self._call(self._passages, batch), len(batch), self._dimensions, self._name)
        return vectors

    async def _call(self, function: Callable[[Any], Any], argument: Any) -> Any:
        try:
            async with asyncio.timeout(self._limits.total):
                return await self._attempts(function, argument)
        except TimeoutError as error:
            raise ModelTimeout(f"no vector within {self._limits.total:g} s", where=self._name) from error

    async def _attempts(self, function: Callable[[Any], Any], argument: Any) -> Any:
        attempt = 0
        while True:
            attempt += 1
            try:
                return await asyncio.get_running_loop().run_in_executor(self._threads, function, argument)
            except Exception as error:  # the edge: whatever somebody else's model raises, it is unavailable
                if attempt >= self._limits.attempts:
                    kind = type(error).__name__
                    raise ModelUnavailable(f"the embedding model failed: {kind}", where=self._name) from error
            await asyncio.sleep(self._limits.wait(attempt))


def made(path: str, kind: str, methods: Sequence[str]) -> Any:
    """The model that the factory `path` (`module:factory`) returns. Raises SettingsError, says what is missing."""
    module, _, factory = path.partition(":")
    hint = f"Write {kind}:<module:factory>; the factory takes no arguments and returns the model"
    if not (module and factory):
        raise SettingsError(f"{path!r} names no factory", hint=hint)
    try:
        model = getattr(import_module(module), factory)()
    except FielError:
        raise
    except Exception as error:  # the edge: a setting names code that is not fiel's
        raise SettingsError(f"{path} failed: {type(error).__name__}: {error}", hint=hint) from error
    missing = [method for method in methods if not callable(getattr(model, method, None))]
    if missing:
        raise SettingsError(f"what {path} returns has no {', '.join(missing)}", hint=hint)
    return model


def named(kind: str, path: str, model: Any) -> str:
    """Name of a model for its version: the factory, and the model's own name where it has one."""
    own = next((value for key in ("model_name", "model") if isinstance(value := getattr(model, key, None), str)), "")
    return f"{kind}:{path}:{own}" if own else f"{kind}:{path}"
