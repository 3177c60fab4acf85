"""A file of any of the formats: looked at, then given to the parser of its format."""

from fiel.tools.errors import DocumentEmpty, DocumentTooLarge
from fiel.tools.parse import Parsed, Parser
from fiel.tools.parse.build import MIB
from fiel.tools.parse.html import HtmlParser
from fiel.tools.parse.markdown import MarkdownParser
from fiel.tools.parse.media import DOCX, HTML, MARKDOWN, PDF, TEXT, media_type
from fiel.tools.parse.pdf import PdfParser
from fiel.tools.parse.text import TextParser
from fiel.tools.parse.word import WordParser


class AnyParser:
    """The parser of ingest. Its version names those of all formats, so that a better one is noticed."""

    def __init__(self, max_file: int = 64 * MIB, max_text: int = 16 * MIB) -> None:
        """`max_file` and `max_text`: bytes of a file, and of its extracted text in UTF-8."""
        self._max_file = max_file
        self._parsers: dict[str, Parser] = {
            TEXT: TextParser(max_text),
            MARKDOWN: MarkdownParser(max_text),
            HTML: HtmlParser(max_text),
            PDF: PdfParser(max_text),
            DOCX: WordParser(max_text),
        }

    @property
    def version(self) -> str:
        return ",".join(parser.version for parser in self._parsers.values())

    def parse(self, data: bytes, *, name: str) -> Parsed:
        if not data:
            raise DocumentEmpty("it is empty", where=name)
        if len(data) > self._max_file:
            raise too_large(name, self._max_file)
        return self._parsers[media_type(data, name)].parse(data, name=name)


def too_large(name: str, limit: int) -> DocumentTooLarge:
    """The error of a file over the limit."""
    return DocumentTooLarge(
        f"it exceeds {limit // MIB} MiB", where=name, hint="Split it, or raise the setting max_file_mb"
    )
