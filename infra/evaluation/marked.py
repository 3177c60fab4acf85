"""Texts in which personal data is marked, and how much of it checks mask."""

import json
import statistics
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fiel.infra.evaluation.statistics import Figure, share
from fiel.policies.checks.base import Check
from fiel.policies.types import Span
from fiel.tools.errors import UsageError

UNSCORED = frozenset(("ORGANIZATION", "TITLE", "NRP", "DOMAIN_NAME", "DATE_TIME"))
"""Types that say little of a person: they count in `all` and not in `scored`."""


@dataclass(frozen=True, slots=True)
class Marked:
    """A text and where its personal data stand: start, end, type."""

    text: str
    spans: tuple[tuple[int, int, str], ...]


@dataclass(slots=True)
class Tally:
    """What came of texts so far. Two tallies of different texts can be added."""

    masked: dict[str, list[bool]]
    """By type, whether each marked span was masked."""
    right: list[bool]
    """Whether each found span was right; one that overlaps unscored types alone is left out."""
    right_of_all: list[bool]
    """The same, where every type counts."""
    ms: list[float]

    def add(self, other: "Tally") -> None:
        for kind, hits in other.masked.items():
            self.masked.setdefault(kind, []).extend(hits)
        self.right += other.right
        self.right_of_all += other.right_of_all
        self.ms += other.ms

    def figures(self) -> dict[str, Figure]:
        """Recall by type, then `scored` and `all`, then `precision` and `precision of all`."""
        found = {kind: share(hits) for kind, hits in sorted(self.masked.items())}
        found["scored"] = share([hit for kind, hits in self.masked.items() if kind not in UNSCORED for hit in hits])
        found["all"] = share([hit for hits in self.masked.values() for hit in hits])
        found["precision"] = share(self.right)
        found["precision of all"] = share(self.right_of_all)
        return found

    @property
    def median_ms(self) -> float:
        """Milliseconds of a text."""
        return statistics.median(self.ms) if self.ms else 0.0


def empty() -> Tally:
    """A tally of no texts."""
    return Tally({}, [], [], [])


def rows(file: Path) -> list[Marked]:
    """The texts of a file with one JSON object a line. Raises UsageError where it cannot be read."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UsageError(f"the texts cannot be read: {error.strerror}", where=str(file), hint="Use --data") from error
    return [_marked(json.loads(line)) for line in lines]


def _marked(row: Mapping[str, Any]) -> Marked:
    return Marked(row["text"], tuple((span["start"], span["end"], span["type"]) for span in row["spans"]))


def measured(items: Iterable[Marked], checks: Sequence[Check]) -> Tally:
    """What `checks` mask together in `items`."""
    tally = empty()
    for item in items:
        started = time.perf_counter()
        found = [span for check in checks for span in check.run((item.text,), {}).spans]
        tally.ms.append((time.perf_counter() - started) * 1000)
        for kind, hit in _masked(item, found):
            tally.masked.setdefault(kind, []).append(hit)
        for kinds in _overlapped(item, found):
            tally.right_of_all.append(bool(kinds))
            if not kinds or kinds - UNSCORED:
                tally.right.append(bool(kinds))
    return tally


def _masked(item: Marked, found: Iterable[Span]) -> Iterator[tuple[str, bool]]:
    gone = {place for span in found for place in range(span.start, span.end)}
    for start, end, kind in item.spans:
        places = [place for place in range(start, end) if item.text[place].isalnum()]
        yield kind, sum(place in gone for place in places) >= 0.9 * len(places)


def _overlapped(item: Marked, found: Iterable[Span]) -> Iterator[set[str]]:
    for span in found:
        yield {kind for start, end, kind in item.spans if start < span.end and span.start < end}
