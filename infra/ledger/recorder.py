"""The recorder: wears each hop, so that it is traced and recorded, and proves afterwards what happened.

Nothing of this is woven into nodes. A terminal hop's entries are committed before its update becomes visible; with a
checkpointer that saves each step, every hop's are, so that a resumed run has its past.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast
from uuid import UUID

from langchain_core.runnables import RunnableConfig
from langgraph.errors import GraphBubbleUp
from langgraph.graph.message import add_messages
from opentelemetry import context as otel
from opentelemetry.trace import get_current_span, set_span_in_context

from fiel.infra.ledger.hop import identify, options_of, resumes, run_versions, saves_steps, update_of, where_of, worn
from fiel.infra.ledger.keys import Cipher
from fiel.infra.ledger.live import Live
from fiel.infra.ledger.past import Past
from fiel.infra.ledger.run import CURRENT, Run, Step
from fiel.infra.ledger.store import Flush, RunRow, Store
from fiel.infra.ledger.subjects import Keys, OneKey
from fiel.infra.ledger.writer import RecordLate, RecordUnavailable, Writer
from fiel.infra.telemetry.show import Shown
from fiel.infra.telemetry.span import HopSpan
from fiel.tools.canonical import CONTENT_KEY
from fiel.tools.errors import FielError, Unavailable, UsageError
from fiel.tools.principal import Principal
from fiel.tools.record import Callers, Entry, Hop, Node

_LOG = logging.getLogger("fiel.ledger")
TIMED = 256
"""Runs whose timings are remembered."""

Withheld = Callable[[str, Mapping[str, Any]], Mapping[str, Any]]
"""`(run, state) -> update`: what the graph says where the record cannot be committed."""


def nothing(run: str, state: Mapping[str, Any]) -> Mapping[str, Any]:
    """The barest replacement: the outcome and its reason, no words."""
    return {"outcome": "unavailable", "reason": "record_unavailable", "answer": "", "citations": []}


class LedgerRecorder:
    """`fiel.tools.record.Recorder` over a ledger store.

    `redact` masks what must not stand in spans and must be pure (equal texts, equal results); `versions` are those of
    code and graph, joined by the state's channel of that name; `withheld` gives the update that replaces an answer
    which could not be recorded. `keys` gives each caller's data key; without it `cipher` is the key of all.
    """

    def __init__(
        self,
        store: Store,
        cipher: Cipher,
        callers: Callers,
        *,
        redact: Callable[[str], str],
        withheld: Withheld = nothing,
        versions: Mapping[str, str] | None = None,
        reducers: Mapping[str, Callable[[Any, Any], Any]] | None = None,
        keys: Keys | None = None,
        patience: float = 10.0,
        idle: float = 5.0,
        evict: float = 600.0,
    ) -> None:
        self.store = store
        self.writer = Writer(store, patience=patience)
        self.cipher = cipher
        self.keys: Keys = OneKey(cipher) if keys is None else keys
        self._callers = callers
        self._withheld = withheld
        self._versions = dict(versions or {})
        self._reducers = {"messages": add_messages} if reducers is None else dict(reducers)
        self._shown = Shown(redact)
        self._live = Live(self._give_up, idle=idle, evict=evict)
        self._opening: dict[str, asyncio.Lock] = {}
        self._past = Past(store, self._live.runs)
        self._resource = (("service.name", "fiel"), *sorted(self._versions.items()))
        self._times: OrderedDict[str, dict[str, float]] = OrderedDict()

    # The port

    def wear(self, hop: Hop, node: Node) -> Node:
        return worn(hop, node, self._call)

    async def history(self, run: str) -> Sequence[Entry]:
        live = self._live.runs.get(run)
        if live is None:
            return await self._past.history(run)
        return live.history

    def run_of(self, runtime: Any, config: Any) -> str:
        info = getattr(runtime, "execution_info", None)
        run = (info.run_id if info is not None else None) or config.get("run_id")
        run = run or (config.get("configurable") or {}).get("run_id")  # LangGraph gives a subgraph nothing else
        if run is None:
            raise UsageError("a run needs an id", where="config", hint='Pass config={"run_id": uuid.uuid4()}')
        text = str(run)
        if text in self._live.runs:
            return text
        try:
            return str(UUID(text))
        except ValueError as error:
            raise UsageError("a run's id must be a UUID", where="config.run_id") from error

    # Around a hop

    async def _call(
        self, hop: Hop, node: Node, state: Any, runtime: Any, config: RunnableConfig, more: Mapping[str, Any]
    ) -> Any:
        start = time.time_ns()
        facts = state if type(state) is dict or isinstance(state, Mapping) else {"state": state}
        try:
            run = await self._enter(hop, facts, runtime, config)
        except Unavailable as error:
            if not hop.terminal:
                raise
            _LOG.error("a run cannot be recorded and is withheld: %s", error)
            return self._withheld(self.run_of(runtime, config), facts)
        step = self._begin(run, hop, facts, runtime, config, start)
        attached = otel.attach(set_span_in_context(step.span))
        entered, keyed = CURRENT.set(step), CONTENT_KEY.set(run.mac)
        try:
            result = await node(state, runtime, config, **more)
        except GraphBubbleUp:
            self._failed(step, "interrupted", "")
            await self._save(run)
            raise
        except asyncio.CancelledError:
            self._failed(step, "cancelled", "cancelled")
            self._close(run, "unavailable", "cancelled")
            self._send(run)
            raise
        except Exception as error:
            self._failed(step, "error", str(getattr(error, "code", type(error).__name__)))
            self._send(run)
            raise
        finally:
            run.active -= 1
            CURRENT.reset(entered)
            CONTENT_KEY.reset(keyed)
            otel.detach(attached)
        self._timed(run.row.run, hop.name, start)
        return await self._ended(step, result, config)

    def _timed(self, run: str, hop: str, start: int) -> None:
        """Remember how long a hop took, for the newest runs."""
        times = self._times.setdefault(run, {})
        times[hop] = times.get(hop, 0.0) + (time.time_ns() - start) / 1e6
        while len(self._times) > TIMED:
            self._times.popitem(last=False)

    def timings(self, run: str) -> Mapping[str, float]:
        """Milliseconds that each hop of a run took in this process, attempts summed; empty for an old run."""
        return dict(self._times.get(run, {}))

    def _begin(
        self, run: Run, hop: Hop, state: Mapping[str, Any], runtime: Any, config: RunnableConfig, start: int
    ) -> Step:
        above = get_current_span().get_span_context()
        parent = above.span_id if above.trace_id == run.trace else run.root
        span = HopSpan(hop.name, run.trace, parent, run.span_ended, start=start)
        step = run.begin(hop, state, run.digests(state), where=where_of(runtime, config), span=span)
        step.shown = run.canonical(hop.shown_in)
        return step

    async def _ended(self, step: Step, result: Any, config: RunnableConfig) -> Any:
        run, hop = step.run, step.hop
        update = update_of(result)
        identify(run.next_entry, self._reducers, update)
        run.end(step, update, self._reducers, "ok", self._versions_of(step, update))
        outcome = update.get("outcome") if hop.terminal else None
        self._shown.end(step, update)
        if outcome is None and hop.terminal and "answer" in update:
            return await self._release(step, result, update, ends=False)
        if outcome is None and run.over:  # inside this hop, a subgraph, another one has ended the run
            return await self._release(step, result, update, ends=True)
        if outcome is None:
            if saves_steps(config):
                await self._save(run)
            return result
        return await self._release(step, result, update, ends=True)

    async def _release(self, step: Step, result: Any, update: Mapping[str, Any], *, ends: bool) -> Any:
        """The run ends, or shows a part of its answer: commit everything, and only then let the update through."""
        run = step.run
        if ends and not run.over:
            self._shown.root(run, {**step.state, **update}, self._versions_of(step, update))
            run.over = True
        flush = run.flush(keep_drafts=not ends)
        assert flush is not None  # noqa: S101 - the entry of this hop is in it
        try:
            await self._commit_all(run, flush)
        except FielError as error:
            _LOG.error("run %s cannot be recorded and is withheld: %s", run.row.run, error)
            return self._withhold(step, queued=isinstance(error, RecordLate))
        finally:
            if ends and not run.active:
                self._live.runs.pop(run.row.run, None)
        return result

    async def _commit_all(self, run: Run, flush: Flush) -> None:
        """Commit the last entries, where those before them stand. Raises RecordUnavailable for a record with a hole."""
        if not run.lost:
            await self.writer.commit(flush, run.lose)
        if run.lost:
            raise RecordUnavailable("entries of this run could not be written", where=f"run {run.row.run}")

    def _withhold(self, step: Step, *, queued: bool) -> Mapping[str, Any]:
        """Replace the update. Where the run's entries still wait, one more says so, and the spans lose their text."""
        run = step.run
        update = self._withheld(run.row.run, step.state)
        if not queued:
            return update
        hop = replace(step.hop, name="withheld", decisions=("outcome", "reason"), shown_in=(), shown_out=())
        after = replace(step, hop=hop, changed={}, gone=(), effects=[], span=step.span)
        run.end(after, update, {}, "withheld", run_versions(self._versions, step.state))
        self._shown.withhold(step, run, "record_unavailable")
        if (flush := run.flush(keep_drafts=False)) is not None:
            self.writer.submit(flush, run.lose)
        return update

    def _failed(self, step: Step, status: str, code: str) -> None:
        step.run.end(step, {}, {}, status if not code else f"{status}:{code}", self._versions_of(step, {}))
        self._shown.failed(step, status, code)

    def _close(self, run: Run, outcome: str, reason: str) -> None:
        self._shown.root(run, {"outcome": outcome, "reason": reason}, self._versions)

    def _versions_of(self, step: Step, update: Mapping[str, Any]) -> Mapping[str, str]:
        return run_versions(self._versions, update if "versions" in update else step.state)

    # Opening and saving

    async def _enter(self, hop: Hop, state: Mapping[str, Any], runtime: Any, config: RunnableConfig) -> Run:
        run_id = self.run_of(runtime, config)
        if (run := self._live.runs.get(run_id)) is not None:
            self._same(run, runtime, config)
            return run
        lock = self._opening.setdefault(run_id, asyncio.Lock())
        try:
            async with lock:
                run = self._live.runs.get(run_id)
                if run is None:
                    run = await self._open(run_id, hop, state, runtime, config)
                    self._live.add(run)
                else:
                    self._same(run, runtime, config)
        finally:
            self._opening.pop(run_id, None)
        return run

    def _same(self, run: Run, runtime: Any, config: RunnableConfig) -> None:
        """Raises UsageError where a run's id is used by another caller or for another thread while it is under way."""
        who, thread = self._callers.principal(config), runtime.execution_info.thread_id or ""
        if (who.tenant, who.id, str(thread)) != (run.principal.tenant, run.principal.id, run.row.thread):
            raise UsageError("this run's id is in use", where="config.run_id", hint="Give each run an id of its own")

    async def _open(self, run_id: str, hop: Hop, state: Mapping[str, Any], runtime: Any, config: RunnableConfig) -> Run:
        principal = cast("Principal", self._callers.principal(config))
        thread = runtime.execution_info.thread_id or ""
        row = RunRow(run_id, principal.tenant, str(thread), principal.id, None, None, time.time_ns() // 1000)
        options = options_of(runtime.context)
        key = await self.keys.of(principal.tenant, principal.id, str(options.get("collection", "")))
        run = Run(row, principal, key, self._resource)
        run.options = options
        if not hop.first or resumes(config):
            where = where_of(runtime, config)
            await self._past.attach(run, run.digests(state), where.step)
        return run

    async def _save(self, run: Run) -> None:
        """Commit what there is, so that whoever resumes the run finds its past."""
        flush = run.flush(keep_drafts=True)
        if flush is None or run.lost:  # entries after a hole prove nothing
            return
        if run.late:
            self.writer.submit(flush, run.lose)
            return
        try:
            await self.writer.commit(flush, run.lose)
        except FielError as error:
            run.late = True
            _LOG.warning("run %s is not recorded yet: %s", run.row.run, error)

    def _send(self, run: Run) -> None:
        """Commit in the background what there is."""
        if (flush := run.flush(keep_drafts=True)) is not None and not run.lost:
            self.writer.submit(flush, run.lose)

    def _give_up(self, run: Run) -> None:
        """Flush what a run has left that did not reach its end."""
        if run.unflushed:
            if not run.over:
                self._close(run, "unavailable", "unfinished")
            self._send(run)

    async def close(self, timeout: float = 10.0) -> bool:
        """Flush everything and stop; False where something could not be written in time."""
        self._live.close()
        return await self.writer.close(timeout)

    # For the vault

    def live(self, run: str) -> Run | None:
        """The run, while it is in this process."""
        return self._live.runs.get(run)

    async def lineage(self, run: str) -> Sequence[str]:
        """`run` and those that it resumes, nearest first."""
        live = self._live.runs.get(run)
        if live is not None:
            return (run, *live.lineage)
        return await self._past.lineage(run)
