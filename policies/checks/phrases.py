"""Phrases found in a text whatever their inflection, accents or look-alike letters; English and Spanish.

Words are compared by a light stem: endings of number, gender and of English verbs fall off. Digits inside a word are
read as the letters that they imitate as well. Letters set apart by spaces are not put together.
"""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

from fiel.policies.checks.folding import Folded

_WORD = re.compile(r"[^\W_]+(?:'[^\W_]{1,2}(?![^\W_]))?")
_LEET = str.maketrans("013457", "oieast")
_ENDINGS = ("'s", "ings", "ing", "ed", "es", "s")
_LEAST = 4
"""Letters that a word keeps at least; shorter words are compared whole."""
_MOST = 64


def stem(word: str) -> str:
    """The part of a folded word that its inflected forms share; what is longer than any word is left as it is."""
    return word if len(word) > _MOST else _stem(word)


@lru_cache(maxsize=16_384)
def _stem(word: str) -> str:
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= _LEAST - (ending in ("'s", "s")):
            word = word[: -len(ending)]
            break
    return word[:-1] if len(word) > _LEAST and word[-1] in "aeo" else word


@lru_cache(maxsize=64)
def _compiled(phrases: tuple[str, ...]) -> dict[str, list[tuple[str, ...]]]:
    """First stem to the phrases that begin with it, the longest first."""
    table: dict[str, list[tuple[str, ...]]] = {}
    for phrase in phrases:
        stems = tuple(stem(word) for word in _WORD.findall(Folded(phrase).text))
        if stems:
            table.setdefault(stems[0], []).append(stems)
    for known in table.values():
        known.sort(key=len, reverse=True)
    return table


def find(text: str, phrases: tuple[str, ...]) -> Iterator[tuple[int, int]]:
    """Places of `phrases` in `text`, in order, none within another; code points of the original."""
    table = _compiled(phrases)
    if not table or not text:
        return
    folded = Folded(text)
    beyond = 0
    for match in _WORD.finditer(folded.text):
        if match.start() < beyond:
            continue
        for word in {stem(match.group()), _imitated(match.group())}:
            end = _end(table.get(word, ()), folded.text, match.end())
            beyond = max(beyond, end)
        if beyond > match.start():
            yield folded.origin(match.start(), beyond)


def _imitated(word: str) -> str:
    """The stem of a word whose digits are letters; a number stays one."""
    return stem(word if word.isalpha() or word.isdigit() else word.translate(_LEET))


def _end(phrases: Sequence[tuple[str, ...]], text: str, after: int) -> int:
    """Where the longest of `phrases` ends whose first word ends at `after`; 0 where none stands there."""
    for stems in phrases:
        end, matches = after, _WORD.finditer(text, after)
        for wanted in stems[1:]:
            match = next(matches, None)
            if match is None or wanted not in (stem(match.group()), _imitated(match.group())):
                break
            end = match.end()
        else:
            return end
    return 0
