"""PDF: the text of each page, as pdfium reads it. One thread at a time (pdfium is not thread-safe)."""

import re
from typing import Any

from fiel.tools.errors import DocumentBroken, DocumentEncrypted
from fiel.tools.parse import Parsed
from fiel.tools.parse.build import MIB, TextBuilder, clean, stem
from fiel.tools.parse.media import PDF

_PASSWORD_ERRORS = frozenset({4, 5})
"""FPDF_ERR_PASSWORD and FPDF_ERR_SECURITY."""
_HYPHENATED = re.compile(r"(?<=\w)[\x02\ufffe\u00ad]\s*\n?(?=\w)")
_STRAY = re.compile(r"[\x02\ufffe\uffff\u00ad]")


class PdfParser:
    """Pages are separated by a blank line; words that a line break hyphenated are joined again."""

    version = "pdf:1"

    def __init__(self, max_text: int = 16 * MIB) -> None:
        self._max_text = max_text

    def parse(self, data: bytes, *, name: str) -> Parsed:
        from pypdfium2 import PdfiumError

        document = _opened(data, name)
        try:
            builder = TextBuilder(name, self._max_text)
            for index in range(len(document)):
                builder.page()
                builder.block(_page_text(document, index))
            title = " ".join(clean(str(document.get_metadata_value("Title") or "")).split())
        except PdfiumError as error:
            raise DocumentBroken(f"its page {index + 1} cannot be read: {error}", where=name) from error
        finally:
            document.close()
        empty = "no page has text; if pages are scanned images, run character recognition on it first"
        return builder.parsed(title or stem(name), PDF, empty)


def _opened(data: bytes, name: str) -> Any:
    from pypdfium2 import PdfDocument, PdfiumError

    try:
        document = PdfDocument(data)
        if len(document) == 0:
            raise DocumentBroken("it is a PDF without pages", where=name)
    except PdfiumError as error:
        if getattr(error, "err_code", None) in _PASSWORD_ERRORS or "assword" in str(error):
            raise DocumentEncrypted("it is encrypted", where=name, hint="Save a copy without a password") from error
        raise DocumentBroken("it is no readable PDF", where=name, hint="Open and save it again") from error
    return document


def _page_text(document: Any, index: int) -> str:
    page = document[index]
    try:
        textpage = page.get_textpage()
        try:
            raw = str(textpage.get_text_bounded())
        finally:
            textpage.close()
    finally:
        page.close()
    raw = raw.replace("\r\n", "\n").replace("\r", "\n")
    return _STRAY.sub("", _HYPHENATED.sub("", raw)).strip()
