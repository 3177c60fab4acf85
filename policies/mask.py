"""Masks: what a check found is replaced by what it was, `[EMAIL]`, and everything else stays as it is."""

from collections.abc import Callable, Iterable

from fiel.policies.types import Span

ALL = "[REDACTED]"
"""Stands for a whole text that could not be redacted safely."""

_PASSES = 5
"""Masking can bring to light what overlapped with something else; more rounds than this are never needed by text that
people write, and a text that needs more is withheld."""


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


def masked(text: str, spans: Iterable[Span]) -> str:
    """`text` with each span replaced by its mask."""
    pieces: list[str] = []
    position = 0
    for span in merged(spans):
        pieces += (text[position : span.start], f"[{span.kind.upper()}]")
        position = span.end
    pieces.append(text[position:])
    return "".join(pieces)


def settled(text: str, spans: Iterable[Span], find: Callable[[str], list[Span]]) -> str | None:
    """`text` masked, and masked again until `find` finds no more; None where that does not end."""
    found = list(spans)
    for _ in range(_PASSES):
        if not found:
            return text
        text = masked(text, found)
        found = find(text)
    return None if found else text
