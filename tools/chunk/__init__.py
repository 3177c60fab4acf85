"""The chunk port: extracted text in, overlapping or adjoining slices out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from fiel.tools.parse import Parsed


@dataclass(frozen=True, slots=True)
class Chunk:
    """A slice of the extracted text: `parsed.text[start:end] == text`, always."""

    text: str
    start: int
    end: int
    context: str
    """Headings above it, ` > ` between them."""


class Chunker(Protocol):
    @property
    def version(self) -> str: ...

    def chunk(self, parsed: Parsed) -> Sequence[Chunk]: ...


__all__ = ["Chunk", "Chunker"]
