"""Masks: in the place of what a check found stands what it was, `[EMAIL]` or `<EMAIL_1>`; everything else stays."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from fiel.policies.types import Span

ALL = "[REDACTED]"
"""Stands for a whole text that could not be redacted safely."""

Cover = Callable[[str, str], str]
"""What stands in the place of a value of a kind."""
Find = Callable[[str], list[Span]]

_PASSES = 5
"""Masking can bring to light what overlapped with something else; more rounds than this are never needed by text that
people write, and a text that needs more is withheld."""


@dataclass(frozen=True, slots=True)
class Named:
    """What is replaced by placeholders: how it is found, and its placeholders."""

    find: Find
    cover: Cover


def merged(spans: Iterable[Span]) -> list[Span]:
    """`spans` of one part in order, those that overlap made one; it keeps the kind of the longest."""
    out: list[Span] = []
    widest = 0
    for span in sorted(spans, key=lambda s: (s.start, -s.end)):
        if out and span.start < out[-1].end:
            last = out[-1]
            kind = span.kind if span.end - span.start > widest else last.kind
            widest = max(widest, span.end - span.start)
            out[-1] = Span(last.part, last.start, max(last.end, span.end), kind)
        else:
            out.append(span)
            widest = span.end - span.start
    return out


def bracketed(value: str, kind: str) -> str:
    """The mask that says nothing but the kind."""
    return f"[{kind.upper()}]"


def masked(text: str, spans: Iterable[Span], cover: Cover = bracketed) -> str:
    """`text` with each span replaced by what `cover` gives for it."""
    pieces: list[str] = []
    position = 0
    for span in merged(spans):
        pieces += (text[position : span.start], cover(text[span.start : span.end], span.kind))
        position = span.end
    pieces.append(text[position:])
    return "".join(pieces)


def settled(
    text: str, spans: Iterable[Span], find: Find, replaced: Iterable[Span] = (), named: Named | None = None
) -> str | None:
    """`text` masked, and masked again until `find` finds no more; None where that does not end.

    What `named` finds (at first: `replaced`) gets a placeholder, once there is nothing left that must be masked.
    """
    found, others = list(spans), list(replaced)
    for _ in range(_PASSES):
        if found:
            text = masked(text, found)
        elif others and named is not None:
            text = masked(text, others, named.cover)
        else:
            return text
        found, others = find(text), named.find(text) if named is not None else []
    return None if found or others else text
