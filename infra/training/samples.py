"""Labelled texts, each once: fiel's own, what is put together from them, and the public sets beside the checkout."""

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from fiel.infra.training.composed import Composed, Part, composed
from fiel.infra.training.grammar import drawn
from fiel.policies.checks.folding import Folded
from fiel.tools.errors import UsageError

OWN = Path(__file__).parent / "data"
PUBLIC = {
    "neuralchemy": ("safety/injection.neuralchemy.jsonl", 0),
    "s-labs": ("safety/injection.s-labs.jsonl", 5000),
    "in-the-wild": ("safety/injection.in-the-wild.jsonl", 450),
    "cse": ("safety/injection.cse-other-languages.jsonl", 0),
    "wildguard": ("safety/injection.benign-wildguard.jsonl", 0),
}
"""Name to file and the most rows that are drawn from it (0: all)."""
QUESTIONS = 1800
"""Questions drawn from the question-answering sets: benign."""
FOLDS = 5


@dataclass(frozen=True, slots=True)
class Sample:
    """One text and what it is."""

    text: str
    label: int
    """1: an attack."""
    source: str
    """Set that it comes from; own sentences, and what is put together from them, by kind and language."""
    group: str
    """Texts of one group are never on both sides of an evaluation."""


def samples(public: Path) -> list[Sample]:
    """Own sentences first, then the public ones; texts that fold to the same letters stand once.

    Raises UsageError where the public sets are missing.
    """
    seen: set[str] = set()
    found = []
    for sample in [*own(), *_composed(), *_public(public)]:
        key = re.sub(r"\W+", "", Folded(sample.text).text)
        if key not in seen:
            seen.add(key)
            found.append(sample)
    return found


def own() -> Iterator[Sample]:
    """The sentences of the repository."""
    for name in ("benign", "attacks"):
        for row in _lines(OWN / f"{name}.jsonl"):
            language = row["language"] if row["language"] in ("en", "es") else "other"
            yield Sample(row["text"], row["label"], f"own-{name}-{language}", row["group"])


def _composed() -> Iterator[Sample]:
    sides: tuple[list[Part], list[Part]] = ([], [])
    for name in ("benign", "attacks"):
        for row in _lines(OWN / f"{name}.jsonl"):
            sides[row["label"]].append(Part(row["text"], row["language"], row["group"]))
    yield from (_made("composed", one) for one in composed(*sides))
    yield from (_made("grammar", one) for one in drawn())


def _made(how: str, one: Composed) -> Sample:
    kind = "attacks" if one.label else "benign"
    return Sample(one.text, one.label, f"{how}-{kind}-{one.language}", one.group)


def _public(folder: Path) -> Iterator[Sample]:
    for name, (file, most) in PUBLIC.items():
        for row in _drawn(_lines(folder / file), most):
            yield Sample(row["text"], int(row.get("label", 0)), name, row["text"])
    questions = []
    for file in ("squad-en", "xquad-en", "xquad-es"):
        questions += [(row["question"], f"qa-{file[-2:]}") for row in _lines(folder / f"qa/{file}.questions.jsonl")]
    for text, source in _drawn(questions, QUESTIONS):
        yield Sample(text, 0, source, text)


def _drawn(rows: Sequence[Any], most: int) -> list[Any]:
    order = list(rows)
    random.Random(1).shuffle(order)  # noqa: S311  (a sample, no secret)
    return order[:most] if most else order


def _lines(path: Path) -> list[dict[str, Any]]:
    try:
        return [orjson.loads(line) for line in path.read_bytes().splitlines() if line.strip()]
    except OSError as error:
        raise UsageError(
            f"the training data cannot be read: {error.strerror}", where=str(path), hint="Name its folder with --data"
        ) from error


def folds(found: Sequence[Sample]) -> list[int]:
    """Number of the fold of each sample, 0 to 4; a group is in one fold."""
    groups = sorted({sample.group for sample in found})
    random.Random(5).shuffle(groups)  # noqa: S311
    number = {group: index % FOLDS for index, group in enumerate(groups)}
    return [number[sample.group] for sample in found]
