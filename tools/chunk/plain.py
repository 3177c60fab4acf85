"""Chunks without any library: paragraphs, cut where they are long. For tests, and where LlamaIndex is not wanted."""

from collections.abc import Sequence

from fiel.tools.chunk import Chunk
from fiel.tools.chunk.measure import cut
from fiel.tools.chunk.sections import paragraphs, sections
from fiel.tools.parse import Parsed


class PlainChunker:
    """A chunk a paragraph; longer ones are cut between words."""

    def __init__(self, most: int = 400) -> None:
        """`most`: estimated tokens of a chunk."""
        self._most = most

    @property
    def version(self) -> str:
        return f"plain:1:{self._most}"

    def chunk(self, parsed: Parsed) -> Sequence[Chunk]:
        text = parsed.text
        chunks: list[Chunk] = []
        for section in sections(parsed):
            spans = list(paragraphs(text, section.body))
            for span in spans or (list(paragraphs(text, section.head)) if section.leaf else []):
                start = span.start
                for piece in cut(span.of(text), self._most):
                    body = piece.strip()
                    at = start + len(piece) - len(piece.lstrip())
                    start += len(piece)
                    if body:
                        chunks.append(Chunk(body, at, at + len(body), section.context))
        return chunks
