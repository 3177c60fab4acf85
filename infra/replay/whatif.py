"""A counterfactual replay: what would have happened under another bundle, prompt, chat model or other options.

The run goes through the whole graph, from where the first run of its line began, to an end of its own. What it asks
unchanged is answered from the record. Differences that only name another version are the change itself and no finding.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
from langgraph.graph import END, START

from fiel.infra.ledger.chain import Unfolded
from fiel.infra.replay.change import Change
from fiel.infra.replay.compare import consequences
from fiel.infra.replay.hops import call, folded, following, values
from fiel.infra.replay.pool import Pool
from fiel.infra.replay.record import NotReplayable, Record
from fiel.infra.replay.rehearse import Rehearsal, opened, rehearsing
from fiel.infra.replay.spent import Spent
from fiel.infra.replay.stage import Stage
from fiel.infra.replay.walk import CUT, Left, Pair, Walked, code_note

LONGEST = 200
"""Hops more than twice those of then, after which a replay ends, should a graph go in circles."""
_PORTS = {"collection": "index", "search": "index"}


@dataclass(slots=True)
class Replayed(Walked):
    """What a counterfactual replay found: every hop is walked, also after the first difference."""

    reason: str = ""
    answer: str = ""
    """What the caller would be told."""
    spent: Spent = field(default_factory=Spent)
    """Its live calls, and what they cost."""
    refused: str = ""
    """Kind of the call that was refused; the replay ended there."""


async def counterfactual(record: Record, stage: Stage, change: Change, spent: Spent | None = None) -> Replayed:
    """Replay `record` under `change`. Raises NotReplayable for a run that cannot be walked from its beginning.

    `spent`: of many replays together, whose limits hold for all of them.
    """
    line = [*record.origin.entries, *record.entries]
    if (START, line[0].body["hop"]) not in stage.graph.builder.edges:
        raise NotReplayable(
            f"the run begins at the hop {line[0].body['hop']}, in the middle of the graph",
            where=f"run {record.row.run}",
            hint="A strict replay begins where the run began",
        )
    options = replace(record.options, **change.options)
    stated = {name: one for name, one in record.versions.items() if name != "chat" or "chat" not in change.options}
    pool = Pool(record, change.again, change.live, spent=(spent or Spent.within(change)).part())
    pool.fill(line)
    whole = replace(record, origin=type(record.origin)())  # the past is walked too
    one = Rehearsal(
        whole,
        options,
        pool,
        stated,
        live=True,
        run=opened(whole, options),
        name=line[0].entry.run,
        prompts=stage.prompts,
        bundles={},
    )
    walk = _Walk(stage, one, pool, line)
    with rehearsing(one):
        await walk.through(values(record, line[0].entry.reads))
    return walk.found


class _Walk:
    """One counterfactual replay."""

    def __init__(self, stage: Stage, one: Rehearsal, pool: Pool, line: Sequence[Unfolded]) -> None:
        self.stage, self.one, self.pool, self.line = stage, one, pool, line
        self.record = one.record
        self.found = Replayed(notes=[*code_note(one.record), *_edits(line)])
        self.places: dict[tuple[str, int], int] = {}
        seen: dict[str, int] = {}
        for place, unfolded in enumerate(line):
            hop = unfolded.body["hop"]
            self.places[hop, seen.get(hop, 0)] = place
            seen[hop] = seen.get(hop, 0) + 1
        self.seen: dict[str, int] = {}
        self.path: list[int | None] = []
        """Places in the line that the hops of the replay stand for."""

    async def through(self, state: dict[str, Any]) -> None:
        """Hop by hop, to an end of the graph, an interrupt that nobody has answered, or a call that is refused."""
        hop, most = self.line[0].body["hop"], 2 * len(self.line) + LONGEST
        while hop != END:
            if len(self.path) == most:
                self.found.notes.append(f"the replay was ended after {most} hops")
                self.found.whole = False
                break
            self._begin(hop)
            update = await call(self.stage.graph, self.one, hop, state, step=len(self.path))
            self._compare(hop)
            if self.pool.refused:
                why = f"{self.pool.refused}: {self.pool.why}"
                self.found.notes.append(f"the hop {hop} asks what is not in the record ({why})")
                self.found.whole = False
                break
            if update is None and not self.pool.has_more(hop, "ruling"):
                break
            if update is not None:
                state = folded(state, update)
                hop = await following(self.stage.graph, hop, state)
        self._rest()
        self._conclude(state)

    def _begin(self, hop: str) -> None:
        """Find the hop of then that this one stands for: the same, as often as it has been reached."""
        number = self.seen.get(hop, 0)
        self.seen[hop] = number + 1
        place = self.places.get((hop, number))
        self.path.append(place)
        if place is not None:
            self.one.name = self.line[place].entry.run
        self.pool.begin(hop)

    def _compare(self, hop: str) -> None:
        """What the hop left, beside what the same hop left then."""
        place = self.path[-1]
        sealed = self.one.run.entry(len(self.path) - 1)
        assert sealed is not None  # noqa: S101 - the recorder has just written it
        now = Left(orjson.loads(sealed.body), self._now)
        if place is None:
            self._add(len(self.path) - 1, hop, "new", [{"what": "hop", "recorded": None, "replayed": hop}], (None, now))
            return
        then = Left(self.line[place].body, self.record.held)
        if self.pool.refused:
            self._add(place, hop, "refused", [], (then, now))
            return
        cut = then.body["status"].split(":")[0] in CUT
        diff = [] if cut else list(consequences(then.body, now.body, self.record.held, self._now))
        self._add(place, hop, "differs" if diff else "same", diff[:20], (then, now))

    def _add(self, seq: int, hop: str, status: str, diff: list[dict[str, Any]], pair: Pair) -> None:
        marks = sorted(self.pool.marks, key=lambda mark: (mark["kind"], mark["from"]))
        self.found.add({"seq": seq, "node": hop, "status": status, "diff": diff, "effects": marks}, pair)

    def _rest(self) -> None:
        """Hops of then that the replay has not come to."""
        self.pool.marks = []
        for place, one in enumerate(self.line):
            if place in self.path:
                continue
            hop = one.body["hop"]
            gone = [] if self.pool.refused else [{"what": "hop", "recorded": hop, "replayed": None}]
            self._add(place, hop, "not_reached", gone, (Left(one.body, self.record.held), None))

    def _conclude(self, state: Mapping[str, Any]) -> None:
        found = self.found
        found.spent, found.refused = self.pool.spent, self.pool.refused
        if not found.refused:
            found.outcome, found.reason = state.get("outcome"), str(state.get("reason") or "")
            found.answer = str(state.get("answer") or "")
        found.notes += others(self.stage, self.one.stated, self.pool.asked)

    def _now(self, digest: str) -> Any:
        return self.one.run.value(digest, self.record.held)


def others(stage: Stage, stated: Mapping[str, str], asked: Collection[str]) -> list[str]:
    """Names the models that were `asked` live, by kind, where they are others than those of then."""
    installed = stage.installed
    ports: Mapping[str, Any] = {
        "embed": installed.embed,
        "guard": installed.guard,
        "index": installed.search,
        "judge": installed.judge,
        "rerank": installed.rerank,
        "second": installed.second,
    }
    notes = []
    for name in sorted({_PORTS.get(kind, kind) for kind in asked} & set(ports)):
        then, now = stated.get(name, ""), ports[name].version
        if then != now:
            notes.append(f"{name} was {then} then; what was asked live, {now} has answered")
    return notes


def _edits(line: Sequence[Unfolded]) -> list[str]:
    """Says so where somebody edited the state on the way: the replay goes on as if nobody had."""
    edited = next((one.body["hop"] for one in line[1:] if one.body["reads"]), None)
    return [f"the state was edited before the hop {edited}; this replay does without"] if edited else []
