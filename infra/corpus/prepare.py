"""Bytes of a file to what is stored of it: text, language, chunks."""

from collections.abc import Callable
from dataclasses import dataclass

from fiel.tools.chunk import Chunk, Chunker
from fiel.tools.chunk.structure import StructureChunker
from fiel.tools.language import LanguageDetector
from fiel.tools.parse import Parser
from fiel.tools.parse.any import AnyParser

MOST_TITLE = 300
"""Longest title, code points."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of what is read."""

    max_file: int = 64 * 1024 * 1024
    """Bytes of a file."""
    max_text: int = 16 * 1024 * 1024
    """Bytes of its extracted text, in UTF-8."""
    seconds: float = 120.0
    """Longest time for parsing one file."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A document as its parser leaves it."""

    text: str
    title: str
    media_type: str
    language: str
    pages: tuple[int, ...]
    chunks: tuple[Chunk, ...]


class Preparer:
    """Parser, chunker and language detector, one after the other. Nothing heavy is imported before the first file."""

    def __init__(
        self,
        limits: Limits | None = None,
        *,
        parser: Parser | None = None,
        chunker: Chunker | None = None,
        language: Callable[[str], str] | None = None,
    ) -> None:
        bounds = limits or Limits()
        self._parser = parser or AnyParser(bounds.max_file, bounds.max_text)
        self._chunker = chunker or StructureChunker()
        self._language = language or LanguageDetector()

    def prepare(self, data: bytes, name: str) -> Prepared:
        """Raises InvalidDocument."""
        parsed = self._parser.parse(data, name=name)
        return Prepared(
            parsed.text,
            parsed.title[:MOST_TITLE],
            parsed.media_type,
            self._language(parsed.text),
            parsed.pages,
            tuple(self._chunker.chunk(parsed)),
        )


def recipe() -> str:
    """Versions of parser and chunker: part of what decides whether a document is up to date."""
    return f"{AnyParser().version};{StructureChunker().version}"
