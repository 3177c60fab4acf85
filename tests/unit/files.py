"""Real files, made by hand or by the libraries of their formats."""

import io
import zipfile
from collections.abc import Sequence

import docx
from docx.oxml import parse_xml

_W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'


def pdf(pages: Sequence[Sequence[str]], title: str = "", encrypt: bool = False) -> bytes:
    """A PDF with lines of Latin-1 text on each page, written object by object."""
    objects: list[bytes] = [b"", b""]
    kids = []
    objects.append(b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>")
    for lines in pages:
        content = (
            b"BT /F1 12 Tf 72 720 Td 16 TL " + b" ".join(b"(%s) Tj T*" % _escaped(line) for line in lines) + b" ET"
        )
        objects.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content))
        kids.append(len(objects) + 1)
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents %d 0 R"
            b" /Resources << /Font << /F1 3 0 R >> >> >>" % len(objects)
        )
    objects[0] = b"<< /Type /Catalog /Pages 2 0 R >>"
    objects[1] = b"<< /Type /Pages /Kids [%s] /Count %d >>" % (b" ".join(b"%d 0 R" % kid for kid in kids), len(kids))
    extra = b""
    if title:
        objects.append(b"<< /Title (%s) >>" % _escaped(title))
        extra += b" /Info %d 0 R" % len(objects)
    if encrypt:  # the standard handler with keys that no password opens
        objects.append(
            b"<< /Filter /Standard /V 1 /R 2 /P -4 /O <" + b"41" * 32 + b"> /U <" + b"42" * 32 + b"> /Length 40 >>"
        )
        extra += b" /Encrypt %d 0 R /ID [<%s> <%s>]" % (len(objects), b"43" * 16, b"43" * 16)
    return _assembled(objects, extra)


def _assembled(objects: Sequence[bytes], extra: bytes) -> bytes:
    out = bytearray(b"%PDF-1.4\n")
    offsets = []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    out += b"trailer\n<< /Size %d /Root 1 0 R%s >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, extra, start)
    return bytes(out)


def _escaped(line: str) -> bytes:
    return line.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)").encode("cp1252")


def word() -> bytes:
    """A DOCX with headings, a list, a table, tracked changes and a content control."""
    document = docx.Document()
    document.core_properties.title = "Handbook"
    document.add_heading("Travel", 1)
    document.add_paragraph("Every trip needs an approval.")
    document.add_heading("Trains", 2)
    document.add_paragraph("first class", style="List Bullet")
    document.add_paragraph("second class", style="List Bullet")
    table = document.add_table(2, 2)
    for row, cells in enumerate((("City", "Limit"), ("Lima", "120"))):
        for column, text in enumerate(cells):
            table.cell(row, column).text = text
    body = document.element.body
    body.insert(
        len(body) - 1,
        parse_xml(
            f"<w:p {_W}><w:r><w:t>kept </w:t></w:r><w:del w:id='1' w:author='a'><w:r><w:delText>gone </w:delText></w:r>"
            "</w:del><w:ins w:id='2' w:author='a'><w:r><w:t>added</w:t></w:r></w:ins></w:p>"
        ),
    )
    body.insert(
        len(body) - 1,
        parse_xml(f"<w:sdt {_W}><w:sdtContent><w:p><w:r><w:t>controlled</w:t></w:r></w:p></w:sdtContent></w:sdt>"),
    )
    return saved(document)


def saved(document: "docx.document.Document") -> bytes:
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


def bomb(size: int) -> bytes:
    """A DOCX of a few KiB whose text unpacks to `size` bytes."""
    source = io.BytesIO(saved(docx.Document()))
    out = io.BytesIO()
    with zipfile.ZipFile(source) as original, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as copy:
        for part in original.namelist():
            if part == "word/document.xml":
                with copy.open(part, "w", force_zip64=True) as stream:
                    for _ in range(size // 1_000_000):
                        stream.write(b" " * 1_000_000)
            else:
                copy.writestr(part, original.read(part))
    return out.getvalue()
