"""Names in a text: what is written with a capital where nothing but a name has one."""

import re
from functools import lru_cache
from typing import NamedTuple

from fiel.tools.text.sentences import sentences
from fiel.tools.text.stopwords import STOP_WORDS
from fiel.tools.text.words import fold


class Name(NamedTuple):
    """One word of a name."""

    value: str
    """Folded, without a possessive ending."""
    start: int
    end: int
    """Where it stands, code points."""
    initial: bool
    """True at the start of a sentence or list, where any word has a capital: perhaps no name."""


_WORD = re.compile(r"[^\W\d_](?:[^\W_]|['’.-](?=[^\W_]))*")


@lru_cache(maxsize=8192)
def names(text: str) -> tuple[Name, ...]:
    """Words of names in `text`, in order. Titles and months count; stop words with a capital do not."""
    starts = _first_words(text)
    return tuple(
        Name(value, match.start(), match.end(), match.start() in starts)
        for match in _WORD.finditer(text)
        if match.group()[0].isupper() and (value := _value(match.group())) and value not in STOP_WORDS
    )


def _value(raw: str) -> str:
    return re.sub(r"['’]s$", "", fold(raw)).replace(".", "")


def _first_words(text: str) -> frozenset[int]:
    """Where the first words of sentences and of quotations stand."""
    starts = set()
    for span in sentences(text):
        first = _WORD.search(text, span.start, span.end)
        if first:
            starts.add(first.start())
    starts.update(match.end() for match in re.finditer(r"[\"“«¿¡:]\s*", text))
    return frozenset(starts)
