"""Placeholders: `<PERSON_1>` in the place of what was found, the same for the same value, and the way back.

A placeholder says what kind of thing stood there, and which one. Its numbers count up within a conversation, whose
placeholders are kept by whoever calls and given in the fact `placeholders`; nothing here remembers anything.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

FACT = "placeholders"
"""Name of the fact that holds what is known: placeholder to value."""
TAKEN = "taken"
"""Name of the fact that holds, in one text, what else looks like a placeholder: new values get other numbers."""
MOST = 9_999
"""Values of one kind in one conversation; what would be the next cannot be replaced, and is held back."""
_SHAPE = re.compile(r"<([A-Z][A-Z_]{1,40})_([1-9][0-9]{0,3})>")


@dataclass(frozen=True, slots=True)
class Renumbered:
    """Texts, and what the placeholders in them stand for."""

    texts: tuple[str, ...]
    known: Mapping[str, str]


class Names:
    """The placeholders of one conversation, as one call knows them."""

    __slots__ = ("_by_value", "_last", "_taken", "known")

    def __init__(self, known: Mapping[str, str], texts: Iterable[str] = ()) -> None:
        """`known`: placeholder to value. A number that stands in one of `texts` is not given to a new value."""
        self.known = dict(known)
        self._by_value = {_key(value): name for name, value in known.items()}
        self._taken = alike(*texts)
        self._last: dict[str, int] = {}
        for name in known:
            if match := _SHAPE.fullmatch(name):
                self._last[match[1]] = max(self._last.get(match[1], 0), int(match[2]))

    def of(self, value: str, kind: str) -> str:
        """The placeholder of `value`: the one that it has, or the next of its kind. Case and white space do not count.

        Raises ValueError where there are too many.
        """
        key = _key(value)
        if key not in self._by_value:
            kind = kind.upper()
            number = self._last.get(kind, 0) + 1
            while (name := f"<{kind}_{number}>") in self._taken:
                number += 1
            if number > MOST:
                raise ValueError(f"more than {MOST} values of the kind {kind}")
            self._last[kind] = number
            self._by_value[key] = name
            self.known[name] = value
        return self._by_value[key]


def restored(text: str, known: Mapping[str, str]) -> str:
    """`text` with the values of `known` put back, in one pass: what a value looks like is not read again."""
    return _SHAPE.sub(lambda match: known.get(match[0], match[0]), text) if known else text


def alike(*texts: str) -> frozenset[str]:
    """What looks like a placeholder in `texts`, whoever wrote it."""
    return frozenset(match[0] for text in texts if "<" in text for match in _SHAPE.finditer(text))


def disarmed(text: str, genuine: Collection[str]) -> str:
    """`text` in which what looks like a placeholder and is none of `genuine` can be taken for none: `(PERSON_1)`."""
    return _SHAPE.sub(lambda match: match[0] if match[0] in genuine else f"({match[0][1:-1]})", text)


def renumbered(texts: Iterable[str], read: str, known: Mapping[str, str], after: Mapping[str, str]) -> Renumbered:
    """Those of `after` that `known` lacks, numbered as they follow in `read`: so the order of the checks' texts does
    not show. The numbers themselves stay, each within its kind."""
    new = dict.fromkeys(name for name in after if name not in known)
    order = dict.fromkeys(name for match in _SHAPE.finditer(read) if (name := match[0]) in new) | new
    free: dict[str, list[str]] = {}
    for name in reversed(new):  # the first that was given is the first that is taken
        free.setdefault(_kind(name), []).append(name)
    turned = {name: free[_kind(name)].pop() for name in order}
    return Renumbered(
        tuple(_SHAPE.sub(lambda match: turned.get(match[0], match[0]), text) for text in texts),
        {turned.get(name, name): value for name, value in after.items()},
    )


def _kind(name: str) -> str:
    return name.rpartition("_")[0]


def _key(value: str) -> str:
    return " ".join(value.split()).casefold()
