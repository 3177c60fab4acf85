"""A counterfactual replay of any graph over ports: LangGraph runs it from where the line of its runs began to an end.

A hop stands for the hop of then that has its name and place and read the same; one that was not sent, else for the next
of them. What it asks as then is answered from the record, first by what that hop was answered. A bundle, prompts or a
chat model that are changed stand in for each that the graph asks for. Hops of then that were tried or run once more,
after a failure or a question, count by their last try: what a person has said then is said where the same is asked.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson
from langchain_core.runnables import RunnableConfig
from langgraph.errors import GraphInterrupt

from fiel.graphs.answer.options import Options
from fiel.infra.ledger.chain import Unfolded
from fiel.infra.ledger.hop import identify, where_of
from fiel.infra.ledger.run import Step
from fiel.infra.replay.beside import CUT
from fiel.infra.replay.change import Change
from fiel.infra.replay.compare import consequences
from fiel.infra.replay.part import AsRecorded, Known, parts
from fiel.infra.replay.play import Made, Play, State, attempted
from fiel.infra.replay.pool import Pool
from fiel.infra.replay.record import Record
from fiel.infra.replay.rehearse import Rehearsal, unseen
from fiel.infra.replay.spent import Spent
from fiel.infra.replay.walk import Left, Pair
from fiel.infra.replay.whatif import LONGEST, Replayed, others
from fiel.infra.telemetry.span import HopSpan
from fiel.tools.errors import UsageError
from fiel.tools.record import Hop, Node

STAND_IN = ("policy", "prompt", "chat")
"""What can be changed for any graph; other options are those of the graph's context."""


async def played_anew(record: Record, one: Made, change: Change, spent: Spent | None = None) -> Replayed:
    """Replay `record`, a run of that graph, under `change`. Raises UsageError for an option that the graph has not.

    `spent`: of many replays together, whose limits hold for all of them.
    """
    play = Anew(record, one, change, spent)
    await play.through()
    return play.found


class Anew(Play):
    """One counterfactual replay."""

    found: Replayed

    def __init__(self, record: Record, one: Made, change: Change, spent: Spent | None) -> None:
        super().__init__(record, one)
        self.change, self.stage = change, one.stage
        self.context = _context(self.context, one, change)
        self.found = Replayed(notes=self.found.notes)
        self.line = [*record.origin.entries, *record.entries]
        self.pool = Pool(record, change.again, change.live, spent=(spent or Spent.within(change)).part())
        self.pool.fill(self.line)
        self.waiting: dict[Known, list[Unfolded]] = defaultdict(list)
        self.failed: dict[Known, AsRecorded] = {}
        """Hops that failed as then: LangGraph may try them once more, and nobody did then."""

    async def through(self) -> None:
        """From the state that the first run of the line began with, to an end or to a call that is refused."""
        self.part = next(parts(self.record))
        self.part.run.options = self.context
        for one in _lasting(self.line):
            self.waiting[_known(one)].append(one)
        if edited := next((one.body["hop"] for one in self.line if one.body["edited"]), None):
            self.found.notes.append(f"the state was edited before the hop {edited}; this replay does without")
        await self._begin()
        state = await self._run({}, 2 * len(self.line) + LONGEST)
        self._rest()
        found, pool = self.found, self.pool
        found.spent, found.refused = pool.spent, pool.refused
        found.answer = "" if pool.refused else str(state.get("answer") or "")
        if pool.refused:
            found.whole = False
            found.notes.append(f"a hop asks what is not in the record ({pool.refused}: {pool.why})")
        found.notes += others(self.stage, self._rehearsal().stated, pool.asked)

    def _rehearsal(self) -> Rehearsal:
        options, versions = self.change.options, self.record.versions
        bundles, prompts = self.bundles, self.prompts
        if "policy" in options:
            bundles = _Every(self.stage.installed.policies.bundle(options["policy"]))
        if "prompt" in options:
            templates = self.stage.prompts(options["prompt"])
            prompts = lambda name: templates  # noqa: E731 - one of two functions
        return replace(
            super()._rehearsal(),
            options=Options(chat=options.get("chat", "")),
            stated={name: one for name, one in versions.items() if name != "chat" or "chat" not in options},
            source=self.pool,
            live=True,
            bundles=bundles,
            prompts=prompts,
        )

    async def call(
        self, hop: Hop, node: Node, state: Any, runtime: Any, config: RunnableConfig, more: Mapping[str, Any]
    ) -> Any:
        """One hop, beside the one of then that it stands for."""
        if self.pool.refused:
            raise GraphInterrupt
        run, where = self.part.run, where_of(runtime, config)
        facts = state if isinstance(state, Mapping) else {"state": state}
        reads = run.digests(facts)
        known = Known.of(hop.name, where.space, 0, None)
        if where.attempt > 1 and known in self.failed:
            raise self.failed[known]
        one = self._take(known, reads, sent=hop.sent)
        source = self.pool.part(one, _end(one))
        step = run.begin(hop, facts, reads, where=where, span=HopSpan(hop.name, run.trace, run.root, unseen))

        def ended(update: State, status: str) -> None:
            self.pool.close(source)
            self._ended(one, step, update, status, source)

        try:
            result = await attempted(step, source, node(state, runtime, config, **more), ended)
        except AsRecorded as error:
            self.failed[known] = error
            raise
        except Exception:
            if self.pool.refused:
                raise GraphInterrupt from None
            raise
        if self.pool.refused:  # the node has caught it
            raise GraphInterrupt
        return result

    def _take(self, known: Known, reads: Mapping[str, str], *, sent: bool) -> Unfolded | None:
        waiting = self.waiting[known]
        at = next((at for at, one in enumerate(waiting) if one.entry.reads == reads), None if sent else 0)
        return waiting.pop(at) if at is not None and at < len(waiting) else None

    def _ended(self, one: Unfolded | None, step: Step, update: State, status: str, source: Pool) -> None:
        """Write the entry of a hop, and compare it."""
        run, hop = self.part.run, step.hop.name
        identify(f"{one.entry.run}:{one.entry.seq}" if one is not None else run.next_entry, self.reducers, update)
        run.end(step, update, self.reducers, status, {})
        sealed = run.last()
        now = Left(orjson.loads(sealed.body), self._now)
        for name in ("outcome", "reason"):
            if value := now.body["decision"].get(name):
                setattr(self.found, name, str(value))
        status, diff = "refused" if source.refused else "", []
        if one is None:
            status, diff = status or "new", [{"what": "hop", "recorded": None, "replayed": hop}]
        elif not status and one.body["status"].split(":")[0] not in CUT:
            diff = list(consequences(one.body, now.body, self.record.held, self._now))[:20]
        then = Left(one.body, self.record.held) if one is not None else None
        self._add(one, sealed.seq, hop, status or ("differs" if diff else "same"), diff, source.marks, (then, now))

    def _rest(self) -> None:
        """Hops of then that the replay has not come to."""
        missed = {id(one) for waiting in self.waiting.values() for one in waiting}
        for one in self.line:
            if id(one) in missed:
                hop, seq = one.body["hop"], one.entry.seq
                diff = [] if self.pool.refused else [{"what": "hop", "recorded": hop, "replayed": None}]
                self._add(one, seq, hop, "not_reached", diff, [], (Left(one.body, self.record.held), None))

    def _add(
        self, one: Unfolded | None, seq: int, hop: str, status: str, diff: list[Any], marks: list[Any], pair: Pair
    ) -> None:
        run, seq = (one.entry.run, one.entry.seq) if one is not None else (self.part.run.row.run, seq)
        marks = sorted(marks, key=lambda mark: (mark["kind"], mark["from"]))
        self.found.add({"run": run, "seq": seq, "node": hop, "status": status, "diff": diff, "effects": marks}, pair)

    def _now(self, digest: str) -> Any:
        return self.part.run.value(digest, self.record.held)


class _Every(Mapping[str, Any]):
    """One thing under every name."""

    def __init__(self, one: Any) -> None:
        self._one = one

    def __getitem__(self, name: str) -> Any:
        return self._one

    def __iter__(self) -> Iterator[str]:
        return iter(("",))

    def __len__(self) -> int:
        return 1


def _context(kept: Mapping[str, Any], one: Made, change: Change) -> Mapping[str, Any]:
    """The options that the graph runs with. Raises UsageError."""
    known = {*kept, *one.options}
    if unknown := sorted({*change.options} - known - {*STAND_IN}):
        hint = f"There are: {', '.join(sorted(known | {*STAND_IN}))}"
        raise UsageError(f"this graph has no option {unknown[0]!r}", where="options", hint=hint)
    return {**kept, **{name: value for name, value in change.options.items() if name in known}}


def _known(one: Unfolded, path: Any = None) -> Known:
    return Known.of(one.body["hop"], one.space, 0, path)


def _end(one: Unfolded | None) -> Exception | None:
    """How a hop of then ended that left no effect of what it had asked last."""
    status, _, code = one.body["status"].partition(":") if one is not None else ("", "", "")
    if status == "error":
        return AsRecorded(code)
    return GraphInterrupt() if status == "interrupted" else None


def _lasting(line: Sequence[Unfolded]) -> Iterator[Unfolded]:
    """The entries of `line`, without those of hops that were tried once more or that another run took up."""
    later: dict[Known, int] = {}
    kept = []
    for one in reversed(line):
        known, attempt = _known(one, one.body.get("path")), one.body["attempt"]
        status, follows = one.body["status"].partition(":")[0], later.get(known)
        taken_up = status in ("interrupted", "cancelled") and follows is not None
        if not taken_up and not (status == "error" and follows == attempt + 1):
            kept.append(one)
        later[known] = attempt
    yield from reversed(kept)
