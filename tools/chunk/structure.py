"""Chunks that follow the structure of a text: never over a heading, short paragraphs whole, long ones by sentences.

LlamaIndex's SentenceSplitter packs the sentences of long paragraphs. It gets a sentence splitter and a token counter
of fiel's own: its default needs nltk's data files, which are refused where packages are installed by hard link.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from fiel.tools.chunk import Chunk
from fiel.tools.chunk.measure import cut, length, tokens
from fiel.tools.chunk.sections import paragraphs, sections
from fiel.tools.parse import Parsed
from fiel.tools.text import Span, sentences

_WINDOW = 6_000
"""Code points that sentences are looked for in at once: the time of the search grows faster than its text."""
_ROW = re.compile(r"[\r\n](?=[ \t]*\|)")
"""Before a row of a table."""
_MARKER = re.compile(r"\s*(?:\d{1,3}[.)]|[-*+•])\s*")
"""The number or dash of an item of a list is no sentence of its own."""


class StructureChunker:
    """The chunker of ingest."""

    def __init__(self, target: int = 240, most: int = 360) -> None:
        """Sizes in estimated tokens (`measure.tokens`; 240 are about 900 letters of English).

        `target`: neighbouring paragraphs of a section are put together up to it, and longer paragraphs are cut to it.
        `most`: a paragraph up to it stays whole: about 1,200 letters, some 300 tokens of the model.
        """
        self._target = target
        self._most = most
        self._splitter: Any = None

    @property
    def version(self) -> str:
        return f"structure:1:{self._target}:{self._most}"

    def chunk(self, parsed: Parsed) -> Sequence[Chunk]:
        text = parsed.text
        chunks: list[Chunk] = []
        for section in sections(parsed):
            spans = list(self._spans(text, section.body))
            if not spans and section.leaf:
                spans = list(paragraphs(text, section.head))
            chunks.extend(Chunk(span.of(text), span.start, span.end, section.context) for span in spans)
        return chunks

    def _spans(self, text: str, body: Span) -> Iterator[Span]:
        """Paragraphs of a section, packed or cut."""
        group: Span | None = None
        size = 0
        for span in paragraphs(text, body):
            count = length(span.of(text))
            if group is not None and size + count <= self._target:
                group, size = Span(group.start, span.end), size + count
                continue
            if group is not None:
                yield group
            if count <= self._most:
                group, size = span, count
            else:
                group, size = None, 0
                yield from self._split(text, span)
        if group is not None:
            yield group

    def _split(self, text: str, span: Span) -> Iterator[Span]:
        """A long paragraph in runs of sentences."""
        start = span.start
        while start < span.end:
            end = _window_end(text, start, span.end)
            cursor = start
            for piece in self._splitting().split_text(text[start:end]):
                # Pieces are slices with the white space around them taken off, so the next match is the right one.
                cursor = text.index(piece, cursor, end)
                yield Span(cursor, cursor + len(piece))
                cursor += len(piece)
            start = end

    def _splitting(self) -> Any:
        if self._splitter is None:
            from llama_index.core.node_parser import SentenceSplitter

            self._splitter = SentenceSplitter(
                chunk_size=self._target,
                chunk_overlap=0,
                tokenizer=tokens,
                chunking_tokenizer_fn=self._sentences,
                paragraph_separator="\n\n",
            )
        return self._splitter

    def _sentences(self, text: str) -> list[str]:
        """Sentences with the white space after them; one that is too long for a chunk is cut further."""
        starts = {found.start for found in sentences(text)} | {row.end() for row in _ROW.finditer(text)}
        edges = [0, *sorted(start for start in starts if start > 0 and not _numbered(text, start)), len(text)]
        pieces = (text[edges[index] : edges[index + 1]] for index in range(len(edges) - 1))
        return [part for piece in pieces for part in cut(piece, self._target)]


def _numbered(text: str, place: int) -> bool:
    """Whether nothing but the marker of an item stands between the start of the line and `place`."""
    line = text[max(text.rfind("\n", 0, place), place - 12, -1) + 1 : place]
    return _MARKER.fullmatch(line) is not None


def _window_end(text: str, start: int, end: int) -> int:
    if end - start <= _WINDOW:
        return end
    for mark in ("\n", ". ", " "):
        place = text.rfind(mark, start + _WINDOW // 2, start + _WINDOW)
        if place >= 0:
            return place + len(mark)
    return start + len(cut(text[start : start + _WINDOW], _WINDOW // 8)[0])
