"""Placeholders: `<PERSON_1>` in the place of what was found, the same for the same value, and the way back.

A placeholder says what kind of thing stood there, and which one. Its numbers count up within a conversation, whose
placeholders are kept by whoever calls and given in the fact `placeholders`; nothing here remembers anything.
"""

import re
from collections.abc import Iterable, Mapping

FACT = "placeholders"
"""Name of the fact that holds what is known: placeholder to value."""
MOST = 9_999
"""Values of one kind in one conversation; what would be the next cannot be replaced, and is held back."""
_SHAPE = re.compile(r"<([A-Z][A-Z_]{1,40})_([1-9][0-9]{0,3})>")


class Names:
    """The placeholders of one conversation, as one call knows them."""

    __slots__ = ("_by_value", "_last", "known")

    def __init__(self, known: Mapping[str, str], texts: Iterable[str] = ()) -> None:
        """`known`: placeholder to value. A number that stands in one of `texts` is not given to a new value."""
        self.known = dict(known)
        self._by_value = {_key(value): name for name, value in known.items()}
        self._last: dict[str, int] = {}
        for text in (*known, *texts):
            for match in _SHAPE.finditer(text):
                self._last[match[1]] = max(self._last.get(match[1], 0), int(match[2]))

    def of(self, value: str, kind: str) -> str:
        """The placeholder of `value`: the one that it has, or the next of its kind. Case and white space do not count.

        Raises ValueError where there are too many.
        """
        key = _key(value)
        if key not in self._by_value:
            kind = kind.upper()
            number = self._last[kind] = self._last.get(kind, 0) + 1
            if number > MOST:
                raise ValueError(f"more than {MOST} values of the kind {kind}")
            self._by_value[key] = name = f"<{kind}_{number}>"
            self.known[name] = value
        return self._by_value[key]


def restored(text: str, known: Mapping[str, str]) -> str:
    """`text` with the values of `known` put back, in one pass: what a value looks like is not read again."""
    return _SHAPE.sub(lambda match: known.get(match[0], match[0]), text) if known else text


def _key(value: str) -> str:
    return " ".join(value.split()).casefold()
