"""Every chunker, on any text: slices that are verbatim, in order, apart, and lose nothing but white space."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fiel.tools.chunk import Chunk, Chunker
from fiel.tools.chunk.measure import cut, length
from fiel.tools.chunk.plain import PlainChunker
from fiel.tools.chunk.structure import StructureChunker
from fiel.tools.parse import Heading, Parsed
from fiel.tools.parse.markdown import headings
from fiel.tools.parse.media import MARKDOWN, TEXT

CHUNKERS: list[Chunker] = [
    StructureChunker(),
    StructureChunker(target=12, most=20),
    PlainChunker(),
    PlainChunker(most=7),
]
each = pytest.mark.parametrize("chunker", CHUNKERS, ids=lambda chunker: chunker.version)

PIECES = st.sampled_from(
    [
        "The Normans came in 911. ",
        "¿Quién lo dijo? ",
        "Dr. Ruiz, p. ej., no. ",
        "漢字かな交じり文。",
        "ไทยไม่มีช่องว่าง",
        "\r\n\r\n",
        "a",
        "\n",
        "\r",
        "\n\n",
        "# Head\n",
        "## Sub\r\n",
        "Title\n===\n",
        "- item\n",
        "1. one\n",
        "| a | b |\n",
        "```\n# no\n```\n",
        "e\u0301\u0302",
        "👩‍👩‍👧‍👦",
        "🏳️‍🌈",
        "𝔘𝔫𝔦",
        "\ufeff",
        "\u00a0",
        "\u2003",
        "\u3000",
        "x" * 90,
        ". ",
        "!?",
        "\t",
        " " * 30,
    ]
)
TEXTS = st.one_of(st.lists(PIECES, max_size=60).map("".join), st.text(max_size=300))


def check(parsed: Parsed, chunks: "list[Chunk]") -> None:
    text, cursor = parsed.text, 0
    heads = {heading.start for heading in parsed.headings}
    for chunk in chunks:
        assert chunk.text == text[chunk.start : chunk.end]
        assert chunk.text.strip()
        assert not chunk.text[0].isspace() and not chunk.text[-1].isspace()
        assert cursor <= chunk.start < chunk.end
        left = text[cursor : chunk.start]
        if not any(cursor <= head < chunk.start for head in heads):
            assert not left.replace("\ufeff", "").strip(), left
        cursor = chunk.end
    if not heads:
        assert not text[cursor:].replace("\ufeff", "").strip()


@each
@given(text=TEXTS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_chunks_of_any_text_are_verbatim_slices(chunker: Chunker, text: str) -> None:
    plain = Parsed(text, "", TEXT)
    check(plain, list(chunker.chunk(plain)))
    marked = Parsed(text, "", MARKDOWN, tuple(headings(text)))
    check(marked, list(chunker.chunk(marked)))


@each
def test_headings_are_context_and_not_text(chunker: Chunker) -> None:
    source = "intro\n\n# A\n\na body\n\n## B\n\nb body\n\n# C\n\nc body\n\n## Empty\n"
    parsed = Parsed(source, "", MARKDOWN, tuple(headings(source)))
    found = [(chunk.context, chunk.text) for chunk in chunker.chunk(parsed)]
    assert found == [
        ("", "intro"),
        ("A", "a body"),
        ("A > B", "b body"),
        ("C", "c body"),
        ("C > Empty", "## Empty"),  # nothing else would find it
    ]


@each
def test_is_deterministic_and_says_its_version(chunker: Chunker) -> None:
    parsed = Parsed("One. Two!\n\nThree? " * 40, "", TEXT)
    assert list(chunker.chunk(parsed)) == list(chunker.chunk(parsed))
    assert chunker.version


@given(text=TEXTS, most=st.integers(1, 30))
@settings(max_examples=100, deadline=None)
def test_cut_pieces_join_to_the_text_and_hold_the_length(text: str, most: int) -> None:
    pieces = cut(text, most)
    assert "".join(pieces) == text
    assert all(0 < length(piece) <= most or not piece.strip() or len(piece) < 64 for piece in pieces)


class TestStructure:
    chunker = StructureChunker()

    def texts(self, source: str) -> list[str]:
        return [chunk.text for chunk in self.chunker.chunk(Parsed(source, "", MARKDOWN, tuple(headings(source))))]

    def test_short_paragraphs_stay_whole_and_long_ones_break_at_sentences(self) -> None:
        paragraph = "This sentence is about sixty letters long, more or less so. " * 20
        texts = self.texts(f"{paragraph}\n\n{paragraph * 4}")
        assert texts[0] == paragraph.strip()
        assert len(texts) > 4
        assert all(text.endswith("so.") for text in texts)

    def test_neighbours_are_put_together_but_not_over_a_heading(self) -> None:
        assert self.texts("a b.\n\nc d.\n\n# H\n\ne f.\n\ng h.") == ["a b.\n\nc d.", "e f.\n\ng h."]

    def test_an_edit_changes_few_chunks(self) -> None:
        paragraphs = [f"Paragraph {n} tells of {n} things. " * 15 for n in range(50)]
        before = self.texts("\n\n".join(paragraphs))
        paragraphs[20] += "One more sentence."
        after = self.texts("\n\n".join(paragraphs))
        assert len(before) == 50
        assert len(set(after) - set(before)) == 1

    def test_no_chunk_exceeds_the_model(self) -> None:
        for source in ("x" * 9000, "漢字" * 5000, "word " * 5000, "a,b;c " * 3000, "| a | b |\n" * 2000, "é" * 5000):
            assert max(length(text) for text in self.texts(source)) <= 360

    def test_an_items_number_stays_with_it(self) -> None:
        item = "{}. " + "A rule that goes on for quite a while, as rules do, until it ends. " * 5
        texts = self.texts("\n".join(item.format(n) for n in range(1, 40)))
        assert all(not text.rstrip().endswith(tuple(f"\n{n}." for n in range(40))) for text in texts)

    def test_a_parsers_headings_give_context_in_any_format(self) -> None:
        parsed = Parsed("Top\n\nbody\n\nSub\n\nmore", "", TEXT, (Heading(1, "Top", 0), Heading(2, "Sub", 11)))
        assert [(c.context, c.text) for c in self.chunker.chunk(parsed)] == [("Top", "body"), ("Top > Sub", "more")]
