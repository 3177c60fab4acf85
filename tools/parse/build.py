"""Putting an extracted text together: blocks with blank lines between them, headings at known offsets."""

import re

from fiel.tools.errors import DocumentEmpty, DocumentTooLarge
from fiel.tools.parse import Heading, Parsed

MIB = 1024 * 1024

_CONTROLS = {code: " " for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\t\n\r"}
_CONTROLS |= {0x0B: "\n", 0x0C: "\n", 0x85: "\n", 0x2028: "\n", 0x2029: "\n"}
_CONTROLS |= {0: "\ufffd"}
_SURROGATE = re.compile("[\ud800-\udfff]")
_NEEDS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def clean(text: str) -> str:
    """`text` without control characters, of the same length.

    PostgreSQL holds no NUL and a terminal obeys escapes, so each control character but tab and line break becomes a
    space, each old line or page break a line break, NUL and lone surrogates U+FFFD.
    """
    if _NEEDS.search(text) is None:
        return text
    return _SURROGATE.sub("\ufffd", text.translate(_CONTROLS))


def require_text(text: str, name: str, what: str = "there is no text in it") -> None:
    """Raises DocumentEmpty where `text` has nothing but white space."""
    if not text.strip().strip("\ufeff"):
        raise DocumentEmpty(what, where=name)


class TextBuilder:
    """Collects blocks of text within a limit."""

    def __init__(self, name: str, limit: int) -> None:
        """`limit`: most bytes of UTF-8 that the text may have."""
        self._name = name
        self._limit = limit
        self._parts: list[str] = []
        self._length = 0
        self._bytes = 0
        self.headings: list[Heading] = []
        self._pages: list[int] = []

    def block(self, text: str, separator: str = "\n\n") -> int:
        """Add a block after `separator`; returns the offset at which it begins. An empty one adds nothing."""
        text = clean(text)
        if not text.strip():
            return self._length
        if self._parts:
            self._add(separator)
        start = self._length
        self._add(text)
        return start

    def heading(self, level: int, text: str) -> None:
        """Add a heading as a block of one line."""
        line = " ".join(clean(text).split())
        if line:
            self.headings.append(Heading(level, line, self.block(line)))

    def page(self) -> None:
        """A page begins with the next block."""
        self._pages.append(self._length + (2 if self._parts else 0))

    def parsed(self, title: str, media_type: str, empty: str) -> Parsed:
        """The whole. Raises DocumentEmpty, saying `empty`."""
        text = "".join(self._parts)
        require_text(text, self._name, empty)
        pages = tuple(min(page, len(text)) for page in self._pages)
        return Parsed(text, title, media_type, tuple(self.headings), pages)

    def _add(self, text: str) -> None:
        self._bytes += len(text) if text.isascii() else len(text.encode())
        if self._bytes > self._limit:
            raise too_much_text(self._name, self._limit)
        self._length += len(text)
        self._parts.append(text)


def too_much_text(name: str, limit: int) -> DocumentTooLarge:
    """The error of a text over the limit."""
    return DocumentTooLarge(
        f"its text exceeds {max(1, limit // MIB)} MiB",
        where=name,
        hint="Split it, or raise the setting max_text_mb",
    )


def check_text(text: str, name: str, limit: int) -> None:
    """Raises DocumentTooLarge where `text` in UTF-8 exceeds `limit` bytes."""
    if len(text) > limit or (len(text) * 4 > limit and not text.isascii() and len(text.encode()) > limit):
        raise too_much_text(name, limit)


def stem(name: str) -> str:
    """A title out of a file's name, where the file has none: `annual-report_2024.pdf` gives `annual report 2024`."""
    base = name.replace("\\", "/").rsplit("/", 1)[-1]
    return " ".join(clean(base.rsplit(".", 1)[0] or base).replace("_", " ").replace("-", " ").split())
