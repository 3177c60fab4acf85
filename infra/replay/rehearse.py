"""A recorder for replays: it wears hops as the ledger's recorder does, and their entries stay in the process.

The entries are made by the same `Run`, so they are the same bytes. There are no spans, no commits and no keys of its
own: digests and contents are those of the recorded run's key. One graph serves all replays; which one a task is in
stands in `HERE`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from typing import Any

import orjson
from langchain_core.runnables import RunnableConfig
from langgraph.errors import GraphBubbleUp
from langgraph.graph.message import add_messages

from fiel.graphs.answer.options import Options
from fiel.infra.ledger import effects
from fiel.infra.ledger.chain import Sealed
from fiel.infra.ledger.hop import identify, run_versions, update_of, worn
from fiel.infra.ledger.run import CURRENT, Run, Where
from fiel.infra.replay.record import Record
from fiel.infra.telemetry.span import HopSpan
from fiel.tools.canonical import CONTENT_KEY, canonical
from fiel.tools.record import Entry, Hop, Node

REDUCERS: Mapping[str, Callable[[Any, Any], Any]] = {"messages": add_messages}
"""Those of the ledger's recorder."""


class Rehearsed(Run):
    """A run whose entries and contents stay where they are."""

    def entry(self, seq: int) -> Sealed | None:
        """The entry of that number, if there is one yet."""
        return self._sealed[seq] if seq < len(self._sealed) else None

    def value(self, digest: str, then: Callable[[str], Any]) -> Any:
        """The content kept under a digest in this replay, decoded; where none was kept, what `then` gives for it."""
        data = self._contents.get(digest)
        return then(digest) if data is None else orjson.loads(data)


@dataclass(slots=True)
class Rehearsal:
    """One replay while it runs."""

    record: Record
    options: Options
    """Those that the graph runs with."""
    source: effects.Source
    stated: Mapping[str, str]
    """Versions of models and of the index by port, as the replay states them; else those installed."""
    live: bool
    """Whether a port may be asked for what the record does not hold."""
    run: Rehearsed
    name: str
    """Id of the run as its hops know it: those of a run that others resume had another."""
    prompts: Callable[[str], Any]
    bundles: Mapping[str, Any]
    """Bundles that stand in for those installed, by name."""


HERE: ContextVar[Rehearsal] = ContextVar("fiel_rehearsal")
"""The replay that the present task is in."""


def opened(record: Record, options: Options) -> Rehearsed:
    """The run of `record` as it stood before its first entry."""
    run = Rehearsed(record.row, record.principal, record.key, ())
    run.options = asdict(options)
    origin = record.origin
    if origin.entries:
        past = [one.entry for one in origin.entries]
        run.resume(record.row, past, origin.point, origin.hash, origin.lineage)
    return run


@contextmanager
def rehearsing(one: Rehearsal) -> Iterator[None]:
    """What runs inside belongs to this replay."""
    here, source = HERE.set(one), effects.SOURCE.set(one.source)
    try:
        yield
    finally:
        effects.SOURCE.reset(source)
        HERE.reset(here)


class RehearsalRecorder:
    """`fiel.tools.record.Recorder` of the replay that the task is in."""

    def wear(self, hop: Hop, node: Node) -> Node:
        return worn(hop, node, _call)

    async def history(self, run: str) -> Sequence[Entry]:
        return HERE.get().run.history

    def run_of(self, runtime: Any, config: Any) -> str:
        return HERE.get().name


class RehearsalVault:
    """Drafts of the replay in the process, those of the runs that it resumes from the record."""

    async def put(self, run: str, content: dict[str, Any], *, lasting: bool = False) -> str:
        return HERE.get().run.put(canonical(content))

    async def get(self, run: str, digest: str) -> dict[str, Any] | None:
        here = HERE.get()
        data = here.run.drafts.get(digest) or here.record.contents.get(digest)
        found: dict[str, Any] | None = orjson.loads(data) if data is not None else None
        return found


async def _call(
    hop: Hop, node: Node, state: Mapping[str, Any], runtime: Any, config: RunnableConfig, more: Mapping[str, Any]
) -> Any:
    """One hop, as `LedgerRecorder` records it."""
    run, meta = HERE.get().run, config["metadata"]
    where = Where(meta["langgraph_step"], "", (), runtime.execution_info.node_attempt)
    span = HopSpan(hop.name, run.trace, run.root, unseen)
    step = run.begin(hop, state, run.digests(state), where=where, span=span)
    entered, keyed = CURRENT.set(step), CONTENT_KEY.set(run.mac)
    try:
        result = await node(state, runtime, config, **more)
    except GraphBubbleUp:
        run.end(step, {}, {}, "interrupted", run_versions({}, state))
        raise
    finally:
        run.active -= 1
        CURRENT.reset(entered)
        CONTENT_KEY.reset(keyed)
    update = update_of(result)
    identify(run.next_entry, REDUCERS, update)
    run.end(step, update, REDUCERS, "ok", run_versions({}, update if "versions" in update else state))
    return result


def unseen(span: HopSpan) -> None:
    """A replay ships no spans."""
