"""HTML: what a reader of the page would read, with its headings; scripts, styles and navigation are left out."""

import re
from dataclasses import dataclass, field
from typing import Any

from fiel.tools.errors import DocumentTooLarge
from fiel.tools.parse import Parsed
from fiel.tools.parse.build import MIB, TextBuilder, clean, stem
from fiel.tools.parse.decode import decode, marked
from fiel.tools.parse.media import HTML

MOST_NESTED = 2000
"""Deeper than this a parser's time grows with the square of the depth, and no page is."""

_DROPPED = frozenset(
    "script style nav noscript template svg math iframe object embed canvas audio video head select button dialog"
    " textarea datalist".split()
)
_BLOCKS = frozenset(
    "address article aside blockquote body caption center dd details div dl dt fieldset figcaption figure footer form"
    " header hgroup hr html li main menu ol p pre section summary table tbody tfoot thead tr ul".split()
)
_LISTS = frozenset("dl ol table ul".split())
_CLOSED_BY_OTHERS = frozenset("p li dt dd tr td th thead tbody tfoot option optgroup colgroup rp rt".split())
_VOID = frozenset("area base br col embed hr img input link meta source track wbr".split())
_HEADING = re.compile(r"h[1-6]")
_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9:-]*)[^<>]*?(/?)>")
_CHARSET = re.compile(rb"<meta[^>]+charset\s*=\s*[\"']?\s*([A-Za-z0-9_:.-]+)|<\?xml[^>]+encoding=[\"']([\w.-]+)", re.I)
_HIDDEN_STYLE = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.I)
_SPACE = re.compile(r"[ \t\r\n\f]+")


class HtmlParser:
    """The extracted text has a blank line between blocks, ` | ` between cells and `- ` before items of lists."""

    version = "html:1"

    def __init__(self, max_text: int = 16 * MIB) -> None:
        self._max_text = max_text

    def parse(self, data: bytes, *, name: str) -> Parsed:
        from selectolax.lexbor import LexborHTMLParser

        source = decode(data, name, None if marked(data) else _declared(data))
        _require_shallow(source, name)
        page = LexborHTMLParser(source)
        walk = _Walk(TextBuilder(name, self._max_text))
        walk.over(page.body)
        title = page.css_first("title")
        heading = next((h.text for h in walk.builder.headings if h.level == 1), "")
        named = " ".join(clean(title.text()).split()) if title is not None else ""
        return walk.builder.parsed(named or heading or stem(name), HTML, "the page shows no text")


def _declared(data: bytes) -> str | None:
    """The charset that a page declares in its first KiB. A UTF-16 claim made in ASCII means UTF-8."""
    match = _CHARSET.search(data[:2048])
    if match is None:
        return None
    charset = (match.group(1) or match.group(2)).decode("ascii", "replace").lower()
    return "utf-8" if charset.startswith("utf-16") else charset


def _require_shallow(source: str, name: str) -> None:
    depth = 0
    for match in _TAG.finditer(source):
        tag = match.group(2).lower()
        if tag in _VOID or tag in _CLOSED_BY_OTHERS or match.group(3):
            continue
        depth = max(0, depth - 1) if match.group(1) else depth + 1
        if depth > MOST_NESTED:
            raise DocumentTooLarge(f"its elements are nested deeper than {MOST_NESTED}", where=name)


@dataclass(slots=True)
class _Walk:
    """Reads a tree in document order without recursion."""

    builder: TextBuilder
    _line: list[str] = field(default_factory=list)
    _preformatted: int = 0
    _lists: int = 0
    """Lists and tables around: their items and rows follow one another on the next line."""
    _tight: bool = False

    def over(self, root: Any) -> None:
        stack: list[tuple[Any, bool]] = [(root, False)] if root is not None else []
        while stack:
            node, leaving = stack.pop()
            if leaving:
                self._leave(node)
                continue
            if node.is_text_node:
                self._line.append(node.text_content or "")
            elif node.is_element_node and not _invisible(node):
                if _HEADING.fullmatch(node.tag):
                    self._flush()
                    self.builder.heading(int(node.tag[1]), node.text(deep=True, separator=" "))
                    continue
                self._enter(node)
                stack.append((node, True))
                child = node.last_child
                while child is not None:
                    stack.append((child, False))
                    child = child.prev
        self._flush()

    def _enter(self, node: Any) -> None:
        tag = node.tag
        if tag in _BLOCKS and not _fills_cell(node):
            self._flush()
        if tag == "pre":
            self._preformatted += 1
        elif tag == "br":
            self._line.append("\n" if self._preformatted else "\v")
        elif tag == "li":
            self._line.append("- ")
        elif tag in _LISTS:
            self._lists += 1

    def _leave(self, node: Any) -> None:
        tag = node.tag
        if tag in ("td", "th"):
            self._line.append(" | ")
        if tag in _BLOCKS and not _fills_cell(node):
            self._flush()
        if tag == "pre":
            self._preformatted -= 1
        elif tag in _LISTS:
            self._lists -= 1
            self._tight = self._lists > 0

    def _flush(self) -> None:
        raw = "".join(self._line)
        self._line.clear()
        if self._preformatted:
            text = raw.strip("\r\n")
        else:
            text = "\n".join(_SPACE.sub(" ", line).strip() for line in raw.split("\v")).strip()
            text = text.removesuffix(" |").removesuffix("|").strip()
        if text.strip("- |"):
            self.builder.block(text, "\n" if self._tight else "\n\n")
            self._tight = self._lists > 0


def _fills_cell(node: Any) -> bool:
    """A paragraph that is all there is in a cell does not break the row."""
    if node.tag not in ("p", "div") or node.parent is None or node.parent.tag not in ("td", "th"):
        return False
    return _alone(node, "prev") and _alone(node, "next")


def _alone(node: Any, direction: str) -> bool:
    other = getattr(node, direction)
    while other is not None and other.is_text_node and not (other.text_content or "").strip():
        other = getattr(other, direction)
    return other is None


def _invisible(node: Any) -> bool:
    if node.tag in _DROPPED:
        return True
    attributes = node.attributes
    if not attributes:
        return False
    return (
        "hidden" in attributes
        or attributes.get("role") == "navigation"
        or attributes.get("aria-hidden") == "true"
        or bool(_HIDDEN_STYLE.search(attributes.get("style") or ""))
    )
