"""`python -m fiel.infra.evaluation.pii`: how much personal data the checks `pii` and `entities` mask together.

A marked span counts as masked where at least nine tenths of its letters and digits are. A found span counts as right
where it overlaps a marked one of any type. The row `all` counts every type. The rows `scored` and `precision` leave out
organisations, titles, nationalities, domain names, and dates and times, which are rarely dates of birth.

The tagger has learnt from the synthetic texts, so its figures on them say how well it remembers. What it does on texts
that it has not seen says `python -m fiel.infra.training.entities --folds`. It has never seen the Spanish texts.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fiel.infra.evaluation.harmless import harmless
from fiel.infra.evaluation.marked import Marked, Tally, measured, rows
from fiel.infra.evaluation.spanish import bare, spanish
from fiel.infra.evaluation.statistics import Figure, share
from fiel.policies.checks.base import Check
from fiel.policies.checks.entities import KINDS, Entities, promising
from fiel.policies.checks.pii import KINDS as FORMS
from fiel.policies.checks.pii import Pii

DATA = Path("../shared/data/safety/pii.presidio.jsonl")


class Unfiltered(Entities):
    """The check without its filter: the tagger reads every text."""

    __slots__ = ()

    def worth_reading(self, text: str) -> bool:
        return True


def results(synthetic: Sequence[Marked]) -> dict[str, Tally]:
    """What comes of the synthetic and of the Spanish texts, with and without the filter."""
    both: tuple[Check, ...] = (Pii(kinds=FORMS), Entities(kinds=KINDS))
    unfiltered: tuple[Check, ...] = (both[0], Unfiltered(kinds=KINDS))
    both[1].run(("Angela lives in Berlin.",), {})  # loads the tagger, outside the times
    return {
        "synthetic": measured(synthetic, both),
        "synthetic, no filter": measured(synthetic, unfiltered),
        "synthetic, `pii` alone": measured(synthetic, both[:1]),
        "Spanish": measured(spanish(), both),
        "Spanish, no filter": measured(spanish(), unfiltered),
        "Spanish, first names alone": measured(bare(), both),
    }


def alarms() -> dict[str, Figure]:
    """Share of texts without personal data in which something is found, and of those that the tagger reads."""
    check, texts = Entities(kinds=KINDS), harmless()
    return {
        "false alarms": share([bool(check.run((text,), {}).spans) for text in texts]),
        "read by the tagger": share([promising(text) for text in texts]),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables, or JSON."""
    parser = argparse.ArgumentParser(prog="python -m fiel.infra.evaluation.pii", description="Personal data masked.")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    tables = {name: (tally.figures(), tally.median_ms) for name, tally in results(rows(given.data)).items()}
    tables["harmless"] = (alarms(), 0.0)
    if given.json:
        sys.stdout.write(json.dumps({name: _plain(*table) for name, table in tables.items()}, indent=1) + "\n")
        return 0
    for name, (figures, ms) in tables.items():
        sys.stdout.write(f"{name}: {ms:.1f} ms a text\n")
        sys.stdout.writelines(f"  {kind:20} {figure}\n" for kind, figure in figures.items())
    return 0


def _plain(figures: dict[str, Figure], ms: float) -> dict[str, Any]:
    plain = {name: {"value": f.value, "low": f.low, "high": f.high, "n": f.n} for name, f in figures.items()}
    return {"figures": plain, "ms": ms}


if __name__ == "__main__":
    raise SystemExit(main())
