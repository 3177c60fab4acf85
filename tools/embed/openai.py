"""Any OpenAI-compatible endpoint as an embedding model: hosted ones, vLLM, llama.cpp, Ollama, and others."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import orjson

from fiel.tools.chat.limits import Circuit, Limits
from fiel.tools.chat.transport import NEGOTIABLE, Transport
from fiel.tools.embed import Vector
from fiel.tools.embed.checked import question, readable, units
from fiel.tools.errors import ModelRejected, ModelUnreadable, SettingsError

PATH = "/embeddings"
BATCH = 64
BATCH_CHARACTERS = 100_000
REPLY_BYTES = 32 * 2**20
"""64 vectors of 4,096 numbers, written out, are some 6 MB."""


class OpenAIEmbedder:
    """An embedding model behind `<url>/embeddings`."""

    def __init__(
        self,
        model: str,
        *,
        url: str,
        key: str = "",
        dimensions: int = 0,
        limits: Limits | None = None,
        circuit: Circuit | None = None,
    ) -> None:
        """Connects to nothing. `dimensions` 0: whatever the first answer has (`probe` asks for one).

        Raises SettingsError for an address, key or model name that cannot be used.
        """
        if not model.strip():
            raise SettingsError("the name of the embedding model is missing", hint="Write openai:<model>")
        self._model = model
        self._dimensions = dimensions
        bounded = replace(limits or Limits(), reply_bytes=REPLY_BYTES)
        self._transport = Transport(url, key, bounded, circuit=circuit)

    @property
    def version(self) -> str:
        return f"openai:{self._model}:{self.dimensions}"

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
            self._dimensions = len((await self._embed(["fiel"]))[0])
        return self._dimensions

    async def query(self, text: str) -> Vector:
        return (await self._embed([question(text)]))[0]

    async def passages(self, texts: Sequence[str]) -> list[Vector]:
        vectors: list[Vector] = []
        for batch in _batches([readable(text) for text in texts]):
            vectors += await self._embed(batch)
        return vectors

    async def aclose(self) -> None:
        """Close the connections of the running event loop."""
        await self._transport.aclose()

    async def _embed(self, texts: list[str]) -> list[Vector]:
        payload = orjson.dumps({"model": self._model, "input": texts, "encoding_format": "float"})
        reply = await self._transport.post(PATH, payload)
        where = self._transport.where
        if reply.status in NEGOTIABLE:
            raise ModelRejected(
                f"the endpoint refuses the request with status {reply.status}",
                where=where,
                hint="Check the model's name, and that it is an embedding model",
            )
        # Megabytes of numbers are no work for the event loop.
        return await asyncio.to_thread(_read, reply.body, len(texts), self._dimensions, where)


def _read(body: bytes, count: int, dimensions: int, where: str) -> list[Vector]:
    """The vectors in the order of the texts, whatever the order of the answer."""
    try:
        data = orjson.loads(body)["data"]
        rows: dict[int, Any] = {item["index"]: item["embedding"] for item in data}
        if len(data) != count or set(rows) != set(range(count)):
            raise ModelUnreadable(f"{count} vectors were asked for, and others came back", where=where)
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise ModelUnreadable("the reply is not one of /v1/embeddings", where=where) from error
    return units([rows[index] for index in range(count)], count, dimensions, where)


def _batches(texts: Sequence[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    size = 0
    for text in texts:
        if batch and (len(batch) == BATCH or size + len(text) > BATCH_CHARACTERS):
            yield batch
            batch, size = [], 0
        batch.append(text)
        size += len(text)
    if batch:
        yield batch
