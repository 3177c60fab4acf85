"""What kind of file this is: by its content, then by its name."""

import re
import zipfile
from io import BytesIO

from fiel.tools.parse.decode import binary, marked

TEXT = "text/plain"
MARKDOWN = "text/markdown"
HTML = "text/html"
PDF = "application/pdf"
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"

_BY_SUFFIX = {"md": MARKDOWN, "markdown": MARKDOWN, "html": HTML, "htm": HTML, "xhtml": HTML}
_HTML_START = re.compile(rb"\s*(?:<\?xml[^>]*>\s*)?(?><!--.*?-->\s*)*+<(?:!doctype\s+html|html)[\s>]", re.I | re.S)
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


def media_type(data: bytes, name: str) -> str:
    """Raises DocumentBinary for a file that is none of the formats."""
    suffix = name.rsplit(".", 1)[-1].lower() if "." in name else ""
    if b"%PDF-" in data[:1024] and (suffix == "pdf" or data.lstrip()[:5] == b"%PDF-"):
        return PDF
    if data[:4] == b"PK\x03\x04":
        return _zipped(data, name)
    if data[:8] == _OLE:
        if suffix == "docx":  # Word wraps an encrypted document so
            return DOCX
        raise binary(name, "it is an old binary Office file")
    if suffix in ("pdf", "docx"):  # its parser says what is wrong with it
        return PDF if suffix == "pdf" else DOCX
    if marked(data) is None and b"\0" in data[:65536]:
        raise binary(name)
    if suffix in _BY_SUFFIX:
        return _BY_SUFFIX[suffix]
    return HTML if _HTML_START.match(data[:4096]) else TEXT


def _zipped(data: bytes, name: str) -> str:
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            names = set(archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        if name.lower().endswith(".docx"):
            return DOCX
        raise binary(name) from None
    if "word/document.xml" in names or name.lower().endswith(".docx"):
        return DOCX
    raise binary(name, "it is an archive or an Office file that is no DOCX")
