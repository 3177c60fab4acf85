"""Words as they are compared: folded (no case, no accents), lightly stemmed, content apart from stop words."""

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from fiel.tools.text.stopwords import STOP_WORDS

_WORD = re.compile(r"[^\W_]+(?:[.,·]\d+)*(?:['’][^\W\d_]+)?")
_WIDE = re.compile(r"[぀-ヿ㐀-鿿가-힯฀-๿]")
"""Scripts that write without spaces between words; their runs are cut into pairs of characters."""


class Word(NamedTuple):
    """One word of a text."""

    form: str
    """Folded and stemmed: what is compared."""
    start: int
    end: int
    """Where it stands, code points."""
    content: bool
    """False for a stop word of any language that has a list."""


@lru_cache(maxsize=65536)
def fold(text: str) -> str:
    """`text` without case and accents: `Cuándo` is `cuando`."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(char for char in decomposed if not unicodedata.combining(char))


@lru_cache(maxsize=65536)
def stem(word: str) -> str:
    """A folded word without its commonest endings of English and Spanish inflection; at least four letters stay.

    Deliberately blunt, the same for every language: it only has to send forms of one word to one string, and words
    are compared across languages too (`naciones`/`nacional` stay apart, `defended`/`defending` meet).
    """
    word = word.removesuffix("'s").removesuffix("’s").replace("'", "").replace("’", "")
    if len(word) < 4 or not word.isalpha():
        return word
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 4:
            return word[: -len(ending)]
    return word[:-1] if word[-1] in "aeos" and len(word) > 4 else word


_ENDINGS = tuple(
    sorted(
        """
        es as os ed ing ly ies ied ation ations ment ments ness aron ieron iendo ando adas idos idas ados aban
        ian aba ada ido ida ado ara era ira aria eria iria amos emos imos mente cion ciones ar er ir an en io
        """.split(),
        key=len,
        reverse=True,
    )
)


def words(text: str) -> tuple[Word, ...]:
    """Words of `text`, in order."""
    return _words(text)


@lru_cache(maxsize=8192)
def _words(text: str) -> tuple[Word, ...]:
    return tuple(_each(text))


def _each(text: str) -> Iterator[Word]:
    for match in _WORD.finditer(text):
        raw = match.group()
        if _WIDE.search(raw):
            yield from _pairs(raw, match.start())
            continue
        folded = fold(raw)
        yield Word(stem(folded), match.start(), match.end(), folded not in STOP_WORDS)


def _pairs(run: str, offset: int) -> Iterator[Word]:
    for index in range(max(1, len(run) - 1)):
        pair = run[index : index + 2]
        yield Word(fold(pair), offset + index, offset + index + len(pair), True)


@lru_cache(maxsize=8192)
def content(text: str) -> frozenset[str]:
    """The forms of the content words of `text`."""
    return frozenset(word.form for word in _words(text) if word.content)
