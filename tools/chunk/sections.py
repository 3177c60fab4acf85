"""The skeleton of a text: sections under headings, and the paragraphs in them, as spans."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from fiel.tools.parse import Parsed
from fiel.tools.parse.media import MARKDOWN
from fiel.tools.text import Span

_END_OF_LINE = re.compile(r"\r\n|\r|\n|$")
_UNDERLINE = re.compile(r" {0,3}(?:=+|-+)[ \t]*(?:\r\n|\r|\n|$)")
_BLANK = re.compile(r"(?:\r\n|\r|\n)(?:[ \t]*(?:\r\n|\r|\n))+")
_BETWEEN = " > "
_MOST_CONTEXT = 300
"""Longest context, code points; what is nearest to the text is kept."""


@dataclass(frozen=True, slots=True)
class Section:
    """The text below one heading, up to the next one of any level."""

    context: str
    head: Span
    """The heading's own lines; empty where the text before the first heading is meant."""
    body: Span
    leaf: bool
    """No deeper heading follows: if the body is empty too, the heading is all that there is."""


def sections(parsed: Parsed) -> Iterator[Section]:
    """Sections of `parsed` in order; together they cover the text."""
    text, headings = parsed.text, parsed.headings
    first = headings[0].start if headings else len(text)
    if first > 0:
        yield Section("", Span(0, 0), Span(0, first), True)
    chain: list[tuple[int, str]] = []
    for index, heading in enumerate(headings):
        following = headings[index + 1] if index + 1 < len(headings) else None
        end = following.start if following else len(text)
        chain = [above for above in chain if above[0] < heading.level] + [(heading.level, heading.text)]
        body = min(_after_heading(parsed, heading.start), end)
        leaf = following is None or following.level <= heading.level
        yield Section(_context([title for _, title in chain]), Span(heading.start, body), Span(body, end), leaf)


def paragraphs(text: str, span: Span) -> Iterator[Span]:
    """Paragraphs of `text` within `span`, without the white space around them."""
    start = span.start
    for gap in _BLANK.finditer(text, span.start, span.end):
        yield from _trimmed(text, start, gap.start())
        start = gap.end()
    yield from _trimmed(text, start, span.end)


def _after_heading(parsed: Parsed, start: int) -> int:
    end = _line_end(parsed.text, start)
    if parsed.media_type == MARKDOWN and not parsed.text[start:end].lstrip().startswith("#"):
        underline = _UNDERLINE.match(parsed.text, end)
        return underline.end() if underline else end
    return end


def _line_end(text: str, start: int) -> int:
    match = _END_OF_LINE.search(text, start)
    return match.end() if match else len(text)


def _context(titles: list[str]) -> str:
    while len(titles) > 1 and len(_BETWEEN.join(titles)) > _MOST_CONTEXT:
        titles = titles[1:]
    return _BETWEEN.join(titles)[:_MOST_CONTEXT]


def _trimmed(text: str, start: int, end: int) -> Iterator[Span]:
    while start < end and (text[start].isspace() or text[start] == "\ufeff"):
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    if start < end:
        yield Span(start, end)
