"""Personal data without a form that can be verified: names of persons, places, street addresses, ages, dates, numbers.

A small tagger reads English and Spanish, and patterns know addresses, ages and what follows a word such as *name*. Both
err: `docs/policies.md` says how often. The hash of the tagger's weights is part of the version of a bundle that uses
the check. A text in which nothing promises a finding is not read.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from fiel.policies.checks import tagging
from fiel.policies.checks.base import Check, Found, marked, parameter
from fiel.policies.checks.entity_patterns import FINDERS
from fiel.policies.checks.pii import KINDS as FORMS
from fiel.policies.mask import merged
from fiel.policies.types import Span

_MOST = 20_000
"""Characters that are read; a longer text is masked as a whole, because it would be read for too long."""

CERTAINTY = 0.55
"""A word is left alone where the tagger takes it for nothing with at least this probability."""
_KINDS = ("address", "age", "date", "email", "number", "person", "phone", "place")
KINDS = (*_KINDS, "group", "link", "organisation", "time", "title")
"""Every kind there is. `time` is a date that is not whole: a year, a month, a day of the week."""

_COMMON = frozenset(
    (
        "a about after all also an and any are as at be because been before but by can could did do does during each "
        "either every for from get give had has have he hello help her here hi his how i if in is it its just let "
        "like many may me might more most must my need no not now of on once one only or our please she should since "
        "so some such tell than thank thanks that the their them then there these they this those to under until us "
        "was we were what when where which while who whom whose why will with would yes you your al con cómo como "
        "cuál cuáles cuando cuándo cuánto cuántos de del desde donde dónde el en es esta este estos gracias hay hola "
        "la las le lo los mi para pero por qué que quién se según si sí sin sobre son su sus un una y"
    ).split()
)
_WORD = re.compile(r"(?<![^\W_])[^\W\d_](?:[^\W_]|['’-]){0,60}")
_WHOLE_DATE = re.compile(
    r"[0-9]{1,4}\W{1,2}[0-9]{1,2}\W{1,2}[0-9]{1,4}|"  # 3/12/1981
    r"[0-9]{1,2}\w{0,2}(?: de|,)? [^\W\d_]{3,10}(?: de|,)? [0-9]{4}|"  # 3 de diciembre de 1981
    r"[^\W\d_]{3,10} [0-9]{1,2}\w{0,2},? [0-9]{4}"  # December 3rd, 1981
)
# A mask or a placeholder is no finding, so that masking once more changes nothing. Other words in brackets are read.
_MASK = re.compile(rf"\[(?:{'|'.join({*KINDS, *FORMS})})\]|<(?:{'|'.join({*KINDS, *FORMS})})_[0-9]{{1,4}}>".upper())


def promising(text: str) -> bool:
    """Whether the tagger may find something: a capitalised word that is not a common one, a digit, an `@`; or a text in
    small letters throughout, whose names have no capitals either."""
    if any(character.isdigit() or character == "@" for character in text) or text == text.lower():
        return bool(text.strip())
    return any(m.group()[0].isupper() and m.group().lower() not in _COMMON for m in _WORD.finditer(text))


@dataclass(frozen=True, slots=True)
class Entities(Check):
    """Finds names, places, addresses, ages, dates and numbers of persons. Score 1 where there is one."""

    name: ClassVar[str] = "entities"
    reason: ClassVar[str] = "personal_data"
    masks: ClassVar[bool] = True
    modules: ClassVar[tuple[str, ...]] = ("fiel.policies.checks.entity_patterns", "fiel.policies.checks.tagging")
    heads: ClassVar[tuple[str, ...]] = (tagging.MODEL,)

    kinds: tuple[str, ...] = parameter(_KINDS, "Kinds that are looked for.", tighter="superset", known=KINDS)

    def prepare(self) -> None:
        """Read the tagger's weights. Raises PolicyError where they are missing, or not those of this check."""
        tagging.tagger()

    def run(self, parts: Sequence[str], facts: Mapping[str, Any]) -> Found:
        # One span where patterns and tagger overlap: a mask a name, not one a piece of it.
        spans = [
            span
            for index, part in enumerate(parts)
            for span in merged(Span(index, *found) for found in _unmasked(part, self._find(part)))
        ]
        return marked(parts, spans)

    def _find(self, text: str) -> Iterator[tuple[int, int, str]]:
        if len(text) > _MOST:
            yield 0, len(text), "unread"
            return
        for kind, finder in FINDERS.items():
            if kind in self.kinds:
                for start, end in finder(text):
                    yield start, end, kind
        if self.worth_reading(text):
            for start, end, kind in self.read(text):
                if kind == "date" and not _WHOLE_DATE.search(text, start, end):
                    kind = "time"
                if kind in self.kinds:
                    yield start, end, kind

    def worth_reading(self, text: str) -> bool:
        """Whether the tagger is asked about the text."""
        return promising(text)

    def read(self, text: str) -> Iterator[tuple[int, int, str]]:
        """What the tagger finds: start, end, kind."""
        return tagging.tagger().read(text, CERTAINTY)


def _unmasked(text: str, found: Iterable[tuple[int, int, str]]) -> Iterator[tuple[int, int, str]]:
    """What of each finding lies outside the masks of `text` and holds a letter or a digit."""
    masks = [match.span() for match in _MASK.finditer(text)] if "[" in text or "<" in text else []
    for start, end, kind in found:
        for first, last in (*masks, (len(text), len(text))):
            if last <= start:
                continue
            if any(character.isalnum() for character in text[start : min(first, end)]):
                yield start, min(first, end), kind
            start = last
            if start >= end:
                break
