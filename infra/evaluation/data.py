"""Question-answering sets on disk: paragraphs, questions, and which half of the articles a collection holds."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from fiel.tools.errors import UsageError

SETS: dict[str, str] = {"squad-en": "en", "xquad-en": "en", "xquad-es": "es"}
"""Name of each set and its language."""


@dataclass(frozen=True, slots=True)
class Paragraph:
    """One paragraph of an article: what is ingested as a document."""

    id: str
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Question:
    """A question about one paragraph."""

    id: str
    text: str
    paragraph: str
    """Id of the paragraph that answers, or that looks as if it did."""
    title: str
    """The article of that paragraph: what samples are split by."""
    answers: tuple[str, ...]
    answerable: bool
    language: str


@dataclass(frozen=True, slots=True)
class QuestionSet:
    """A set: questions in one language over paragraphs in one language."""

    name: str
    language: str
    paragraphs: tuple[Paragraph, ...]
    questions: tuple[Question, ...]

    def half(self, number: int) -> tuple[Paragraph, ...]:
        """The paragraphs of every second article by name, from `number` (0 or 1) on."""
        titles = set(sorted({paragraph.title for paragraph in self.paragraphs})[number::2])
        return tuple(paragraph for paragraph in self.paragraphs if paragraph.title in titles)

    def sampled(self, most: int, *, answerable: bool = True) -> list[Question]:
        """At most `most` of the questions that are (not) answerable, shuffled by a fixed seed."""
        order = list(self.questions)
        random.Random(1).shuffle(order)  # noqa: S311  (a sample, no secret)
        return [question for question in order if question.answerable == answerable][:most]


def _lines(path: Path) -> list[dict[str, Any]]:
    try:
        return [orjson.loads(line) for line in path.read_bytes().splitlines() if line.strip()]
    except OSError as error:
        raise UsageError(
            f"the evaluation data cannot be read: {error.strerror}", where=str(path), hint="Name its folder with --data"
        ) from error


def load(folder: Path, name: str, *, over: str = "") -> QuestionSet:
    """The set `name`; with `over` its questions over the paragraphs of that parallel set."""
    paragraphs = tuple(
        Paragraph(row["id"], row["title"].replace("_", " "), row["text"])
        for row in _lines(folder / f"{over or name}.docs.jsonl")
    )
    titles = {paragraph.id: paragraph.title for paragraph in paragraphs}
    questions = []
    for row in _lines(folder / f"{name}.questions.jsonl"):
        paragraph = row["document"].replace(name, over) if over else row["document"]
        if paragraph in titles:
            questions.append(
                Question(
                    row["id"],
                    row["question"],
                    paragraph,
                    titles[paragraph],
                    tuple(row["answers"]),
                    bool(row["answerable"]),
                    SETS[name],
                )
            )
    label = f"{name} over {over}" if over else name
    return QuestionSet(label, SETS[over or name], paragraphs, tuple(questions))


def holds(text: str, answers: Sequence[str]) -> bool:
    """Whether `text` holds one of the gold answers, case and white space aside."""
    plain = " ".join(text.casefold().split())
    return any(" ".join(answer.casefold().split()) in plain for answer in answers)
