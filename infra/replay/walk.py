"""A strict replay: the graph's own hops and branches, from the recorded input, until the record ends or differs.

What LangGraph schedules stands in the record, step by step, so that a run that was interrupted, resumed or sent into
its middle is walked like any other. Each next hop is what the graph's own branch says.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import orjson
from langgraph.graph import END

from fiel.graphs.version import code_version
from fiel.infra.replay.compare import differences
from fiel.infra.replay.hops import call, folded, following, values
from fiel.infra.replay.record import Record
from fiel.infra.replay.rehearse import Rehearsal, opened, rehearsing
from fiel.infra.replay.served import Source
from fiel.infra.replay.stage import Stage
from fiel.nodes.prompts import Prompts
from fiel.tools.errors import FielError

CUT = ("cancelled", "error", "withheld")
"""Hops that were cut off from outside: nothing in the record says when, so a replay ends before them."""


Pair = tuple["Left | None", "Left | None"]


@dataclass(slots=True)
class Walked:
    """What a strict replay found."""

    hops: list[dict[str, Any]] = field(default_factory=list)
    """`{"seq", "node", "status", "diff"}`: status `same`, `differs`, `cut` or `not_reached`."""
    first: dict[str, Any] | None = None
    """`{"hop", "what"}` of the first divergence."""
    notes: list[str] = field(default_factory=list)
    """What of then is not installed now."""
    outcome: str | None = None
    whole: bool = True
    """Whether the replay came to an end of the graph, or to where the run waits for somebody."""
    pairs: list[Pair] = field(default_factory=list)
    """For each of the hops, what it left then and now."""

    def add(self, hop: dict[str, Any], pair: Pair) -> None:
        """One hop more; the first that differs is the divergence."""
        self.hops.append(hop)
        self.pairs.append(pair)
        if self.first is None and hop["diff"]:
            self.first = {"hop": hop["node"], **hop["diff"][0]}


@dataclass(frozen=True, slots=True)
class Left:
    """What one hop left: its entry, and the values that it names by digest."""

    body: Mapping[str, Any]
    value: Callable[[str], Any]


@dataclass(frozen=True, slots=True)
class Own:
    """A run's own bundles, by name, and its own prompts, where it is replayed under those of then."""

    bundles: Mapping[str, Any] = field(default_factory=dict)
    prompts: Prompts | None = None


async def strict(record: Record, stage: Stage, own: Own | None = None) -> Walked:
    """Replay `record` with every effect from it.

    Thresholds and the detection of language are those that are installed, and so are bundles and prompts without `own`.
    """
    templates = own.prompts if own is not None else None
    source = Source(record)
    one = Rehearsal(
        record,
        record.options,
        source,
        record.versions,
        live=False,
        run=opened(record, record.options),
        name=record.row.run,
        prompts=stage.prompts if templates is None else lambda name: templates,
        bundles=own.bundles if own is not None else {},
    )
    walk = _Walk(stage, one, source)
    if own is None:
        walk.found.notes += _changed(record, stage)
    with rehearsing(one):
        await walk.through()
    return walk.found


def code_note(record: Record) -> list[str]:
    """Says so where the run is one of another version of the code."""
    then = record.versions.get("graph", code_version())
    return [] if then == code_version() else [f"the code was {then}, it is {code_version()} now"]


def _changed(record: Record, stage: Stage) -> list[str]:
    """Says so where the prompts or the bundle that the options name are others now."""
    then, named = record.versions, []
    with suppress(FielError):  # there is none of that name now: the replay says where that shows
        if then.get("prompt", "") not in ("", stage.prompts(record.options.prompt).version):
            named.append("the prompts are others now")
    with suppress(FielError):
        bundle = stage.installed.policies.bundle(record.options.policy)
        variant = stage.installed.policies.variant(bundle, record.options.collection, record.principal.roles)
        if then.get("policy", "") not in ("", bundle.version, variant.version):
            named.append("the policy bundle is another now")
    return [f"{one}; --then replays with those of then" for one in named]


class _Walk:
    """One replay."""

    def __init__(self, stage: Stage, one: Rehearsal, source: Source) -> None:
        self.stage, self.one, self.source = stage, one, source
        self.record = one.record
        self.found = Walked(notes=code_note(one.record))
        if one.options.chat and one.options.chat not in stage.installed.chats:
            self.found.notes.append(f"the chat model {one.options.chat!r} is not installed now")

    async def through(self) -> None:
        """Hop by hop, until the first divergence."""
        entries = self.record.entries
        state = values(self.record, entries[0].entry.reads)
        expected: str | None = None
        for place, unfolded in enumerate(entries):
            body = unfolded.body
            if body["status"].split(":")[0] in CUT:
                self._rest(place, "cut")
                self.found.notes.append(f"the hop {body['hop']} was cut off then ({body['status']})")
                self.found.whole = False
                return
            if expected is not None and expected != body["hop"]:
                self._differs(body, [{"what": "next hop", "recorded": body["hop"], "replayed": expected}])
                self._rest(place + 1, "not_reached")
                return
            if place and body["reads"]:  # somebody edited the state
                state |= values(self.record, body["reads"])
            state = {name: value for name, value in state.items() if name not in body.get("gone", ())}
            update = await self._hop(body, state)
            if self.found.first is not None:
                self._rest(place + 1, "not_reached")
                return
            state = folded(state, update)
            interrupted = body["status"] == "interrupted"
            expected = None if interrupted else await following(self.stage.graph, body["hop"], state)
        if expected not in (None, END):
            self.found.notes.append(f"the record ends before the hop {expected}")
            self.found.whole = False

    async def _hop(self, body: Mapping[str, Any], state: Mapping[str, Any]) -> Mapping[str, Any]:
        """Run one hop as then, and compare what it leaves."""
        if body["hop"] not in self.stage.graph.builder.nodes:
            self._differs(body, [{"what": "hop", "recorded": body["hop"], "replayed": None}])
            return {}
        self.source.begin(body)
        graph, hop = self.stage.graph, body["hop"]
        update = await call(graph, self.one, hop, state, step=body["step"], attempt=body["attempt"])
        self._compare(body)
        update = update or {}
        self.found.outcome = update.get("outcome") or self.found.outcome
        return update

    def _compare(self, body: Mapping[str, Any]) -> None:
        sealed = self.one.run.entry(body["seq"])
        now = Left(orjson.loads(sealed.body), self._replayed) if sealed is not None else None
        if unserved := self.source.differences():
            self._differs(body, unserved, now)
        elif now is None:
            self._differs(body, [{"what": "entry", "recorded": body["hop"], "replayed": None}])
        elif _facts(now.body) != _facts(body):
            self._differs(body, differences(body, now.body, self.record.value, self._replayed), now)
        else:
            self._add(body, "same", [], now)

    def _differs(self, body: Mapping[str, Any], diff: list[dict[str, Any]], now: Left | None = None) -> None:
        self._add(body, "differs" if diff else "same", diff, now)

    def _add(self, body: Mapping[str, Any], status: str, diff: list[dict[str, Any]], now: Left | None = None) -> None:
        hop = {"seq": body["seq"], "node": body["hop"], "status": status, "diff": diff}
        self.found.add(hop, (Left(body, self.record.value), now))

    def _rest(self, place: int, status: str) -> None:
        for one in self.record.entries[place:]:
            self._add(one.body, status, [])

    def _replayed(self, digest: str) -> Any:
        """A content of the replay, or of the record where both have it."""
        return self.one.run.value(digest, self.record.value)


def _facts(body: Mapping[str, Any]) -> dict[str, Any]:
    """What must be equal: all but times, the hash of the entry before, and the place in LangGraph's loop."""
    return {name: value for name, value in body.items() if name not in ("at", "us", "prev", "step", "begin")}
