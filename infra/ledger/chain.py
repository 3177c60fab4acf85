"""Entries: their canonical bodies, the hash that links them, and how a body unfolds into full digests again.

A body holds what is new. `reads` are the channels whose value is not what the hops before had left (all of them in a
run's first entry), `gone` the channels that vanished, `writes` what the hop wrote, `left` the channels that a reducer
made something else of (a list of messages, appended to), `path` the place of a hop that was sent. Folding bodies in
order gives every channel's digest at every point; an entry whose `reads` is not empty beyond the first one is an edited
state, but for a hop that was sent.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, NamedTuple

import orjson

from fiel.tools.record import Entry

FORMAT = 1
"""Version of the body's form; stands in each body."""


class Sealed(NamedTuple):
    """One entry as stored."""

    seq: int
    hash: bytes
    """SHA-256 of `body`, 32 bytes."""
    body: bytes
    """Canonical JSON; its `prev` is the hash of the entry before, or of the one that this run resumes."""


def seal(seq: int, body: Mapping[str, Any]) -> Sealed:
    """Serialise a body and hash it."""
    data = orjson.dumps(body, option=orjson.OPT_SORT_KEYS)
    return Sealed(seq, sha256(data).digest(), data)


class Point(NamedTuple):
    """What a graph's hops have left at one point: digest by channel."""

    step: int
    known: Mapping[str, str]
    """The state at the start of the step."""
    pending: Mapping[str, str]
    """What hops of the step have written since; the next step starts from both."""

    @property
    def left(self) -> Mapping[str, str]:
        return {**self.known, **self.pending} if self.pending else self.known

    def continues(self, step: int, reads: Mapping[str, str]) -> bool:
        """Whether a hop of `step` that was given `reads` goes on from here."""
        return reads == (self.known if step == self.step else self.left)


START = Point(-1, {}, {})


class Space:
    """The state of one graph, or of one subgraph, as its hops leave it."""

    __slots__ = ("_expected", "point")

    def __init__(self, point: Point = START) -> None:
        self.point = point
        self._expected = point.known
        """What hops of the step must be given, also where one of them was given something else."""

    def begin(self, step: int) -> Mapping[str, str]:
        """The digests that a hop of `step` must be given."""
        if step != self.point.step:
            self.point = Point(step, self.point.left, {})
            self._expected = self.point.known
        return self._expected

    def resync(self, reads: Mapping[str, str]) -> None:
        """Go on from what was given, whatever was left."""
        self.point = Point(self.point.step, dict(reads), self.point.pending)

    def end(self, left: Mapping[str, str]) -> Point:
        """A hop left these digests."""
        step, known, pending = self.point
        self.point = Point(step, known, {**pending, **left} if pending else left)
        return self.point


@dataclass(frozen=True, slots=True)
class Unfolded:
    """A stored entry with everything that its body leaves to the ones before."""

    entry: Entry
    point: Point
    """What was left after it."""
    space: str
    hash: bytes
    body: Mapping[str, Any]


def unfold(run: str, sealed: Iterable[Sealed], start: Point = START) -> list[Unfolded]:
    """Entries of one run in full. `start` is what the run that it resumes had left."""
    spaces: dict[str, Space] = {"": Space(start)}
    out = []
    for one in sealed:
        body = orjson.loads(one.body)
        space = spaces.setdefault(body.get("space", ""), Space())
        known = space.begin(body["step"])
        reads = {key: value for key, value in known.items() if key not in body.get("gone", ())} | body["reads"]
        if reads != known and "path" not in body:  # a hop that was sent is given a value of its own
            space.resync(reads)
        point = space.end({**body["writes"], **body.get("left", {})})
        entry = Entry(
            run=run,
            seq=one.seq,
            hop=body["hop"],
            reads=reads,
            writes=body["writes"],
            decision=body["decision"],
            edited=body["edited"],
        )
        out.append(Unfolded(entry, point, body.get("space", ""), one.hash, body))
    return out


def broken(sealed: Sequence[Sealed], first: str) -> int | None:
    """Seq of the first entry that does not follow from the one before; None where the chain holds.

    `first` is the `prev` that the first entry must have: hex, or empty for a run that resumes none.
    """
    prev = first
    for place, one in enumerate(sealed):
        if one.seq != place or sha256(one.body).digest() != one.hash or orjson.loads(one.body)["prev"] != prev:
            return place
        prev = one.hash.hex()
    return None
