"""Arrays on their way to the server, in PostgreSQL's binary form.

psycopg looks at every element of a list to find out what it is, several times over. Whoever sends twenty arrays a
statement knows that already. The form: number of dimensions, whether there are NULLs, type of the elements, length and
lower bound of each dimension, then each element after its length; all big-endian.
"""

from collections.abc import Iterable, Sequence
from struct import Struct

import psycopg
from psycopg.adapt import Buffer, Dumper
from psycopg.pq import Format

_EMPTY = Struct("!iiI")
_HEAD = Struct("!iiIii")
_LENGTH = Struct("!i")
_NULL = _LENGTH.pack(-1)


class Array:
    """A one-dimensional array, written already. Its subclasses say of what."""

    __slots__ = ("data",)
    element = 0
    """Type of the elements."""
    whole = 0
    """Type of the array."""

    def __init__(self, items: Sequence[bytes | None]) -> None:
        if not items:
            self.data = _EMPTY.pack(0, 0, self.element)
            return
        parts = [_HEAD.pack(1, None in items, self.element, len(items), 1)]
        for item in items:
            parts += (_NULL,) if item is None else (_LENGTH.pack(len(item)), item)
        self.data = b"".join(parts)


class Bytes(Array):
    """Of bytea."""

    __slots__ = ()
    element, whole = 17, 1001


class Texts(Array):
    """Of text."""

    __slots__ = ()
    element, whole = 25, 1009

    def __init__(self, items: Iterable[str | None]) -> None:
        super().__init__([None if item is None else item.encode() for item in items])


class Integers(Array):
    """Of int4."""

    __slots__ = ()
    element, whole, _one = 23, 1007, Struct("!i")

    def __init__(self, items: Iterable[int | None]) -> None:
        super().__init__([None if item is None else self._one.pack(item) for item in items])


class Longs(Integers):
    """Of int8."""

    __slots__ = ()
    element, whole, _one = 20, 1016, Struct("!q")


class _Written(Dumper):
    format = Format.BINARY

    def dump(self, obj: Array) -> Buffer:
        return obj.data


def _register(kind: type[Array]) -> None:
    psycopg.adapters.register_dumper(kind, type(f"_{kind.__name__}", (_Written,), {"oid": kind.whole}))


for _kind in (Bytes, Texts, Integers, Longs):
    _register(_kind)
