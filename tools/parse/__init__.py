"""The parse port: bytes of a file in, extracted text with its headings out."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading in the extracted text."""

    level: int
    text: str
    start: int
    """Offset of the heading's line in the extracted text, code points."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a parser makes of a file. Offsets of everything later point into `text`."""

    text: str
    title: str
    media_type: str
    headings: tuple[Heading, ...] = ()
    pages: tuple[int, ...] = ()
    """Offset at which each page begins, where the format has pages."""


class Parser(Protocol):
    """Raises InvalidDocument, with what to do about it."""

    @property
    def version(self) -> str: ...

    def parse(self, data: bytes, *, name: str) -> Parsed: ...


__all__ = ["Heading", "Parsed", "Parser"]
