"""Markers of an answer, such as `[1]`: what they look like, and which sentence each belongs to."""

import re

BRACKETS = r"\[(\d{1,3}(?:\s*[,;]\s*\d{1,3})*)\]"
"""One marker; its group holds the numbers."""

_ONE = r"\[\d{1,3}(?:\s*[,;]\s*\d{1,3})*\]"
_ENDED = r"(?:[.!?][\"'”’»)]{0,3}\s*|\n[^\S\n]*)"
"""The end of a sentence or a line, with the white space behind it."""
_LED = re.compile(rf"\s*{_ONE}")
_BEHIND = re.compile(rf"([.!?])((?:\s*{_ONE})+)(?:\.(?=\s|\Z))?")
_BEFORE = re.compile(rf"({_ENDED})((?:{_ONE}\s*)+)(?:[.:](?=\s|\Z))?")
_FIRST = re.compile(rf"((?:\s*{_ONE})+)\s*(?:[.:](?=\s|\Z))?")
_LAST = re.compile(rf"([.!?])((?:\s*{_ONE})+)\.?\Z")
_NEXT = re.compile(rf"{_ENDED}(?={_ONE})")
_FOLLOWING = re.compile(rf"(?:\s*{_ONE})+(?:\.(?=\s|\Z))?\s*")


def leads(text: str) -> bool:
    """Whether the markers of `text` stand before their sentences, as small models write them: it begins with one."""
    return _LED.match(text) is not None


def placed(text: str) -> str:
    """`text` with each marker inside the sentence that it belongs to.

    Markers behind a full stop belong to the sentence before it: `… 1912. [1]` becomes `… 1912 [1].` Where they lead,
    they belong to the one that follows: `[1]. It opened …` becomes `[1] It opened …`, in a paragraph of its own.
    """
    text = text.strip()
    if not leads(text):
        return _BEHIND.sub(r"\2\1", text)
    return _BEFORE.sub(r"\1\n\n\2 ", _FIRST.sub(r"\1 ", _LAST.sub(r"\2\1", text), count=1))


def next_led(text: str, start: int) -> list[int]:
    """Places behind `start` where a sentence begins that a marker leads."""
    return [match.end() for match in _NEXT.finditer(text, start)]


def behind(text: str, start: int) -> int:
    """Where the markers end that stand at `start`, behind the sentence before; `start` where none do."""
    markers = _FOLLOWING.match(text, start)
    return markers.end() if markers else start


__all__ = ["BRACKETS", "behind", "leads", "next_led", "placed"]
