"""Evidence that needs no model: how a question and sentences share rare words, names, numbers and kinds of things.

Every feature is a number between 0 and 1 (or a small logarithm) that a person can read. The same features serve the
choice of sentences (`extract`), the grade of passages (`rerank`) and the judge, so that a figure means one thing.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from fiel.tools.text import Span, Word, content, names, numbers, words
from fiel.tools.text.markup import Form, pieces
from fiel.tools.text.questions import Kind, kind_of
from fiel.tools.text.words import fold

_MONTHS = frozenset(
    """
    january february march april june july august september october november december
    enero febrero marzo abril mayo junio julio agosto septiembre setiembre octubre noviembre diciembre
    """.split()
)
_TIMES = re.compile(
    r"\b(1[0-9]{3}|20[0-9]{2}|[0-9]{1,2}(st|nd|rd|th)?|siglos? [ivx]+|centur(y|ies)|decades?|decadas?|years?|anos?"
    r"|[0-9]{4}s)\b"
)
_REASONS = re.compile(
    r"\b(because|due to|since|caused?|reasons?|so that|in order to|as a result|thus|therefore|led to"
    r"|porque|debido|ya que|puesto que|causas?|razon(es)?|para que|a fin de|por lo que|por ello|provoc\w+|gracias a)\b"
)


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, read once."""

    text: str
    kind: Kind
    words: tuple[str, ...]
    """Content words in order, folded and stemmed."""
    names: frozenset[str]
    numbers: frozenset[str]


@lru_cache(maxsize=512)
def asked(question: str) -> Asked:
    """Read `question`. The first word counts as a name only where it is no question word, i.e. stands within."""
    return Asked(
        text=question,
        kind=kind_of(question),
        words=tuple(dict.fromkeys(word.form for word in words(question) if word.content)),
        names=frozenset(name.value for name in names(question) if not name.initial),
        numbers=frozenset(number.value for number in numbers(question)),
    )


class Rarity:
    """How telling a word is among the sentences at hand: common words of the topic weigh little."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._counts: Counter[str] = Counter()
        self._total = 0
        for text in texts:
            self._total += 1
            self._counts.update(content(text))

    def of(self, word: str) -> float:
        """Smoothed inverse document frequency, at least 0.1."""
        count = self._counts.get(word, 0)
        return max(0.1, math.log((self._total + 1) / (count + 0.5)))


@lru_cache(maxsize=65536)
def alike(one: str, other: str) -> float:
    """1 for equal forms, less for forms with a long common beginning (inflection, cognates), else 0."""
    if one == other:
        return 1.0
    shorter = min(len(one), len(other))
    if shorter < 4 or one[:3] != other[:3]:
        return 0.0
    common = 3
    while common < shorter and one[common] == other[common]:
        common += 1
    share = common / max(len(one), len(other))
    return share if common >= 4 and share >= 0.6 else 0.0


def matches(question: Asked, *texts: str) -> dict[str, float]:
    """For each content word of the question, how well the best word of `texts` matches it, 0 to 1."""
    return {word: max((_match(word, text) for text in texts), default=0.0) for word in question.words}


@lru_cache(maxsize=262144)
def _match(word: str, text: str) -> float:
    if word in content(text):
        return 1.0
    return max((alike(word, form) for form in _beginnings(text).get(word[:3], ())), default=0.0)


@lru_cache(maxsize=8192)
def _beginnings(text: str) -> dict[str, list[str]]:
    """The content words of `text` by their first three letters: only those can be alike."""
    found: dict[str, list[str]] = {}
    for form in content(text):
        found.setdefault(form[:3], []).append(form)
    return found


def coverage(question: Asked, found: dict[str, float], rarity: Rarity) -> float:
    """Share of the question's content words that is matched, weighed by rarity; 0 for a question without any."""
    weights = [rarity.of(word) for word in question.words]
    if not weights:
        return 0.0
    return sum(weight * found[word] for weight, word in zip(weights, question.words, strict=True)) / sum(weights)


@lru_cache(maxsize=8192)
def _pieces(text: str) -> tuple[tuple[Word, ...], frozenset[str], frozenset[str], frozenset[str], str]:
    return (
        tuple(word for word in words(text) if word.content),
        content(text),
        frozenset(name.value for name in names(text)),
        frozenset(number.value for number in numbers(text)),
        fold(text),
    )


def fits(question: Asked, text: str) -> float:
    """1 where `text` holds something of the kind that is asked for and that the question does not hold itself."""
    _, _, its_names, its_numbers, folded = _pieces(text)
    new_numbers = its_numbers - question.numbers
    new_names = {name for name in its_names if name not in question.names and name not in fold(question.text)}
    match question.kind:
        case "number":
            return float(bool(new_numbers))
        case "time":
            timely = bool(_TIMES.search(folded)) or any(month in folded for month in _MONTHS)
            return float(timely and bool(new_numbers or its_names & _MONTHS or "centur" in folded or "siglo" in folded))
        case "person" | "place":
            return float(bool(new_names))
        case "reason":
            return float(bool(_REASONS.search(folded)))
        case _:
            return 0.5


def together(question: Asked, text: str) -> float:
    """Share of neighbouring pairs of the question's content words that are near each other in `text` as well."""
    share = neighbours(question.words, [word.form for word in _pieces(text)[0]], apart=2)
    return 0.0 if share is None else share


def neighbours(own: Sequence[str], theirs: Sequence[str], *, apart: int) -> float | None:
    """Share of the neighbouring pairs of `own` that stand at most `apart` places apart in `theirs`, if any."""
    pairs = set(pairwise(own))
    if not pairs:
        return None
    places: dict[str, list[int]] = {}
    for index, form in enumerate(theirs):
        places.setdefault(form, []).append(index)
    near = sum(any(abs(i - j) <= apart for i in places.get(a, ()) for j in places.get(b, ())) for a, b in pairs)
    return near / len(pairs)


def held(wanted: frozenset[str], there: frozenset[str]) -> float:
    """Share of `wanted` that is `there`; 1 where nothing is wanted."""
    return len(wanted & there) / len(wanted) if wanted else 1.0


NAMES = (
    "cover", "cover_before", "cover_passage", "together", "fits", "new", "names", "names_passage", "numbers",
    "first", "length", "best_cover", "place",
)  # fmt: skip
"""Features of a sentence, in the order of `features`."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A sentence that might answer, or where a text has them a block of code, a row of a table or a heading."""

    passage: int
    index: int
    """Its number within its passage."""
    span: Span
    text: str
    form: Form = "prose"


def candidates(texts: Sequence[str]) -> list[Candidate]:
    """All sentences of `texts`, and what else may be quoted from them."""
    return [
        Candidate(number, index, span, span.of(text), form)
        for number, text in enumerate(texts)
        for index, (span, form) in enumerate(pieces(text))
    ]


def features(
    question: Asked, found: Sequence[Candidate], texts: Sequence[str], titles: Sequence[str], rarity: Rarity
) -> list[dict[str, float]]:
    """For each candidate its features by `NAMES`. `titles` are titles and headings of the passages."""
    joint = [f"{title} {text}" for title, text in zip(titles, texts, strict=True)]
    by_passage = [_pieces(there) for there in joint]
    whole = [coverage(question, matches(question, there), rarity) for there in joint]
    direct = [matches(question, candidate.text) for candidate in found]
    cover = [coverage(question, match, rarity) for match in direct]
    best = max(cover, default=0.0)
    rows = []
    for number, candidate in enumerate(found):
        own = _pieces(candidate.text)
        joined = dict(direct[number])
        if candidate.index and number:
            joined = {word: max(value, direct[number - 1][word]) for word, value in joined.items()}
        there = by_passage[candidate.passage]
        values = (
            cover[number],
            coverage(question, joined, rarity),
            whole[candidate.passage],
            together(question, candidate.text),
            fits(question, candidate.text),
            min(1.0, len(own[1] - set(question.words)) / 12),
            held(question.names, own[2]),
            held(question.names, there[2]),
            held(question.numbers, own[3]),
            float(candidate.index == 0),
            math.log1p(len(own[0])),
            cover[number] - best,
            1.0 / (1 + candidate.passage),
        )
        rows.append(dict(zip(NAMES, values, strict=True)))
    return rows
