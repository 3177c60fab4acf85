"""A run that a graph has replayed, beside its record: hop by hop, and what reducers have left at the end of a step."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from fiel.infra.ledger.chain import Unfolded
from fiel.infra.replay.compare import differences
from fiel.infra.replay.part import Part
from fiel.infra.replay.record import Record
from fiel.infra.replay.walk import Left, Walked

CUT = ("cancelled", "withheld")
"""Hops that were ended from outside."""
_APART = ("at", "us", "prev", "step", "begin", "versions", "space", "path", "left")
"""Facts of an entry that are not compared one by one."""
Body = Mapping[str, Any]


class Beside:
    """One part of the line beside its record."""

    def __init__(self, record: Record, part: Part, found: Walked) -> None:
        self.record, self.part, self.found = record, part, found
        self.beyond = iter(part.beyond)

    def compare(self, *, last: bool) -> None:
        """Add what each hop of then has become to what was found. `last`: no run goes on from this one."""
        made = {seq: orjson.loads(one.body) for seq, one in self.part.made.items()}
        then, now = _folded(one.body for one in self.part.entries), _folded(made.values())
        last_of = {(one.space, one.body["step"]): one.entry.seq for one in self.part.entries}
        for one in self.part.entries:
            self._one(one, made)
            place = (one.space, one.body["step"])
            if last_of[place] != one.entry.seq or self.found.first is not None:
                continue
            if then.get(place, {}) != now.get(place, {}):
                sides = {"left": then.get(place, {})}, {"left": now.get(place, {})}
                self._add(one.body, differences(*sides, self.record.value, self._now))
        if last and self.part.beyond and self.found.first is None:
            self.found.notes.append(f"the record ends before the hop {self.part.beyond[0]}")
            self.found.whole = False

    def _one(self, one: Unfolded, made: Mapping[int, Body]) -> None:
        body, seq, found, now = one.body, one.entry.seq, self.found, made.get(one.entry.seq)
        found.outcome = (now or {}).get("decision", {}).get("outcome") or found.outcome
        if now is None and body["status"].split(":")[0] in CUT:
            found.notes.append(f"the hop {body['hop']} was cut off then ({body['status']})")
            found.whole = False
            self._add(body, [], status="cut")
        elif now is None:
            self._add(body, [{"what": "next hop", "recorded": body["hop"], "replayed": self._instead(seq, made)}])
        elif unserved := self.part.unserved.get(seq):
            self._add(body, unserved, now)
        elif seq in self.part.moved:
            self._add(body, [{"what": "step", "recorded": body["step"], "replayed": self.part.moved[seq]}], now)
        elif _facts(now) != _facts(body):
            self._add(body, differences(body, {**now, "left": body.get("left")}, self.record.value, self._now), now)
        else:
            self._add(body, [], now)

    def _instead(self, seq: int, made: Mapping[int, Body]) -> str | None:
        """The hop that ran in the place of one that did not."""
        later = (body["hop"] for number, body in made.items() if number > seq)
        return next(self.beyond, None) or next(later, None)

    def _add(self, body: Body, diff: list[dict[str, Any]], now: Body | None = None, status: str = "") -> None:
        hop = {"run": self.part.run.row.run, "seq": body["seq"], "node": body["hop"]}
        hop |= {"status": status or ("differs" if diff else "same"), "diff": diff}
        self.found.add(hop, (Left(body, self.record.value), Left(now, self._now) if now is not None else None))

    def _now(self, digest: str) -> Any:
        return self.part.run.value(digest, self.record.value)


def _folded(bodies: Iterable[Body]) -> dict[tuple[str, int], dict[str, str]]:
    """By place and step: what reducers have left of each channel at its end."""
    found: dict[tuple[str, int], dict[str, str]] = defaultdict(dict)
    for body in bodies:
        found[body.get("space", ""), body["step"]] |= body.get("left", {})
    return found


def _facts(body: Body) -> dict[str, Any]:
    """What must be equal of a hop by itself."""
    facts = {name: value for name, value in body.items() if name not in _APART}
    return {**facts, "gone": sorted(facts.get("gone", ()))}
