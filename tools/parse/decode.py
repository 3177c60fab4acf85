"""Bytes to text without guessing: a byte order mark, then what the format declares, then UTF-8, else an error.

Every byte sequence is valid Latin-1, so a guess at a legacy encoding never fails and is sometimes wrong, which turns
citations into mojibake that nobody notices. fiel refuses instead and says where the first wrong byte stands.
"""

import codecs
import unicodedata

from fiel.tools.errors import DocumentBinary, DocumentEncoding

_MARKS: tuple[tuple[bytes, str], ...] = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_ODD = frozenset({"Cc", "Cn", "Co", "Cs"})
_SAMPLE = 4096
_MOST_ODD = 0.02
"""Share of control, unassigned and private characters above which bytes were no text."""


def marked(data: bytes) -> str | None:
    """The encoding that a byte order mark at the start of `data` names."""
    return next((encoding for mark, encoding in _MARKS if data.startswith(mark)), None)


def decode(data: bytes, name: str, declared: str | None = None) -> str:
    """The text of `data`, without a byte order mark. Raises DocumentEncoding, DocumentBinary."""
    encoding = marked(data)
    if encoding is not None:
        data = data[len(next(mark for mark, named in _MARKS if named == encoding and data.startswith(mark))) :]
    text = _strict(data, encoding or _known(declared, name) or "utf-8", name)
    _require_text(text, name)
    return text


def _known(declared: str | None, name: str) -> str | None:
    """What browsers take a declared charset for: Latin-1 means Windows-1252."""
    if not declared:
        return None
    try:
        found = codecs.lookup(declared.strip()).name
    except LookupError:
        raise DocumentEncoding(f"it declares the unknown encoding {declared[:40]!r}", where=name) from None
    return {"iso8859-1": "cp1252", "ascii": "cp1252"}.get(found, found)


def _strict(data: bytes, encoding: str, name: str) -> str:
    try:
        return str(codecs.lookup(encoding).decode(data, "strict")[0])
    except UnicodeDecodeError as error:
        raise DocumentEncoding(
            f"it is not valid {encoding.upper()}: byte 0x{data[error.start]:02x} at offset {error.start}",
            where=name,
            hint="Convert it to UTF-8, for example with: iconv -f WINDOWS-1252 -t UTF-8",
        ) from error
    except (ValueError, AttributeError, TypeError):  # codecs that do not give text, e.g. `hex`
        raise DocumentEncoding(f"it declares {encoding!r}, which is no encoding of text", where=name) from None


def _require_text(text: str, name: str) -> None:
    sample = text[:_SAMPLE]
    odd = sum(unicodedata.category(character) in _ODD and character not in "\t\n\r\f\v\x1b" for character in sample)
    if "\0" in sample or odd > max(2, len(sample) * _MOST_ODD):
        raise binary(name)


def binary(name: str, what: str = "it is binary, not a text") -> DocumentBinary:
    """The error of a file that is no document."""
    return DocumentBinary(what, where=name, hint="fiel reads text, Markdown, HTML, PDF and DOCX")
