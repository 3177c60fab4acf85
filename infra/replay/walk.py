"""Goes through the graph again: its own hops and branches, from the recorded input, until the record ends or differs.

LangGraph's loop is left out: what it schedules stands in the record, step by step, so that a run that was interrupted,
resumed or sent into its middle is walked like any other. Each next hop is what the graph's own branch says.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import orjson
from langchain_core.messages import messages_from_dict
from langchain_core.runnables.config import var_child_runnable_config
from langgraph.errors import GraphBubbleUp
from langgraph.graph import END
from langgraph.runtime import ExecutionInfo, Runtime

from fiel.graphs.answer.graph import Graph, build
from fiel.graphs.answer.reducers import merged
from fiel.graphs.services import Services
from fiel.graphs.version import code_version
from fiel.infra.callers import KEY, ConfigCallers
from fiel.infra.ledger import effects
from fiel.infra.ledger.frames import unpack
from fiel.infra.ledger.recorder import LedgerRecorder
from fiel.infra.ledger.store import MemoryStore
from fiel.infra.ledger.subjects import DataKey
from fiel.infra.replay.compare import differences, paths
from fiel.infra.replay.record import Record
from fiel.infra.replay.served import Missing, ReplayVault, Source, Then

CUT = ("cancelled", "error", "withheld")
"""Hops that were cut off from outside: nothing in the record says when, so a replay ends before them."""


@dataclass(slots=True)
class Walked:
    """What a replay found."""

    hops: list[dict[str, Any]] = field(default_factory=list)
    """`{"seq", "node", "status", "diff"}`: status `same`, `differs`, `cut` or `not_reached`."""
    first: dict[str, Any] | None = None
    """`{"hop", "what"}` of the first divergence."""
    notes: list[str] = field(default_factory=list)
    """What of then is not installed now."""
    outcome: str | None = None


class _OneKey:
    """The recorded run's key, for everybody: equal contents then have equal digests."""

    def __init__(self, key: DataKey) -> None:
        self._key = key

    async def of(self, tenant: str, subject: str) -> DataKey:
        return self._key

    async def named(self, id: str) -> DataKey:
        return self._key


async def strict(record: Record, installed: Services) -> Walked:
    """Replay `record` with every effect from it.

    Bundles, prompts, thresholds and the detection of language are those of `installed`.
    """
    walk = _Walk(record, installed)
    serving = effects.SOURCE.set(walk.source)
    try:
        await walk.through()
    finally:
        effects.SOURCE.reset(serving)
    return walk.found


class _Walk:
    """One replay."""

    def __init__(self, record: Record, installed: Services) -> None:
        self.record = record
        self.source = Source(record)
        self.found = Walked()
        self.options = record.options
        self.store = MemoryStore()
        for past in record.past:
            self.store.runs[past.row.run] = past.row
            self.store.sealed[past.row.run] = list(past.sealed)
        self.recorder = LedgerRecorder(
            self.store, record.key.cipher, ConfigCallers(), redact=lambda text: "", keys=_OneKey(record.key)
        )
        self.graph: Graph = build(self._services(installed))
        self._note(installed)

    def _services(self, installed: Services) -> Services:
        then = self.record.versions
        name = self.options.chat if self.options.chat in installed.chats else ""
        chat = Then(then.get("chat", ""), installed.chat(name))
        return Services(
            callers=ConfigCallers(),
            chats={self.options.chat: effects.RecordedChat(chat)},
            embed=effects.RecordedEmbedder(Then(then.get("embed", ""), installed.embed)),
            guard=effects.RecordedGuard(Then(then.get("guard", ""), installed.guard)),
            judge=effects.RecordedJudge(Then(then.get("judge", ""), installed.judge)),
            language=installed.language,
            policies=effects.RecordedPolicies(Then("", installed.policies)),
            recorder=self.recorder,
            rerank=effects.RecordedReranker(Then(then.get("rerank", ""), installed.rerank)),
            search=effects.RecordedSearch(Then(then.get("index", ""), installed.search)),
            vault=ReplayVault(self.recorder, self.record),
            reviews=effects.RecordedReviews(Then("", installed.reviews)),
            stated={name: then[name] for name in ("graph", "prompt") if name in then},
        )

    def _note(self, installed: Services) -> None:
        then = self.record.versions
        if then.get("graph", code_version()) != code_version():
            self.found.notes.append(f"the code was {then['graph']}, it is {code_version()} now")
        if self.options.chat not in installed.chats and self.options.chat:
            self.found.notes.append(f"the chat model {self.options.chat!r} is not installed now")

    async def through(self) -> None:
        """Hop by hop, until the first divergence."""
        entries = self.record.entries
        state = self._values(entries[0].entry.reads)
        expected: str | None = None
        for place, one in enumerate(entries):
            body = one.body
            if body["status"].split(":")[0] in CUT:
                self._rest(place, "cut")
                self.found.notes.append(f"the hop {body['hop']} was cut off then ({body['status']})")
                return
            if expected is not None and expected != body["hop"]:
                self._differs(body, [{"what": "next hop", "recorded": body["hop"], "replayed": expected}])
                self._rest(place + 1, "not_reached")
                return
            if place and body["reads"]:  # somebody edited the state
                state |= self._values(body["reads"])
            state = {name: value for name, value in state.items() if name not in body.get("gone", ())}
            update = await self._hop(body, state)
            if self.found.first is not None:
                self._rest(place + 1, "not_reached")
                return
            interrupted = body["status"] == "interrupted"
            state = _folded(state, update)
            expected = None if interrupted else await self._next(body["hop"], state)
        if expected == END:
            return
        if expected is not None:
            self.found.notes.append(f"the record ends before the hop {expected}")

    async def _hop(self, body: Mapping[str, Any], state: Mapping[str, Any]) -> Mapping[str, Any]:
        """Run one hop as then, and compare what it leaves."""
        node: Any = self.graph.builder.nodes.get(body["hop"])
        if node is None:
            what = {"what": "hop", "recorded": body["hop"], "replayed": None}
            self._differs(body, [what])
            return {}
        self.source.begin(body)
        config, runtime = self._where(body)
        scope = var_child_runnable_config.set(config)
        update: Mapping[str, Any] = {}
        try:
            update = await node.runnable.afunc(dict(state), runtime=runtime, config=config)
        except GraphBubbleUp:
            pass
        finally:
            var_child_runnable_config.reset(scope)
        self._compare(body)
        self.found.outcome = update.get("outcome") or self.found.outcome
        return update

    def _compare(self, body: Mapping[str, Any]) -> None:
        if self.source.missing:
            self._differs(body, _asked(self.source.missing[0]))
            return
        sealed = self.store.sealed.get(self.record.row.run, [])
        if len(sealed) <= body["seq"]:
            self._differs(body, [{"what": "entry", "recorded": body["hop"], "replayed": None}])
            return
        now = orjson.loads(sealed[body["seq"]].body)
        diff = differences(body, now, self.record.value, self._replayed) if _facts(now) != _facts(body) else []
        if diff:
            self._differs(body, diff)
        else:
            self.found.hops.append({"seq": body["seq"], "node": body["hop"], "status": "same", "diff": []})

    def _differs(self, body: Mapping[str, Any], diff: list[dict[str, Any]]) -> None:
        self.found.hops.append({"seq": body["seq"], "node": body["hop"], "status": "differs", "diff": diff})
        self.found.first = {"hop": body["hop"], **diff[0]}

    def _rest(self, place: int, status: str) -> None:
        for one in self.record.entries[place:]:
            self.found.hops.append({"seq": one.entry.seq, "node": one.entry.hop, "status": status, "diff": []})

    def _replayed(self, digest: str) -> Any:
        """A content of the replay, or of the record where both have it."""
        run = self.record.row.run
        for blob in self.store.contents.get(run, ()):
            for name, data in unpack(self.record.key.cipher.open("frame", run, blob.data, blob.key)):
                if name == digest:
                    return orjson.loads(data)
        return self.record.value(digest)

    def _values(self, reads: Mapping[str, str]) -> dict[str, Any]:
        values = {channel: self.record.value(digest) for channel, digest in reads.items()}
        if "messages" in values:
            values["messages"] = [_message(one) for one in values["messages"] or ()]
        return values

    def _where(self, body: Mapping[str, Any]) -> tuple[Any, Runtime[Any]]:
        row = self.record.row
        pad = SimpleNamespace(interrupt_counter=lambda: 0, resume=[], get_null_resume=lambda consume: None)
        config = {
            "run_id": UUID(row.run),
            "metadata": {"langgraph_step": body["step"], "langgraph_checkpoint_ns": "", "langgraph_path": ()},
            "configurable": {
                KEY: self.record.principal,
                "__pregel_checkpointer": True,  # the recorder then commits each hop, which is compared at once
                "__pregel_scratchpad": pad,
                "checkpoint_ns": "",
            },
        }
        info = ExecutionInfo("", "", "", thread_id=row.thread or None, run_id=row.run, node_attempt=body["attempt"])
        return config, Runtime(context=self.options, execution_info=info)

    async def _next(self, hop: str, state: Mapping[str, Any]) -> str:
        """Where the graph's own branch leads."""
        for branch in self.graph.builder.branches.get(hop, {}).values():
            return str(await branch.path.ainvoke(dict(state)))
        return END


def _folded(state: Mapping[str, Any], update: Mapping[str, Any]) -> dict[str, Any]:
    """The state after a hop, as the channels of the graph fold it."""
    folded = {**state, **update}
    if "messages" in update:
        folded["messages"] = merged(state.get("messages") or [], update["messages"])
    return folded


def _facts(body: Mapping[str, Any]) -> dict[str, Any]:
    """What must be equal: all but times, the hash of the entry before, and the place in LangGraph's loop."""
    return {name: value for name, value in body.items() if name not in ("at", "us", "prev", "step", "begin")}


def _asked(missing: Missing) -> list[dict[str, Any]]:
    """How a request differs from the nearest of its kind in the record."""
    what = f"request {missing.kind}"
    if not missing.recorded:
        return [{"what": what, "recorded": None, "replayed": missing.asked}]
    nearest = min((list(paths(one, missing.asked, what)) for one in missing.recorded), key=len)
    return [{"what": path, "recorded": then, "replayed": now} for path, then, now in nearest[:20]]


def _message(plain: Mapping[str, Any]) -> Any:
    """A message from its canonical form."""
    return messages_from_dict([{"type": plain["type"], "data": dict(plain)}])[0]
