"""Folding: texts as a reader sees them, so that a pattern cannot be dodged by look-alikes, and the way back.

Folded text is lower-case, without accents, with compatibility forms (full width, mathematical letters) resolved, with
invisible characters removed and with Cyrillic and Greek look-alikes read as the Latin letters that they imitate.
"""

import unicodedata
from collections.abc import Sequence

LOOKALIKES = dict(
    zip(
        "аеіоорсухѕјһӏԁԛԝвкмнтαειονρτυχκβ’‘“”«»–—‐‑\u00a0\u2028\u2029",
        'aeioopcyxsjhldqwbkmhtaeiovptuxkb\'\'""""---- \n\n',
        strict=True,
    )
)
_IGNORED = {"Mn", "Me", "Cf"}


class _Table(dict[int, str]):
    """Folds each code point once; for `str.translate`."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        folded = "".join(
            LOOKALIKES.get(part, part)
            for part in unicodedata.normalize("NFKD", character).lower()
            if unicodedata.category(part) not in _IGNORED
        )
        folded = LOOKALIKES.get(character.lower(), folded)
        self[code] = folded
        return folded


_TABLE = _Table()


def holds(text: str, hints: Sequence[str]) -> bool:
    """Whether one of `hints` stands in `text`: what a pattern cannot do without, looked for before the pattern."""
    for hint in hints:  # noqa: SIM110 - a generator costs more than what it looks for, sentence by sentence
        if hint in text:
            return True
    return False


class Folded:
    """A folded text that knows where each of its characters came from (code points of the original)."""

    __slots__ = ("_origin", "_original", "text")

    def __init__(self, original: str) -> None:
        self._original = original
        self._origin: list[int] | None = None
        self.text = original.lower() if original.isascii() else original.translate(_TABLE)

    def origin(self, start: int, end: int) -> tuple[int, int]:
        """The range of the original that `text[start:end]` came from; not empty for a range that is not empty."""
        if self._original.isascii():
            return start, end
        if self._origin is None:
            self._origin = [i for i, character in enumerate(self._original) for _ in _TABLE[ord(character)]]
        return self._origin[start], self._origin[end - 1] + 1
