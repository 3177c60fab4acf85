"""Every parser, on any bytes: a sound result, or InvalidDocument with what to do; never anything else."""

import io

import docx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fiel.tools.errors import DocumentTooLarge, InvalidDocument
from fiel.tools.parse import Parsed, Parser
from fiel.tools.parse.any import AnyParser
from fiel.tools.parse.build import clean
from fiel.tools.parse.html import HtmlParser
from fiel.tools.parse.markdown import MarkdownParser
from fiel.tools.parse.pdf import PdfParser
from fiel.tools.parse.text import TextParser
from fiel.tools.parse.word import WordParser

PARSERS: list[Parser] = [TextParser(), MarkdownParser(), HtmlParser(), PdfParser(), WordParser(), AnyParser()]
each = pytest.mark.parametrize("parser", PARSERS, ids=lambda parser: type(parser).__name__)


def _document() -> bytes:
    document = docx.Document()
    document.add_heading("Head", 1)
    document.add_paragraph("Some text.")
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


WORD = _document()
MARKUP = st.lists(
    st.sampled_from(
        "<p>|</p>|<h1>|</h2>|<ul><li>|</ul>|<table><tr><td>|</table>|<pre>|<br>|<!--|-->|<script>|</script>|&#0;|&lt;|"
        "text |ñ𝔸|\r\n|# |## x\n|```\n|---\n|\x00|\x1b".split("|")
    ),
    max_size=40,
).map(lambda parts: "".join(parts).encode())
BYTES = st.one_of(
    st.binary(max_size=400),
    MARKUP,
    st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.text(max_size=100).map(lambda text: text.encode("utf-16", "surrogatepass")),
    st.binary(max_size=200).map(lambda data: b"%PDF-1.4\n" + data),
)
SPOTS = st.tuples(st.integers(0, len(WORD) - 1), st.integers(0, 255))


@each
@given(data=BYTES, name=st.sampled_from(["a.txt", "a.md", "a.html", "a.pdf", "a.docx", "a", ""]))
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_bytes_give_a_sound_result_or_a_clear_refusal(parser: Parser, data: bytes, name: str) -> None:
    _try(parser, data, name)


@given(spot=SPOTS)
@settings(max_examples=150, deadline=None)
def test_a_damaged_byte_of_a_docx_is_survived(spot: tuple[int, int]) -> None:
    _try(WordParser(), WORD[: spot[0]] + bytes([spot[1]]) + WORD[spot[0] + 1 :], "a.docx")


def _try(parser: Parser, data: bytes, name: str) -> None:
    try:
        parsed = parser.parse(data, name=name)
    except InvalidDocument as error:
        assert error.what and error.where == name and error.code.startswith("document_")
        return
    _check(parsed)
    assert parser.parse(data, name=name) == parsed


def _check(parsed: Parsed) -> None:
    text = parsed.text
    assert text.strip() and clean(text) == text and "\0" not in text
    text.encode()  # PostgreSQL can hold it
    starts = [heading.start for heading in parsed.headings]
    assert starts == sorted(starts) and all(0 <= start < len(text) for start in starts)
    for heading in parsed.headings:
        assert 1 <= heading.level <= 9 and heading.text.strip()
    assert list(parsed.pages) == sorted(parsed.pages) and all(0 <= page <= len(text) for page in parsed.pages)
    assert "\n" not in parsed.title and clean(parsed.title) == parsed.title


@each
def test_says_its_version(parser: Parser) -> None:
    assert parser.version and parser.version == type(parser)().version


@pytest.mark.parametrize("kind", [TextParser, MarkdownParser, HtmlParser, WordParser, PdfParser])
def test_holds_the_limit_of_text(kind: type) -> None:
    from tests.unit.files import pdf

    line = "Many words stand here. "
    samples = {
        TextParser: line.encode() * 10,
        MarkdownParser: line.encode() * 10,
        HtmlParser: f"<p>{line * 10}</p>".encode(),
        WordParser: WORD,
        PdfParser: pdf([[line] * 10]),
    }
    kind(100_000).parse(samples[kind], name="ok")
    with pytest.raises(DocumentTooLarge):
        kind(8).parse(samples[kind], name="long")
