"""Sentences, words, numbers and names, without a model."""

import sys
import time
from itertools import pairwise
from types import FrameType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fiel.nodes.cite import rewritten
from fiel.tools.text import content, fold, names, numbers, sentences, stem, words
from fiel.tools.text.markers import placed
from fiel.tools.text.markup import pieces
from fiel.tools.text.questions import kind_of, wants_code


def cut(text: str) -> list[str]:
    return [span.of(text) for span in sentences(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three?", ["One.", "Two!", "Three?"]),
        ("Dr. Smith met Mr. Jones. They talked.", ["Dr. Smith met Mr. Jones.", "They talked."]),
        ("J. R. R. Tolkien wrote it. It sold.", ["J. R. R. Tolkien wrote it.", "It sold."]),
        ("It costs $1.50 or 3.14 euros. Cheap.", ["It costs $1.50 or 3.14 euros.", "Cheap."]),
        ("Prefer cats, e.g. tabbies. Or dogs.", ["Prefer cats, e.g. tabbies.", "Or dogs."]),
        ("He lives in the U.S. He likes it.", ["He lives in the U.S.", "He likes it."]),
        ("El Sr. Pérez llegó. ¿Quién lo vio? ¡Nadie!", ["El Sr. Pérez llegó.", "¿Quién lo vio?", "¡Nadie!"]),
        ("EE. UU. ganó. Fin.", ["EE. UU. ganó.", "Fin."]),
        ("Said “no.” Then left.", ["Said “no.”", "Then left."]),
        ("It grew.[12] It fell.", ["It grew.[12]", "It fell."]),
        ("Wait... what? Yes.", ["Wait... what?", "Yes."]),
        ("# Title\n\nText here.", ["# Title", "Text here."]),
        ("List:\n- one\n- two", ["List:", "- one", "- two"]),
        ("東京は首都です。人口は多い。", ["東京は首都です。", "人口は多い。"]),
        ("", []),
        (" \n ", []),
        ("no end", ["no end"]),
    ],
)
def test_sentences(text: str, expected: list[str]) -> None:
    assert cut(text) == expected


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet=st.sampled_from("aA .!?\n\"'()¿1,。é")))
def test_sentences_lose_nothing_but_space(text: str) -> None:
    spans = sentences(text)
    assert all(one.end <= other.start for one, other in pairwise(spans))
    assert "".join("".join(span.of(text).split()) for span in spans) == "".join(text.split())


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("1,000 people", ["1000"]),
        ("1.000 personas", ["1000"]),
        ("3 million", ["3000000"]),
        ("1,5 millones", ["1500000"]),
        ("23–16", ["23", "16"]),
        ("four and cuatro", ["4", "4"]),
        ("6½ sacks", ["6.5"]),
        ("in 1889.", ["1889"]),
        ("3.14", ["3.14"]),
        ("the 21st", ["21"]),
        ("$40", ["40"]),
        ("none", []),
    ],
)
def test_numbers(text: str, values: list[str]) -> None:
    assert [number.value for number in numbers(text)] == values


def test_numbers_say_where_they_stand() -> None:
    text = "It has 1,233 km and four locks."
    assert [text[number.start : number.end] for number in numbers(text)] == ["1,233", "four"]


def test_names_are_capitals_within_a_sentence() -> None:
    found = {name.value: name.initial for name in names("Yesterday Luther met King Charles. He left Rome.")}
    assert found == {"yesterday": True, "luther": False, "king": False, "charles": False, "rome": False}


def test_words_are_folded_and_stemmed() -> None:
    assert content("Defended!") == content("defending")
    assert content("canción") == content("CANCION")
    assert "the" not in content("the river") and fold("Él") == "el"
    assert stem("1889") == "1889"


def test_words_of_scripts_without_spaces_are_pairs() -> None:
    assert [word.form for word in words("東京都")] == ["東京", "京都"]


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("How many points did they score?", "number"),
        ("¿Cuántos puntos?", "number"),
        ("In what year did it end?", "time"),
        ("¿Cuándo terminó?", "time"),
        ("Who built it?", "person"),
        ("¿Quién la construyó?", "person"),
        ("Where is it?", "place"),
        ("¿Dónde está?", "place"),
        ("Why did it fall?", "reason"),
        ("¿Por qué cayó?", "reason"),
        ("What is sourdough?", "thing"),
    ],
)
def test_kind_of_question(question: str, kind: str) -> None:
    assert kind_of(question) == kind


@pytest.mark.parametrize(
    ("question", "code"),
    [
        ("Which command ingests a folder?", True),
        ("¿Con qué comando se pregunta?", True),
        ("What is the código for it?", True),
        ("What does FIEL_HOME mean?", True),
        ("What does --json do?", True),
        ("What does `ask` print?", True),
        ("Who commanded the army in 1812?", False),
        ("How well-known is it?", False),
        ("¿Quién lo ordenó?", False),
    ],
)
def test_questions_about_what_is_typed(question: str, code: bool) -> None:
    assert wants_code(question) is code


def parts(text: str) -> list[tuple[str, str]]:
    return [(form, span.of(text)) for span, form in pieces(text)]


def test_pieces_of_markdown() -> None:
    text = (
        "# Title\nOne. Two:\n```sh\n# no heading. no prose\n\nrun it\n```\nThree.\n\nUnder\n-----\n"
        "| A | B |\n|:--|---|\n| a. A | b |\n| c | d |\n- item\n- other"
    )
    assert parts(text) == [
        ("heading", "# Title"),
        ("prose", "One."),
        ("prose", "Two:"),
        ("code", "# no heading. no prose\n\nrun it"),
        ("prose", "Three."),
        ("heading", "Under"),
        ("heading", "| A | B |"),
        ("row", "| a. A | b |"),
        ("row", "| c | d |"),
        ("prose", "item"),
        ("prose", "other"),
    ]


def test_pieces_of_other_text_are_its_sentences() -> None:
    for text in (
        "#1 in the charts. C# | F#.",
        "a | b. - c\n\n--\nd",
        "It's 5 ``x`` y.",
        "",
        " \n ",
        "One\ntwo. Three",
    ):
        assert [span for span, _ in pieces(text)] == list(sentences(text))


def test_code_that_does_not_end_is_code() -> None:
    assert parts("Do:\n~~~\nx = 1\n```\ny") == [("prose", "Do:"), ("code", "x = 1\n```\ny")]


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet=st.sampled_from("aA .\n#`|-=~\r\t")))
def test_pieces_are_in_order_and_hold_something(text: str) -> None:
    spans = [span for span, _ in pieces(text)]
    assert all(one.end <= other.start for one, other in pairwise(spans))
    assert all(span.of(text).strip() == span.of(text) != "" for span in spans)


HOSTILE = (
    "A. ", "x! ", "No. 5. ", "\n", "\n ", "  \n", "1) \n", '"', "! (", "- ", "|--", "| ", "[1 ", "#\n", "```\n",
    "A." + " " * 99,
)  # fmt: skip


@pytest.mark.parametrize("unit", HOSTILE)
def test_no_text_takes_long_to_cut(unit: str) -> None:
    """Processor time of 60,000 characters; what grows with the square of them takes many times as long."""
    text = (unit * (60_000 // len(unit) + 1))[:60_000] + "x"
    started = time.process_time()
    sentences.__wrapped__(text)
    placed(text)
    assert time.process_time() - started < 3
    line = text[:3_000].replace("\n", " ")  # every line of prose asks for the sentences around it
    started = time.process_time()
    pieces.__wrapped__(f"| a |\n{line}\n")
    assert time.process_time() - started < 3


def _lines_run(text: str) -> int:
    """Lines of Python that cutting `text` runs through."""
    ran = 0

    def count(_frame: FrameType, event: str, _arg: object) -> Any:
        nonlocal ran
        ran += event == "line"
        return count

    before = sys.gettrace()
    sys.settrace(count)
    try:
        pieces.__wrapped__(text)
    finally:
        sys.settrace(before)
    return ran


@pytest.mark.parametrize("unit", ["| a |\nOne. Two.\n", "# A\nOne\n- two\n", "```\nx. y.\n```\nOne.\n"])
def test_twice_as_many_blocks_take_twice_the_work(unit: str) -> None:
    assert _lines_run(unit * 200) < 2.2 * _lines_run(unit * 100)


def test_a_gap_before_a_marker_takes_no_time() -> None:
    started = time.process_time()
    assert [one.text for one in rewritten(f"a{' ' * 60_000}b [1].", [], [])] == [f"a{' ' * 60_000}b."]
    assert time.process_time() - started < 3
