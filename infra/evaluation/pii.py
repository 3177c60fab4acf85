"""`python -m fiel.infra.evaluation.pii`: how much personal data the checks `pii` and `entities` mask together.

A marked span counts as masked where at least nine tenths of its letters and digits are. A found span counts as right
where it overlaps a marked one of any type; one that overlaps only types that are not scored counts neither way. Not
scored: organisations, titles, nationalities, domain names, and dates and times, which are rarely dates of birth. The
rows at even places were read while the patterns were written, of the odd ones mostly the totals: neither half is clean.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fiel.infra.evaluation.statistics import Figure, share
from fiel.policies.checks.base import Check
from fiel.policies.checks.entities import Entities, promising
from fiel.policies.checks.pii import KINDS, Pii
from fiel.policies.types import Span
from fiel.tools.errors import UsageError

UNSCORED = frozenset(("ORGANIZATION", "TITLE", "NRP", "DOMAIN_NAME", "DATE_TIME"))
DATA = Path("../shared/data/safety/pii.presidio.jsonl")


@dataclass(frozen=True, slots=True)
class Marked:
    """A text and where its personal data stand: start, end, type."""

    text: str
    spans: tuple[tuple[int, int, str], ...]


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a set of texts."""

    masked: Mapping[str, Figure]
    """By type; `scored` stands for all types that are scored."""
    precision: Figure
    asked: Figure
    """Share of the texts that the model was asked about."""
    ms: float
    """Median time of a text, in milliseconds."""


def rows(file: Path) -> list[Marked]:
    """The texts of a file with one JSON object a line. Raises UsageError where it cannot be read."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UsageError(f"the texts cannot be read: {error.strerror}", where=str(file), hint="Use --data") from error
    return [_marked(json.loads(line)) for line in lines]


def _marked(row: Mapping[str, Any]) -> Marked:
    return Marked(row["text"], tuple((span["start"], span["end"], span["type"]) for span in row["spans"]))


def measured(items: Iterable[Marked], checks: Sequence[Check]) -> Result:
    """What `checks` mask together in `items`."""
    masked: dict[str, list[bool]] = {}
    right: list[bool] = []
    asked: list[bool] = []
    took: list[float] = []
    for item in items:
        started = time.perf_counter()
        found = [span for check in checks for span in check.run((item.text,), {}).spans]
        took.append((time.perf_counter() - started) * 1000)
        asked.append(promising(item.text))
        for kind, hit in _masked(item, found):
            masked.setdefault(kind, []).append(hit)
        right.extend(_right(item, found))
    figures = {kind: share(hits) for kind, hits in sorted(masked.items())}
    figures["scored"] = share([hit for kind, hits in masked.items() if kind not in UNSCORED for hit in hits])
    return Result(figures, share(right), share(asked), statistics.median(took) if took else 0.0)


def _masked(item: Marked, found: Iterable[Span]) -> Iterable[tuple[str, bool]]:
    gone = {place for span in found for place in range(span.start, span.end)}
    for start, end, kind in item.spans:
        places = [place for place in range(start, end) if item.text[place].isalnum()]
        yield kind, sum(place in gone for place in places) >= 0.9 * len(places)


def _right(item: Marked, found: Iterable[Span]) -> Iterable[bool]:
    for span in found:
        kinds = {kind for start, end, kind in item.spans if start < span.end and span.start < end}
        if not kinds or kinds - UNSCORED:
            yield bool(kinds)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables, or JSON."""
    parser = argparse.ArgumentParser(prog="python -m fiel.infra.evaluation.pii", description="Personal data masked.")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    texts = rows(given.data)
    full: tuple[Check, ...] = (Pii(kinds=KINDS), Entities())
    full[1].run(("Angela lives in Berlin.",), {})  # loads the model, outside the times
    results = {
        "even rows": measured(texts[::2], full),
        "odd rows": measured(texts[1::2], full),
        "odd rows, `pii` alone": measured(texts[1::2], full[:1]),
    }
    if given.json:
        sys.stdout.write(json.dumps({name: _plain(result) for name, result in results.items()}, indent=1) + "\n")
        return 0
    for name, result in results.items():
        sys.stdout.write(f"{name}: {result.ms:.1f} ms a text, model asked {result.asked}\n")
        for kind, figure in result.masked.items():
            sys.stdout.write(f"  {kind:20} {figure}{'  (not scored)' if kind in UNSCORED else ''}\n")
        sys.stdout.write(f"  {'precision':20} {result.precision}\n")
    return 0


def _plain(result: Result) -> dict[str, Any]:
    figures = {**result.masked, "precision": result.precision, "asked": result.asked}
    plain = {name: {"value": f.value, "low": f.low, "high": f.high, "n": f.n} for name, f in figures.items()}
    return {"figures": plain, "ms": result.ms}


if __name__ == "__main__":
    raise SystemExit(main())
