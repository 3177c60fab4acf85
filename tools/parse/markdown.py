"""Markdown: the source as it is (offsets point into what its author wrote), with the headings found in it."""

import re
from collections.abc import Iterator

from fiel.tools.parse import Heading, Parsed
from fiel.tools.parse.build import MIB, check_text, clean, require_text, stem
from fiel.tools.parse.decode import decode
from fiel.tools.parse.media import MARKDOWN

_MOST_LINE = 1000
"""A longer line is no heading and no fence; looking for one in it would take the square of its length."""
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n|$)")
_FENCE = re.compile(r" {0,3}(`{3,}(?=[^`]*$)|~{3,})")
_ATX = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*?))??(?:[ \t]+#+)?[ \t]*$")
_UNDERLINE = re.compile(r" {0,3}(=+|-+)[ \t]*$")
_NO_PARAGRAPH = re.compile(r" {4}|\t| {0,3}(?:[-+*>|#]|\d{1,9}[.)])")
_INLINE = re.compile(r"!?\[([^\]\[]*)\]\([^()\s]*(?:\s+\"[^\"]*\")?\)|(`+)(.+?)\2|(\*{1,3}|_{1,3})(?=\S)(.+?)(?<=\S)\4")
_FRONT = re.compile(r"---[ \t]*\r?\n(.*?\r?\n)?(?:---|\.\.\.)[ \t]*(?:\r?\n|$)", re.S)
_FRONT_TITLE = re.compile(r"^title:[ \t]*(.+?)[ \t]*$", re.M)


class MarkdownParser:
    """CommonMark's ATX and setext headings, outside fenced code and front matter."""

    version = "markdown:1"

    def __init__(self, max_text: int = 16 * MIB) -> None:
        self._max_text = max_text

    def parse(self, data: bytes, *, name: str) -> Parsed:
        text = clean(decode(data, name))
        check_text(text, name, self._max_text)
        require_text(text, name, "it is empty" if not data else "it holds nothing but white space")
        front = _FRONT.match(text)
        found = tuple(headings(text, front.end() if front else 0))
        named = _FRONT_TITLE.search(front.group(1) or "") if front else None
        title = named.group(1).strip("\"'") if named else next((h.text for h in found if h.level == 1), "")
        return Parsed(text, title or stem(name), MARKDOWN, found)


def headings(text: str, start: int = 0) -> Iterator[Heading]:
    """Headings of Markdown source from offset `start` on, in order."""
    fence = ""
    previous, previous_start = "", start
    for match in _LINE.finditer(text, start):
        line = match.group().rstrip("\r\n")
        if len(line) > _MOST_LINE:
            previous = ""
            continue
        mark = _FENCE.match(line)
        if fence:
            if mark and mark.group(1).startswith(fence) and not line[mark.end() :].strip():
                fence = ""
            previous = ""
            continue
        if mark:
            fence, previous = mark.group(1), ""
            continue
        atx, under = _ATX.match(line), _UNDERLINE.match(line)
        if atx:
            if atx.group(2):
                yield Heading(len(atx.group(1)), plain(atx.group(2)), match.start())
            previous = ""
        elif under and previous:
            yield Heading(1 if under.group(1)[0] == "=" else 2, plain(previous), previous_start)
            previous = ""
        else:
            previous = "" if _NO_PARAGRAPH.match(line) else line.strip()
            previous_start = match.start()


def plain(line: str) -> str:
    """A heading's text without its inline marks: links become their text, emphasis and code lose their marks."""
    for _ in range(3):
        line = _INLINE.sub(lambda match: match.group(1) or match.group(3) or match.group(5) or "", line)
    return " ".join(line.split())
