"""Search by meaning in the store: which texts of a value count, their vectors, and how near they are to a query."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from fiel.infra.runs.errors import BadRequest
from fiel.tools.embed import Embedder, Vector

Fields = Literal[False] | Sequence[str] | None
"""Paths into a value that are indexed; None: those of the store; False: none."""
MOST_TEXTS = 100
"""Texts of one value that are embedded."""
WHOLE = ("$",)
"""The path of the whole value."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """An index by meaning."""

    embed: Embedder
    fields: Sequence[str] = WHOLE
    """Paths that are indexed where an item names none, in the form of LangGraph's stores."""

    async def index(self, value: Mapping[str, Any], fields: Fields) -> dict[str, Any] | None:
        """What is kept of a value: the model and its vectors; None where nothing is indexed.

        Raises BadRequest for too many texts, ModelUnavailable.
        """
        texts = _texts(value, self.fields if fields is None else fields) if fields is not False else []
        if not texts:
            return None
        if len(texts) > MOST_TEXTS:
            raise BadRequest(f"the fields to index hold more than {MOST_TEXTS} texts", where="index")
        vectors = await self.embed.passages(texts)
        return {"by": self.embed.version, "vectors": [_packed(vector) for vector in vectors]}

    async def query(self, text: str) -> Vector:
        """The vector of a query. Raises ModelUnavailable."""
        return await self.embed.query(text)

    def score(self, query: Vector, kept: Mapping[str, Any] | None) -> float | None:
        """Cosine of the nearest text; None for an item that is not indexed, or was by another model."""
        if kept is None or kept["by"] != self.embed.version:
            return None
        rows = np.stack([_unpacked(one) for one in kept["vectors"]])
        return float(np.max(rows @ query))


def _texts(value: Mapping[str, Any], fields: Sequence[str]) -> list[str]:
    from langgraph.store.base import get_text_at_path

    found = [text for path in fields for text in get_text_at_path(dict(value), path)]
    return [text for text in dict.fromkeys(found) if text.strip()]


def _packed(vector: Vector) -> str:
    return base64.b64encode(np.ascontiguousarray(vector, dtype="<f4").tobytes()).decode()


def _unpacked(text: str) -> Vector:
    return np.frombuffer(base64.b64decode(text), dtype="<f4")
