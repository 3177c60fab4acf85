"""A run while it is in the process: its chain so far, what is not committed yet, and the hop that is running."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from orjson import dumps

from fiel.infra.ledger.chain import START, Point, Sealed, Space, Unfolded, seal
from fiel.infra.ledger.encode import SORTED, NotRecordable, digest, encode, plain
from fiel.infra.ledger.store import Flush, RunRow
from fiel.infra.ledger.subjects import DataKey
from fiel.infra.ledger.unsealed import Unsealed
from fiel.infra.telemetry.span import HopSpan, root_of
from fiel.tools.principal import Principal
from fiel.tools.record import Entry, Hop

Facts = dict[str, Any]
Reducer = Callable[[Any, Any], Any]
"""What a channel holds and what a hop writes, to what the channel holds then."""


@dataclass(slots=True)
class Step:
    """One hop while it runs. Effects that happen inside it are appended here."""

    run: "Run"
    hop: Hop
    attempt: int
    step: int
    space: str
    path: tuple[Any, ...]
    state: Mapping[str, Any]
    reads: Mapping[str, str]
    changed: Mapping[str, str]
    gone: tuple[str, ...]
    edited: bool
    span: HopSpan
    effects: list[Facts] = field(default_factory=list)
    counts: dict[tuple[str, str], int] = field(default_factory=dict)
    shown: Mapping[str, bytes] = field(default_factory=dict)
    """Canonical JSON of what its span shows as inputs."""

    def effect(self, kind: str, request: bytes, response: bytes, facts: Facts | None = None) -> None:
        """Record that `request` was answered with `response`; both are kept by digest. `facts` stand in clear."""
        asked, answered = self.run.keep(request), self.run.keep(response)
        count = self.counts.get((kind, asked), 0)
        self.counts[kind, asked] = count + 1
        self.effects.append({"kind": kind, "request": asked, "n": count, "response": answered, **(facts or {})})

    def provisional(self) -> Entry:
        """The entry of this hop as far as it is known while the hop runs."""
        run = self.run
        return Entry(run.row.run, run.seq, self.hop.name, self.reads, {}, {}, self.edited)


CURRENT: ContextVar[Step | None] = ContextVar("fiel_hop", default=None)
"""The hop in which the present task runs."""


class _Live(Space):
    """A space with the values that reducers need to say what a list of messages becomes."""

    __slots__ = ("_folded", "_state", "_values", "_writes")

    def __init__(self, point: Point = START) -> None:
        super().__init__(point)
        self._state: Mapping[str, Any] = {}
        """What the last hop was given that sees the state; one that was sent sees none."""
        self._values: dict[str, Any] = {}
        """Each reducer's channel at the start of the step, where it is another than in that state."""
        self._folded: dict[str, Any] = {}
        """The same after what hops of the step have written so far."""
        self._writes: dict[str, list[tuple[tuple[Any, ...], Any]]] = {}

    def begin(self, step: int) -> Mapping[str, str]:
        if step != self.point.step:
            self._values |= self._folded
            self._folded, self._writes = {}, {}
        return super().begin(step)

    def given(self, state: Mapping[str, Any]) -> None:
        """A hop is given the state at the start of the step: what was folded until then is in it."""
        self._state, self._values = state, {}

    def fold(self, channel: str, step: "Step", value: Any, reducer: Reducer) -> Any:
        """The channel's value after the step, now that `step` has written `value` too; in the order of task paths."""
        writes = self._writes.setdefault(channel, [])
        writes.append((step.path, value))
        writes.sort(key=_place)
        folded = self._values.get(channel, self._state.get(channel))
        if folded is None:
            folded = 0 if isinstance(value, int | float) else []
        for _, one in writes:
            folded = reducer(folded, one)
        self._folded[channel] = folded
        return folded


class Run:
    """State of one run's record. Not shared between event loops; methods do not wait."""

    def __init__(self, row: RunRow, principal: Principal, key: DataKey, resource: tuple[tuple[str, str], ...]) -> None:
        self.row = row
        self.principal = principal
        self.options: Mapping[str, Any] = {}
        """What the caller has set for this run."""
        self.past: tuple[Entry, ...] = ()
        self.lineage: tuple[str, ...] = ()
        """Runs that this one resumes, nearest first."""
        self._facts: list[tuple[Any, ...]] = []
        self.points: list[tuple[Point, str, bytes]] = []
        """After each entry: what was left, in which space, and the entry's hash."""
        self.origin_hash = ""
        self.prev = ""
        self.edited = False
        self.active = 0
        self.touched = time.monotonic()
        self.began = 0
        self._opened: int | None = None
        """The step in which the run began."""
        self.late = False
        """A commit did not come in time; later hops do not wait again, the last one does."""
        self.over = False
        """A hop has ended the run; the subgraphs that it stands in have entries of their own afterwards."""
        self.lost = False
        """Entries of this run will never be in the ledger: nothing more of it may be released."""
        self.drafts: dict[str, bytes] = {}
        self.trace = int(row.run.replace("-", ""), 16)
        self.root = root_of(row.run)
        self.mac = key.mac
        """Key of this run's digests."""
        self._cipher = key.cipher
        self._resource = resource
        self._spaces: dict[str, _Live] = {}
        self._cache: dict[str, tuple[bytes, str]] = {}
        self._kept: set[str] = set()
        self._contents: dict[str, bytes] = {}
        self._sealed: list[Sealed] = []
        self._spans: list[HopSpan] = []
        self._owed: tuple[HopSpan, ...] = ()
        """Spans that were flushed without an entry: the next one takes their receipts along."""
        self._fresh_drafts: dict[str, bytes] = {}
        self._lasting: set[str] = set()
        self._versions: Mapping[str, str] = {}
        self._flushed = False

    @property
    def seq(self) -> int:
        """Number of the next entry."""
        return len(self._facts)

    @property
    def next_entry(self) -> str:
        """Names the next entry: run and number."""
        return f"{self.row.run}:{self.seq}"

    @property
    def entries(self) -> list[Entry]:
        """This run's own, in order."""
        return [Entry(*facts) for facts in self._facts]

    @property
    def history(self) -> list[Entry]:
        """What the runs before and this one have recorded, with the hop that the present task is in as far as it is."""
        step = CURRENT.get()
        own = (step.provisional(),) if step is not None and step.run is self else ()
        return [*self.past, *self.entries, *own]

    @property
    def was_flushed(self) -> bool:
        """Whether the store may know something of this run."""
        return self._flushed

    @property
    def unflushed(self) -> bool:
        return bool(self._sealed or self._spans or self._fresh_drafts)

    def lose(self) -> None:
        """A flush of this run was refused for good."""
        self.lost = True

    def resume(self, row: RunRow, past: Sequence[Entry], point: Point, hash: bytes, lineage: Sequence[str]) -> None:
        """Go on from what an earlier run left."""
        self.row = row
        self.past = tuple(past)
        self.lineage = tuple(lineage)
        self.edited = any(entry.edited for entry in past)
        self.origin_hash = self.prev = hash.hex()
        self._spaces[""] = _Live(point)

    def restore(self, unfolded: Sequence[Unfolded]) -> None:
        """Take back this run's own committed entries, after a restart or an eviction."""
        self._flushed = True
        for one in unfolded:
            self._spaces[one.space] = _Live(one.point)
            entry = one.entry
            writes, decision = entry.writes, entry.decision
            self._facts.append((entry.run, entry.seq, entry.hop, entry.reads, writes, decision, entry.edited))
            self.points.append((one.point, one.space, one.hash))
            self.prev = one.hash.hex()
            self.edited = self.edited or one.entry.edited
        if unfolded:
            self._opened = unfolded[0].body["step"]
            self.began = unfolded[0].body["at"] * 1000

    def keep(self, data: bytes) -> str:
        """Store content once a run; returns its digest."""
        key = digest(data, self.mac)
        if key not in self._kept:
            self._kept.add(key)
            self._contents[key] = data
        return key

    def digests(self, facts: Mapping[str, Any]) -> dict[str, str]:
        """Digest of each channel, by value. What equals the bytes seen last in its channel is not hashed again."""
        out: dict[str, str] = {}
        cache, channel = self._cache, ""
        try:
            for channel, value in facts.items():
                data = dumps(value, plain, SORTED)
                seen = cache.get(channel)
                if seen is None or seen[0] != data:
                    cache[channel] = seen = (data, self.keep(data))
                out[channel] = seen[1]
        except TypeError as error:
            raise NotRecordable(f"the value cannot be written as canonical JSON: {error}", where=channel) from error
        return out

    def canonical(self, channels: Iterable[str]) -> dict[str, bytes]:
        """The canonical JSON that `digests` has made last of these channels, as far as it has."""
        return {channel: self._cache[channel][0] for channel in channels if channel in self._cache}

    def begin(
        self, hop: Hop, state: Mapping[str, Any], reads: dict[str, str], *, where: "Where", span: HopSpan
    ) -> Step:
        """A hop begins: is what it was given what the hops before left?"""
        space = self._spaces.get(where.space)
        if space is None:
            space = self._spaces[where.space] = _Live()
            baseline = bool(where.space) or (hop.first and not self.past)
        else:
            baseline = False
        known = space.begin(where.step)
        if not hop.sent:
            space.given(state)
        changed: Mapping[str, str] = {}
        gone: tuple[str, ...] = ()
        if reads != known:
            changed = {key: value for key, value in reads.items() if known.get(key) != value}
            gone = tuple(key for key in known if key not in reads)
            if not hop.sent:
                self.edited = self.edited or not baseline
                space.resync(reads)
        if not hop.first and not where.space and where.step == self._opened and not self.past:
            self.edited = True  # somebody sent the run into the middle of its graph, beside its first hop
        if self._opened is None:
            self._opened = where.step
        self.active += 1
        if not self.began:
            self.began = span.start
        return Step(
            self,
            hop,
            where.attempt,
            where.step,
            where.space,
            where.path,
            state,
            reads,
            changed,
            gone,
            self.edited,
            span,
        )

    def end(
        self,
        step: Step,
        update: Mapping[str, Any],
        reducers: Mapping[str, Reducer],
        status: str,
        versions: Mapping[str, str],
    ) -> None:
        """A hop has ended: fold its update, write its entry."""
        space = self._spaces[step.space]
        writes = self.digests(update)
        left: dict[str, str] = {}
        for channel in reducers:
            if channel not in update:
                continue
            folded = space.fold(channel, step, update[channel], reducers[channel])
            left[channel] = self.keep(encode(folded, channel))
        point = space.end({**writes, **left} if left else writes)
        decision = {channel: update[channel] for channel in step.hop.decisions if channel in update}
        now = step.span.start
        body: Facts = {
            "v": 1,
            "tenant": self.row.tenant,
            "run": self.row.run,
            "seq": self.seq,
            "hop": step.hop.name,
            "attempt": step.attempt,
            "step": step.step,
            "reads": step.changed,
            "writes": writes,
            "decision": decision,
            "effects": sorted(step.effects, key=_order) if step.effects else [],
            "at": now // 1000,
            "us": (time.time_ns() - now) // 1000,
            "status": status,
            "edited": step.edited,
            "prev": self.prev,
        }
        if left:
            body["left"] = left
        if step.gone:
            body["gone"] = step.gone
        if step.space:
            body["space"] = step.space
        if step.hop.sent:
            body["path"] = step.path
        if versions != self._versions:
            body["versions"] = self._versions = dict(versions)
        if not self._facts:
            body["begin"] = self._beginning()
        sealed = seal(self.seq, body)
        self._facts.append((self.row.run, sealed.seq, step.hop.name, step.reads, writes, decision, step.edited))
        self.points.append((point, step.space, sealed.hash))
        self._sealed.append(sealed)
        self.prev = sealed.hash.hex()
        self.touched = time.monotonic()

    def _beginning(self) -> Facts:
        """Who asked, and what the run goes on from: part of the first entry, so that the chain covers it."""
        who = self.principal
        resumed = {"run": self.row.resumes, "seq": self.row.resumes_seq} if self.row.resumes else None
        return {
            "caller": {"id": who.id, "groups": sorted(who.groups), "roles": sorted(who.roles)},
            "thread": self.row.thread,
            "resumes": resumed,
            "options": self.keep(encode(dict(self.options), "options")),
            "started": self.row.started,
        }

    def put(self, content: bytes, *, lasting: bool = False) -> str:
        """A draft for the vault: kept for later hops, for replay, and for whoever resumes this run; a lasting one also
        for the runs that follow on its thread."""
        key = self.keep(content)
        if lasting:
            self._lasting.add(key)
        self.drafts[key] = self._fresh_drafts[key] = content
        return key

    def span_ended(self, span: HopSpan) -> None:
        self._spans.append(span)

    def flush(self, *, keep_drafts: bool) -> Flush | None:
        """Everything that is not flushed yet; None where there is nothing. Drafts of a run that ended stay
        away, but for lasting ones."""
        if not self.unflushed:
            return None
        entries, spans = tuple(self._sealed), tuple(self._spans)
        drafts = [one for one in self._fresh_drafts.items() if keep_drafts or one[0] in self._lasting]
        # Contents go with the entries that name them, and so do receipts of spans.
        contents, owed = ([*self._contents.values()], (*self._owed, *spans)) if entries else ([], ())
        unsealed = Unsealed(self.row.run, self._cipher, self.mac, contents, owed, spans, drafts, self._resource)
        size = sum([len(one.body) + 64 for one in entries]) + unsealed.size
        flush = Flush(self.row, entries, self._cipher.key.id, size, unsealed.kept)
        self._flushed = True
        if entries:
            self._contents, self._owed = {}, ()
        else:
            self._owed = (*self._owed, *spans)
        self._sealed, self._spans, self._fresh_drafts = [], [], {}
        return flush


class Where(NamedTuple):
    """Where in its graph a hop stands."""

    step: int
    space: str
    path: tuple[Any, ...]
    attempt: int


def _place(write: tuple[tuple[Any, ...], Any]) -> tuple[str, ...]:
    """Where LangGraph applies a task's writes: in the order of its path, numbers by size."""
    return tuple(f"{part:010d}" if isinstance(part, int) else str(part) for part in write[0])


def _order(effect: Facts) -> tuple[str, str, int]:
    """Effects of one hop may end in any order; the entry lists them in one."""
    return effect["kind"], effect["request"], effect["n"]
