"""A strict replay of any graph over ports: LangGraph runs it again, and each hop is found in the record.

Unlike `walk`, which goes through fiel's own graph hop by hop, this leaves scheduling to LangGraph: fan-out, loops,
subgraphs and commands. A hop is known by its name, its place and what it reads. Hops that run side by side may end in
another order than then; they are compared one by one, and what they fold into at the end of their step. A hop that the
record does not have stops as if it were interrupted, so the line of runs that a run resumes is replayed part by part.
"""

import uuid
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import replace
from itertools import groupby
from typing import Any, NamedTuple

from langchain_core.messages import messages_from_dict
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.errors import GraphBubbleUp, GraphInterrupt
from langgraph.graph.message import add_messages

from fiel.graphs.answer.options import Options
from fiel.infra.callers import KEY
from fiel.infra.ledger import effects
from fiel.infra.ledger.chain import Unfolded
from fiel.infra.ledger.hop import update_of, where_of, worn
from fiel.infra.ledger.run import CURRENT, Step, Where
from fiel.infra.replay.beside import CUT, Beside
from fiel.infra.replay.graphs import Ported, Reducer, reducers_of
from fiel.infra.replay.nested import Graph
from fiel.infra.replay.part import AsRecorded, Known, Part, PartSource, parts
from fiel.infra.replay.record import Record
from fiel.infra.replay.rehearse import Rehearsal, rehearsing, unseen
from fiel.infra.replay.served import Source
from fiel.infra.replay.stage import Stage
from fiel.infra.replay.walk import Own, Walked
from fiel.infra.telemetry.span import HopSpan
from fiel.tools.canonical import CONTENT_KEY
from fiel.tools.record import Entry, Hop, Node

STEPS = 10_000
"""Steps after which LangGraph ends a replay."""
State = Mapping[str, Any]
PLAY: ContextVar["Play"] = ContextVar("fiel_play")
"""The replay that the present task is in."""


class PlayRecorder:
    """`fiel.tools.record.Recorder` of the replay that the task is in."""

    def wear(self, hop: Hop, node: Node) -> Node:
        return worn(hop, node, _played)

    async def history(self, run: str) -> Sequence[Entry]:
        return PLAY.get().part.run.history

    def run_of(self, runtime: Any, config: Any) -> str:
        return PLAY.get().part.run.row.run


async def _played(*hop: Any) -> Any:
    return await PLAY.get().call(*hop)


class Made(NamedTuple):
    """A graph over the ports of a stage."""

    version: str
    graph: Graph
    reducers: Mapping[str, Reducer]
    stage: Stage

    @property
    def options(self) -> Mapping[str, Any]:
        """What the graph's context holds, with its kinds; nothing where it says nothing."""
        return dict(getattr(self.graph.context_schema, "__annotations__", {}))


def made(ported: Ported, stage: Stage) -> Made:
    """The graph, over ports that ask the record; once a process."""
    graph = ported.compiled(replace(stage.services, recorder=PlayRecorder()))
    return Made(ported.version, graph, reducers_of(graph), stage)


async def played(record: Record, one: Made, own: Own | None = None) -> Walked:
    """Replay `record`, a run of that graph, whatever its version was; under its own bundles and prompts with `own`."""
    play = Play(record, one, own)
    await play.through()
    return play.found


class Play:
    """One replay."""

    part: Part

    def __init__(self, record: Record, one: Made, own: Own | None = None) -> None:
        self.record, self.reducers = record, one.reducers
        templates = own.prompts if own is not None else None
        self.prompts = one.stage.prompts if templates is None else lambda name: templates
        self.bundles: Mapping[str, Any] = own.bundles if own is not None else {}
        self.context = record.kept_options
        self.found = Walked()
        if record.graph != one.version:
            self.found.notes.append(f"the graph was {record.graph}, it is {one.version} now")
        self.saver = InMemorySaver()
        self.graph: Graph = one.graph.copy({"checkpointer": self.saver})

    async def through(self) -> None:
        """Every run of the line, up to the first that differs."""
        line = list(parts(self.record))
        for place, self.part in enumerate(line):
            await (self._edit() if place else self._begin())
            await self._run(None if place else {})
            Beside(self.record, self.part, self.found).compare(last=place == len(line) - 1)
            if self.found.first is not None:
                break

    async def _run(self, given: Any, steps: int = STEPS) -> Mapping[str, Any]:
        """What the state is in the end; nothing where the graph has raised."""
        config: Any = {"run_id": uuid.UUID(self.part.run.row.run), "configurable": self._thread()}
        config["recursion_limit"] = steps
        with rehearsing(self._rehearsal()):
            token = PLAY.set(self)
            try:
                return dict(await self.graph.ainvoke(given, config, context=dict(self.context) or None))
            except Exception as error:  # whatever a graph raises, its entries say how far it came
                self.found.notes.append(f"the graph raised {type(error).__name__}")
                return {}
            finally:
                PLAY.reset(token)

    def _rehearsal(self) -> Rehearsal:
        record, run = self.record, self.part.run
        return Rehearsal(
            record,
            Options(),
            Source(record),
            record.versions,
            live=False,
            run=run,
            name=record.row.run,
            prompts=self.prompts,
            bundles=self.bundles,
        )

    def _thread(self) -> dict[str, Any]:
        return {"thread_id": self.record.row.thread or self.record.row.run, KEY: self.record.principal}

    # What the graph begins with

    async def _begin(self) -> None:
        """The state of then: what hops have read that no hop before has written."""
        given: dict[str, str] = {}
        written: set[str] = set()
        own = sorted((one for one in self.part.entries if not one.space), key=_step)
        for _, step in groupby(own, _step):
            at_once = list(step)  # what one of them writes, none of the others has been given
            for one in at_once:
                if "path" not in one.body:
                    given |= {name: at for name, at in one.entry.reads.items() if name not in {*given, *written}}
            written.update(*(one.entry.writes for one in at_once))
        checkpoint = empty_checkpoint()
        await self._put(checkpoint, self._values(given))

    async def _edit(self) -> None:
        """What somebody has changed in the state before the run went on."""
        first = min((one for one in self.part.entries if not one.space), key=_step, default=None)
        if first is None or "path" in first.body or not first.body["reads"]:
            return
        self.found.notes.append(f"the state was edited before the hop {first.body['hop']}")
        found = await self.saver.aget_tuple({"configurable": {**self._thread(), "checkpoint_ns": ""}})
        if found is not None:
            await self._put(found.checkpoint, self._values(first.body["reads"]))

    async def _put(self, checkpoint: Any, values: State) -> None:
        before, following = checkpoint["channel_versions"], self.saver.get_next_version
        versions: Any = {name: following(before.get(name), None) for name in values}
        checkpoint["channel_values"] = {**checkpoint["channel_values"], **values}
        checkpoint["channel_versions"] = {**before, **versions}
        where: Any = {"configurable": {**self._thread(), "checkpoint_ns": ""}}
        await self.saver.aput(where, checkpoint, {"source": "update", "step": 0, "parents": {}}, versions)

    def _values(self, reads: Mapping[str, str]) -> dict[str, Any]:
        found = {name: self.record.value(digest) for name, digest in reads.items()}
        for name, reducer in self.reducers.items():
            if reducer is add_messages and found.get(name):
                found[name] = [messages_from_dict([{"type": one["type"], "data": dict(one)}])[0] for one in found[name]]
        return found

    # Around a hop

    async def call(
        self, hop: Hop, node: Node, state: Any, runtime: Any, config: RunnableConfig, more: Mapping[str, Any]
    ) -> Any:
        """One hop, under the number and at the place that it had."""
        part, run = self.part, self.part.run
        facts = state if isinstance(state, Mapping) else {"state": state}
        reads = run.digests(facts)
        now = where_of(runtime, config)
        known = Known.of(hop.name, now.space, now.attempt, now.path if hop.sent else None)
        one = part.take(known, reads)
        if one is None and known.attempt > 1:  # LangGraph tries once more, and nobody did then
            raise AsRecorded("exhausted")
        if one is None or one.body["status"].split(":")[0] in CUT:
            part.beyond += [hop.name] if one is None else []
            raise GraphInterrupt
        while True:
            part.place(one, now.space, now.step)
            step = run.begin(hop, facts, reads, where=_where(one), span=HopSpan(hop.name, run.trace, run.root, unseen))
            try:
                return await self._attempt(one, step, node(state, runtime, config, **more))
            except GraphBubbleUp:
                raise
            except Exception:  # it was tried again then: at once, since waiting proves nothing
                known = replace(known, attempt=known.attempt + 1)
                again = part.take(known, reads)
                if again is None:
                    raise
                one = again

    async def _attempt(self, one: Unfolded, step: Step, call: Any) -> Any:
        """Await a node's call, every effect of it from the record, and write its entry."""
        part, source, seq = self.part, PartSource(self.record, status=one.body["status"]), one.entry.seq
        source.begin(one.body)

        def ended(update: State, status: str) -> None:
            part.unserved[seq] = source.differences()
            part.end(step, seq, update, self.reducers, status)

        return await attempted(step, source, call, ended)


async def attempted(step: Step, source: effects.Source, call: Any, ended: Callable[[State, str], None]) -> Any:
    """Await a node's call, every effect of it from `source`; `ended` is told what it wrote, and how it ended."""
    entered, keyed, served = CURRENT.set(step), CONTENT_KEY.set(step.run.mac), effects.SOURCE.set(source)
    try:
        result = await call
    except GraphBubbleUp:
        ended({}, "interrupted")
        raise
    except Exception as error:
        ended({}, f"error:{getattr(error, 'code', type(error).__name__)}")
        raise
    finally:
        step.run.active -= 1
        CURRENT.reset(entered)
        CONTENT_KEY.reset(keyed)
        effects.SOURCE.reset(served)
    ended(update_of(result), "ok")
    return result


def _step(one: Unfolded) -> int:
    """The step in which the hop of an entry ran."""
    return int(one.body["step"])


def _where(one: Unfolded) -> Where:
    """Where the hop of an entry stood."""
    return Where(one.body["step"], one.space, tuple(one.body.get("path", ())), one.body["attempt"])
