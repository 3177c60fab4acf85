"""Markdown as a reader sees it: which parts of a text are prose, and which are code, a row of a table or a heading.

Only marks that cannot be prose count: fences, bars, `#` and underlines. Code that is merely indented counts as prose.
"""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

from fiel.tools.text.sentences import sentences
from fiel.tools.text.span import Span

Form = Literal["prose", "code", "row", "heading"]

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n|$)")
_FENCE = re.compile(r"\s{0,3}(`{3,}|~{3,})")
_HEADING = re.compile(r" {0,3}#{1,6}(?:\s|$)")
_UNDERLINE = re.compile(r" {0,3}(?:={2,}|-{2,})\s*$")
_ROW = re.compile(r"\s*\|.*\|\s*$")
_BULLET = re.compile(r"[-*+•][ \t]+(?=\S)")
_RULE = re.compile(r"\s*+\|?\s*+:?-{2,}:?\s*+(?:\|\s*+:?-{2,}:?\s*+)*+\|?\s*+$")


class Piece(NamedTuple):
    """A sentence, a block of code, a row of a table, or a heading."""

    span: Span
    form: Form


class _Line(NamedTuple):
    start: int
    end: int
    form: Form | Literal["mark"]
    """`mark`: a fence, an underline or the rule of a table, which says nothing itself."""


@lru_cache(maxsize=4096)
def pieces(text: str) -> tuple[Piece, ...]:
    """The pieces of `text` in order, items without their bullets. Where it has no marks, they are its sentences."""
    found = []
    cut, first = sentences(text), 0
    for start, end, form in _blocks(text):
        if form == "prose":
            first, own = _within(cut, first, start, end)
            found += [Piece(_unlisted(text, one), form) for one in (_trimmed(text, span) for span in own) if one]
        elif form != "mark" and re.search(r"\w", text[start:end]) and (whole := _trimmed(text, Span(start, end))):
            found.append(Piece(whole, form))
    return tuple(found)


def _within(cut: Sequence[Span], first: int, start: int, end: int) -> tuple[int, list[Span]]:
    """What of the sentences `cut` lies between `start` and `end`, from the one numbered `first` on; the number of the
    one that goes on behind `end`, or is the next."""
    own = []
    while first < len(cut) and cut[first].start < end:
        own.append(Span(max(cut[first].start, start), min(cut[first].end, end)))
        if cut[first].end > end:
            break
        first += 1
    return first, own


def _blocks(text: str) -> Iterator[_Line]:
    """Lines of one form put together; each row and each heading stays alone."""
    held: _Line | None = None
    for line in _lines(text):
        if held and held.form == line.form and line.form in ("prose", "code"):
            held = held._replace(end=line.end)
            continue
        if held:
            yield held
        held = line
    if held:
        yield held


def _lines(text: str) -> list[_Line]:
    found: list[_Line] = []
    fence = ""
    for match in _LINE.finditer(text):
        line, start, end = match.group(), match.start(), match.end()
        mark = _FENCE.match(line)
        if mark and (not fence or mark.group(1).startswith(fence)):
            fence = "" if fence else mark.group(1)
            found.append(_Line(start, end, "mark"))
        elif fence:
            found.append(_Line(start, end, "code"))
        else:
            found.append(_Line(start, end, _form(line, found)))
            _retitle(line, text, found)
    return found


def _form(line: str, before: list[_Line]) -> Form | Literal["mark"]:
    if _HEADING.match(line):
        return "heading"
    if before and before[-1].form == "row" and _RULE.match(line):
        return "mark"
    return "row" if _ROW.match(line) else "prose"


def _retitle(line: str, text: str, found: list[_Line]) -> None:
    """Make the line above a rule or an underline, just read, a heading: that of a table or of a section."""
    if len(found) < 2:
        return
    above = found[-2]
    if found[-1].form == "mark" and above.form == "row":
        found[-2] = above._replace(form="heading")
    elif above.form == "prose" and _UNDERLINE.match(line) and text[above.start : above.end].strip():
        found[-2:] = [above._replace(form="heading"), found[-1]._replace(form="mark")]


def _unlisted(text: str, span: Span) -> Span:
    bullet = _BULLET.match(text, span.start, span.end)
    return Span(bullet.end(), span.end) if bullet and _begins_line(text, span.start) else span


def _begins_line(text: str, at: int) -> bool:
    while at and text[at - 1] != "\n" and text[at - 1].isspace():
        at -= 1
    return not at or text[at - 1] == "\n"


def _trimmed(text: str, span: Span) -> Span | None:
    own = text[span.start : max(span.start, span.end)]
    start = span.start + len(own) - len(own.lstrip())
    end = span.start + len(own.rstrip())
    return Span(start, end) if start < end else None


__all__ = ["Form", "Piece", "pieces"]
