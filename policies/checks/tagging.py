"""A small tagger that reads names, places, addresses and other personal data in English and Spanish.

A linear-chain conditional random field (Lafferty, McCallum and Pereira 2001) over words, their shapes and their
neighbours. Its weights are a file of the repository (`policies/models/entities`, with a card), made by the command
`python -m fiel.infra.training.entities`. Time is linear in the text.
"""

import re
import threading
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

from fiel.policies.heads import bytes_of, file_of
from fiel.tools.canonical import digest
from fiel.tools.errors import PolicyError

MODEL = "entities/tagger.crf"
"""The file under `policies/models`."""
WEIGHTS = "e7abcc68b58420d58fe94a7c73ce8f08d71b5c01cefb994ecf6b03a1fcd3516a"
"""SHA-256 of that file. The library trusts what it reads, so that nothing else is given to it."""
OUTSIDE = "O"
"""Label of a token that is nothing."""

_TOKEN = re.compile(r"\n|[^\W\d_]+(?:['’][^\W\d_]+)?|\d+|[^\w\s]|_")
_WORD = 24
"""Letters of a word that are looked at."""
_WINDOW = 4_000
"""Characters that are read at once; a window ends where a line or a word does."""
_LOCK = threading.Lock()

Place = tuple[int, int]
Found = tuple[int, int, str]


def tokens(text: str) -> list[Place]:
    """Words, numbers, signs and line ends of `text`: start and end of each."""
    return [match.span() for match in _TOKEN.finditer(text)]


def features(text: str, places: Sequence[Place]) -> list[list[str]]:
    """What the tagger sees of each token: itself, its shape, and three tokens on either side."""
    words = [text[start : min(end, start + _WORD)].lower() for start, end in places]
    shapes = [_shape(text[start:end]) for start, end in places]
    return [_row(place, words, shapes, places) for place in range(len(places))]


def _row(at: int, words: Sequence[str], shapes: Sequence[str], places: Sequence[Place]) -> list[str]:
    word, shape, last = words[at], shapes[at], len(words) - 1
    row = ["b", f"w={word}", f"s={shape}", f"p={word[:3]}", f"e={word[-3:]}", f"d={word[-2:]}"]
    if at and places[at - 1][1] == places[at][0]:
        row.append("g")
    if at < last and places[at][1] == places[at + 1][0]:
        row.append("G")
    for step in (-3, -2, -1, 1, 2, 3):
        other = at + step
        row += (f"{step}w={words[other]}", f"{step}s={shapes[other]}") if 0 <= other <= last else (f"{step}none",)
    if at:
        row += (f"l={words[at - 1]}|{shape}", f"m={shapes[at - 1]}|{shape}")
    if at > 1:
        row.append(f"ll={words[at - 2]}|{words[at - 1]}|{shape}")
    if at < last:
        row += (f"r={shape}|{words[at + 1]}", f"n={shape}|{shapes[at + 1]}")
    if 0 < at < last:
        row.append(f"t={shapes[at - 1]}|{shape}|{shapes[at + 1]}")
    return row


def _shape(word: str) -> str:
    """`N` a line end, `9` and the number of digits, a sign itself; `x`, `X`, `Xx`, `XX` and `xX` for letters."""
    first = word[0]
    if first == "\n":
        return "N"
    if first.isdigit():
        return f"9{min(len(word), 9)}"
    if not first.isalpha():
        return first
    if word.islower():
        return "x"
    if len(word) == 1:
        return "X"
    if word.isupper():
        return "XX"
    return "Xx" if word[1:].islower() else "xX"


class Tagger:
    """The tagger over weights, the content of a file that CRFsuite has written. Safe for any number of threads."""

    def __init__(self, weights: bytes) -> None:
        """Raises PolicyError for weights that cannot be read."""
        import pycrfsuite

        self._lock = threading.Lock()
        self._weights = weights  # the library reads them where they lie
        self._tagger: Any = pycrfsuite.Tagger()
        try:
            self._tagger.open_inmemory(self._weights)
        except ValueError as error:
            raise PolicyError("the tagger of the check `entities` cannot be read", hint="Train it again") from error
        self._kinds: list[str] = [label for label in self._tagger.labels() if label != OUTSIDE]

    def read(self, text: str, certainty: float) -> Iterator[Found]:
        """Start, end and kind of what is something: of all that is nothing with less than `certainty`."""
        text = text.encode("utf-8", "replace").decode()  # the library takes no lone surrogates; places stay the same
        start = 0
        while start < len(text):
            end = _cut(text, start)
            for first, last, kind in self._window(text[start:end], certainty):
                yield start + first, start + last, kind
            start = end

    def _window(self, text: str, certainty: float) -> list[Found]:
        places = tokens(text)
        if not places:
            return []
        seen = features(text, places)
        with self._lock:  # it holds one text at a time
            self._tagger.set(seen)
            labels = [self._label(at, label, certainty) for at, label in enumerate(self._tagger.tag())]
        return _joined(places, labels)

    def _label(self, at: int, label: Any, certainty: float) -> str:
        """The label on the likeliest path; where that is *nothing*, and doubtful, the likeliest of the others."""
        marginal = self._tagger.marginal
        if label != OUTSIDE or marginal(OUTSIDE, at) >= certainty:
            return str(label)
        return max(self._kinds, key=lambda one: float(marginal(one, at)))


@cache
def _loaded() -> Tagger:
    weights = bytes_of(MODEL)
    if digest(weights) != WEIGHTS:
        raise PolicyError(
            "the weights of the check `entities` are not those that it was made for",
            where=str(file_of(MODEL)),
            hint="Install fiel again, or write their SHA-256 into `tagging.WEIGHTS` after training",
        )
    return Tagger(weights)


def tagger() -> Tagger:
    """The tagger with the weights of the repository, read once a process. Raises PolicyError where they are missing."""
    with _LOCK:
        return _loaded()


def _cut(text: str, start: int) -> int:
    """End of the window that begins at `start`: where a line or a word ends, if one does."""
    if len(text) - start <= _WINDOW:
        return len(text)
    for gap in ("\n", " "):
        place = text.rfind(gap, start + _WINDOW // 2, start + _WINDOW)
        if place >= 0:
            return place + 1
    return start + _WINDOW


def _joined(places: Sequence[Place], labels: Sequence[str]) -> list[Found]:
    """One span a run of tokens of one kind; `B-` begins another where the run before it has ended."""
    found: list[Found] = []
    before = OUTSIDE
    for (start, end), label in zip(places, labels, strict=True):
        kind = label[2:]
        if label != OUTSIDE:
            if label.startswith("I-") and before[2:] == kind:
                found[-1] = (found[-1][0], end, kind)
            else:
                found.append((start, end, kind))
        before = label
    return found
