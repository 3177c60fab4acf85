"""DOCX: paragraphs, headings, lists and tables in document order, with tracked changes accepted."""

import re
import zipfile
import zlib
from collections.abc import Iterator
from io import BytesIO
from typing import Any

from fiel.tools.errors import DocumentBroken, DocumentEncrypted, DocumentTooLarge
from fiel.tools.parse import Parsed
from fiel.tools.parse.build import MIB, TextBuilder, clean, stem
from fiel.tools.parse.decode import binary
from fiel.tools.parse.media import DOCX

MOST_UNPACKED = 512 * MIB
"""All parts of a document together, unpacked."""
XML_TO_TEXT = 24
"""Most bytes of XML that one byte of text may need before the text cannot fit the limit anyway."""

_ENCRYPTED = "EncryptedPackage".encode("utf-16-le")
_HEADING = re.compile(r"heading ([1-9])$", re.I)
_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
_INSERTED = {f"{_W}tab": "\t", f"{_W}br": "\n", f"{_W}cr": "\n", f"{_W}noBreakHyphen": "\u2011"}
_CONTAINERS = frozenset({f"{_W}sdt", f"{_W}sdtContent", f"{_W}customXml", f"{_W}ins", f"{_W}smartTag"})


class WordParser:
    """Tables give a line a row, cells separated by ` | `; items of lists begin with `- `."""

    version = "docx:1"

    def __init__(self, max_text: int = 16 * MIB) -> None:
        self._max_text = max_text

    def parse(self, data: bytes, *, name: str) -> Parsed:
        _require_sane(data, name, self._max_text * XML_TO_TEXT)
        document = _opened(data, name)
        builder = TextBuilder(name, self._max_text)
        styles = _Styles(document)
        for block in _blocks(document.element.body):
            if block.tag == f"{_W}tbl":
                for number, row in enumerate(_rows(block)):
                    builder.block(row, "\n" if number else "\n\n")
            else:
                _paragraph(block, styles, builder)
        title = " ".join(clean(document.core_properties.title or "").split())
        first = next((heading.text for heading in builder.headings if heading.level == 1), "")
        return builder.parsed(title or first or stem(name), DOCX, "the document has no text")


def _require_sane(data: bytes, name: str, most_xml: int) -> None:
    """Look at the archive's directory before anything is unpacked; the reader holds each part to what it says."""
    if data[:4] == b"\xd0\xcf\x11\xe0":
        if _ENCRYPTED in data:
            raise DocumentEncrypted("it is encrypted", where=name, hint="Save a copy without a password")
        raise binary(name, "it is an old binary Office file, not a DOCX")
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            parts = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise _broken(name) from error
    if any(part.flag_bits & 1 for part in parts):
        raise DocumentEncrypted("it is encrypted", where=name, hint="Save a copy without a password")
    total = sum(part.file_size for part in parts)
    largest = max((part.file_size for part in parts if part.filename.endswith((".xml", ".rels"))), default=0)
    if total > MOST_UNPACKED or largest > most_xml:
        raise DocumentTooLarge(f"it unpacks to {total // MIB} MiB", where=name, hint="Split it")


def _opened(data: bytes, name: str) -> Any:
    from docx import Document
    from docx.opc.exceptions import OpcError
    from lxml.etree import LxmlError

    try:
        document = Document(BytesIO(data))
        if document.element.body is None:
            raise _broken(name)
    except (OpcError, LxmlError, zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, EOFError) as error:
        raise _broken(name) from error
    except (KeyError, ValueError, OSError, AttributeError, TypeError, NotImplementedError) as error:
        # python-docx raises these where parts or relations that a DOCX must have are missing or of the wrong kind
        raise _broken(name) from error
    return document


def _broken(name: str) -> DocumentBroken:
    return DocumentBroken("it is no readable DOCX", where=name, hint="Open it in Word or LibreOffice and save it again")


def _blocks(parent: Any) -> Iterator[Any]:
    """Paragraphs and tables below `parent`, looking through content controls."""
    for child in parent.iterchildren():
        if child.tag in (f"{_W}p", f"{_W}tbl"):
            yield child
        elif child.tag in _CONTAINERS:
            yield from _blocks(child)


def _rows(table: Any) -> Iterator[str]:
    for row in table.iter(f"{_W}tr"):
        if next(row.iterancestors(f"{_W}tbl")) is not table:
            continue  # of a table within a cell: its text already stands in the cell
        cells = [" ".join(_text(cell).split()) for cell in row.iterchildren(f"{_W}tc")]
        if any(cells):
            yield " | ".join(cells)


def _text(element: Any) -> str:
    """Text of runs below `element`; deleted text is not `w:t`, alternatives for old readers would double it."""
    parts: list[str] = []
    skipped: Any = None
    for node in element.iter():
        if skipped is not None:
            if skipped in node.iterancestors():
                continue
            skipped = None
        if node.tag == _FALLBACK:
            skipped = node
        elif node.tag == f"{_W}t":
            parts.append(node.text or "")
        elif node.tag == f"{_W}p" and parts and node is not element:
            parts.append("\n")
        elif node.tag in _INSERTED and node.getparent().tag != f"{_W}tabs":
            parts.append(_INSERTED[node.tag])
    return "".join(parts)


def _paragraph(element: Any, styles: "_Styles", builder: TextBuilder) -> None:
    text = _text(element)
    level = styles.level(element)
    if level is not None:
        builder.heading(level, text)
    elif styles.in_list(element) and text.strip():
        builder.block("- " + text.strip(), "\n" if styles.listing else "\n\n")
        styles.listing = True
        return
    else:
        builder.block(text)
    styles.listing = False


class _Styles:
    """What a paragraph's style says: heading level, item of a list. Looked up once a style."""

    def __init__(self, document: Any) -> None:
        self.listing = False
        self._levels: dict[str, int | None] = {}
        self._lists: set[str] = set()
        for style in document.styles.element.iterchildren(f"{_W}style"):
            identity = style.get(f"{_W}styleId") or ""
            names = style.find(f"{_W}name")
            name = (names.get(f"{_W}val") if names is not None else "") or ""
            match = _HEADING.match(name)
            outline = style.find(f"{_W}pPr/{_W}outlineLvl")
            if match:
                self._levels[identity] = int(match.group(1))
            elif name.lower() == "title":
                self._levels[identity] = 1
            elif outline is not None:
                self._levels[identity] = _outline(outline)
            if name.lower().startswith("list ") or style.find(f"{_W}pPr/{_W}numPr") is not None:
                self._lists.add(identity)

    def level(self, paragraph: Any) -> int | None:
        """1 to 9, or None for body text."""
        outline = paragraph.find(f"{_W}pPr/{_W}outlineLvl")
        if outline is not None:
            return _outline(outline)
        return self._levels.get(_style_of(paragraph))

    def in_list(self, paragraph: Any) -> bool:
        """Whether the paragraph is an item of a list."""
        return _style_of(paragraph) in self._lists or paragraph.find(f"{_W}pPr/{_W}numPr") is not None


def _style_of(paragraph: Any) -> str:
    style = paragraph.find(f"{_W}pPr/{_W}pStyle")
    return str(style.get(f"{_W}val") or "") if style is not None else ""


def _outline(element: Any) -> int | None:
    value = element.get(f"{_W}val") or ""
    return int(value) + 1 if value.isdigit() and int(value) < 9 else None
