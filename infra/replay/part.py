"""One run of a line, while any graph replays it: its entries, each taken by the hop that stands for it now."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any

import orjson
from langgraph.errors import GraphInterrupt

from fiel.infra.ledger.calls import PREFIX
from fiel.infra.ledger.chain import Sealed, Unfolded
from fiel.infra.ledger.encode import digest
from fiel.infra.ledger.hop import identify
from fiel.infra.ledger.run import Reducer, Step
from fiel.infra.replay.record import Record
from fiel.infra.replay.rehearse import Rehearsed
from fiel.infra.replay.served import Source


class AsRecorded(RuntimeError):
    """A hop failed then in a way that left no effect, and fails so again."""

    def __init__(self, code: str) -> None:
        super().__init__("as recorded")
        self.code = code


class Played(Rehearsed):
    """A run whose entries have the numbers that they had then, in whatever order hops end now."""

    turn: int | None = None

    @property
    def seq(self) -> int:
        return super().seq if self.turn is None else self.turn

    def last(self) -> Sealed:
        """The entry that was made last."""
        return self._sealed[-1]


@dataclass(slots=True)
class PartSource(Source):
    """As `Source`, for hops that may be interrupted, or fail, in whatever way."""

    status: str = ""

    async def answer(self, step: Step, kind: str, request: bytes, call: Any) -> Any:
        name = digest(request, step.run.mac)
        if (kind, name, step.counts.get((kind, name), 0)) not in self.effects:
            if self.status == "interrupted" and kind.startswith(PREFIX):
                call.close()
                raise GraphInterrupt  # this is what interrupted it
            if self.status.startswith("error:"):
                call.close()
                raise AsRecorded(self.status.partition(":")[2])
        return await Source.answer(self, step, kind, request, call)


@dataclass(frozen=True, slots=True)
class Known:
    """What a hop is known by, beside what it reads."""

    name: str
    space: tuple[str, ...]
    """The nodes that lead to its subgraph; the ids of their tasks are new each time."""
    attempt: int
    path: bytes
    """Its place among those that were sent, as JSON."""

    @classmethod
    def of(cls, name: str, space: str, attempt: int, path: Any) -> "Known":
        nodes = tuple(part.partition(":")[0] for part in space.split("|")) if space else ()
        return cls(name, nodes, attempt, orjson.dumps(path))


@dataclass(slots=True)
class Part:
    """One run of the line."""

    run: Played
    entries: Sequence[Unfolded]
    waiting: dict[Known, list[Unfolded]] = field(default_factory=lambda: defaultdict(list))
    """Entries that no hop stands for yet."""
    made: dict[int, Sealed] = field(default_factory=dict)
    """By the number of the entry, in the order in which hops have ended."""
    unserved: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    """By the number of an entry: what of its hop the record does not hold."""
    steps: dict[tuple[str, int], int] = field(default_factory=dict)
    """Steps of now, by place, and what they were then."""
    moved: dict[int, int] = field(default_factory=dict)
    """By the number of an entry: the step of then to which its hop belongs now."""
    beyond: list[str] = field(default_factory=list)
    """Hops that the record does not have."""

    def take(self, known: Known, reads: Mapping[str, str]) -> Unfolded | None:
        """The entry that a hop stands for: one that read the same, else the next that is known by the same."""
        waiting = self.waiting[known]
        at = next((at for at, one in enumerate(waiting) if one.entry.reads == reads), 0)
        return waiting.pop(at) if waiting else None

    def place(self, one: Unfolded, space: str, step: int) -> None:
        """The hop of this entry runs in that step of now."""
        then = self.steps.setdefault((space, step), one.body["step"])
        if then != one.body["step"]:
            self.moved[one.entry.seq] = then

    def end(
        self, step: Step, seq: int, update: Mapping[str, Any], reducers: Mapping[str, Reducer], status: str
    ) -> None:
        """A hop has ended: write its entry, under the number that it had."""
        self.run.turn = seq
        try:
            identify(self.run.next_entry, reducers, update)
            self.run.end(step, update, reducers, status, {})
        finally:
            self.run.turn = None
        self.made[seq] = self.run.last()


def parts(record: Record) -> Iterator[Part]:
    """The runs of the line, each as it stood before its first entry."""
    before: list[Unfolded] = []
    for id, group in groupby((*record.origin.entries, *record.entries), lambda one: one.entry.run):
        entries = list(group)
        run = Played(replace(record.row, run=id), record.principal, record.key, ())
        run.options = record.kept_options
        if before:
            run.resume(run.row, [one.entry for one in before], before[-1].point, before[-1].hash, ())
        part = Part(run, entries)
        for one in entries:
            body = one.body
            part.waiting[Known.of(body["hop"], one.space, body["attempt"], body.get("path"))].append(one)
        yield part
        before += entries
