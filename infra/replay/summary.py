"""What many replays found together: counts, the outcomes of then beside those of now, and examples."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from fiel.infra.replay.change import Change
from fiel.infra.replay.spent import Spent

Kind = Literal["same", "cut", "changed", "withheld", "released", "open", "failed"]
KINDS: dict[Kind, str] = {
    "withheld": "answered then, not now",
    "released": "answered now, not then",
    "changed": "differs otherwise",
    "same": "the same, hop by hop",
    "cut": "the same, as far as the record goes",
    "open": "asks for a call that was not allowed",
    "failed": "cannot be replayed",
}
"""What can become of a run, with what that means; the weightiest first."""
EXAMPLES = 10
"""Runs of each kind that are shown."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One run that was replayed, or could not be."""

    run: str
    kind: Kind | Literal[""]
    value: dict[str, Any] | None
    """The replay as `Replays.of` gives it, masked for whoever asks."""
    question: str | None
    error: dict[str, str] | None = None

    def plain(self) -> dict[str, Any]:
        """As JSON, without the hops, which no summary shows."""
        value = {name: one for name, one in self.value.items() if name != "hops"} if self.value is not None else None
        return {"run": self.run, "kind": self.kind, "value": value, "question": self.question, "error": self.error}

    def sorted(self) -> Kind:
        """What became of the run."""
        if self.kind or self.value is None:
            return self.kind or "failed"
        if self.value.get("refused"):
            return "open"
        same: Kind = "same" if self.value["whole"] else "cut"
        if self.value["mode"] == "strict":  # it ends where it differs, so it has no outcome to compare
            return same if self.value["identical"] else "changed"
        then, now = self.value["outcome"]["recorded"], self.value["outcome"]["replayed"]
        if then != now and "answered" in (then, now):
            return "withheld" if then == "answered" else "released"
        return same if self.value["identical"] else "changed"


class Lost(NamedTuple):
    """A process that died over a run."""

    pid: int
    how: str
    run: str


@dataclass(slots=True)
class Summary:
    """Grows run by run."""

    change: Change
    done: int = 0
    """Runs that were looked at, those of other collections too."""
    seconds: float = 0.0
    spent: Spent = field(default_factory=Spent)
    """The live calls of all runs, and what they cost."""
    counts: Counter[str] = field(default_factory=Counter)
    outcomes: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    """Of then, of now, how many."""
    hops: Counter[str] = field(default_factory=Counter)
    """Where the first difference was."""
    reasons: Counter[str] = field(default_factory=Counter)
    """Why runs that were withheld end now."""
    examples: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    lost: list[Lost] = field(default_factory=list)
    """Processes that died."""

    def add(self, seen: Seen) -> None:
        """Count one run; keep it where it is among the first of its kind."""
        kind = seen.sorted()
        self.counts[kind] += 1
        if seen.value is not None:
            self._count(kind, seen.value)
        if kind != "same" and len(self.examples[kind]) < EXAMPLES:
            self.examples[kind].append(_example(seen))

    def _count(self, kind: Kind, value: dict[str, Any]) -> None:
        if "spent" in value:
            self.spent.take(value["spent"])
        if value["first_divergence"]:
            self.hops[value["first_divergence"]["hop"]] += 1
        if kind != "open" and (value["identical"] or value["mode"] == "counterfactual"):
            self.outcomes[value["outcome"]["recorded"] or "none"][value["outcome"]["replayed"] or "none"] += 1
        if kind == "withheld":
            self.reasons[value["reason"]["replayed"] or "none"] += 1

    def plain(self) -> dict[str, Any]:
        """The summary as one JSON value."""
        return {
            "mode": "strict" if self.change.strict else "counterfactual",
            "changes": self.change.plain(),
            "runs": self.counts.total(),
            "identical": self.counts.total() == self.counts["same"] + self.counts["cut"],
            "counts": {kind: self.counts[kind] for kind in KINDS},
            "outcomes": {then: dict(now) for then, now in sorted(self.outcomes.items())},
            "hops": dict(self.hops.most_common()),
            "reasons": dict(self.reasons.most_common()),
            "live_calls": self.spent.calls,
            "spent": self.spent.plain(),
            "seconds": round(self.seconds, 3),
            "lost": [one._asdict() for one in self.lost],
            "examples": {kind: self.examples[kind] for kind in KINDS if self.examples[kind]},
        }


class InOrder:
    """Adds to a summary in the order of the runs, whatever ends first: whoever replays them, it is the same."""

    def __init__(self, summary: Summary) -> None:
        self._summary = summary
        self._held: dict[int, Seen | None] = {}
        self._next = 0

    def put(self, place: int, seen: Seen | None) -> None:
        """What became of the run at that place; None where it does not count."""
        self._summary.done += 1
        self._held[place] = seen
        while self._next in self._held:
            if (one := self._held.pop(self._next)) is not None:
                self._summary.add(one)
            self._next += 1


def _example(seen: Seen) -> dict[str, Any]:
    if seen.value is None:
        return {"run": seen.run, "error": seen.error}
    return {
        "run": seen.run,
        "question": seen.question,
        "outcome": seen.value["outcome"],
        "reason": seen.value.get("reason"),
        "first_divergence": seen.value["first_divergence"],
        "answer": seen.value.get("answer"),
        "refused": seen.value.get("refused"),
        "masked": bool(seen.value.get("masked")),
    }
