"""One hop of the graph, called as LangGraph calls it; and where the graph goes from there.

LangGraph's loop is left out: a strict replay takes what it scheduled from the record, and every graph that is replayed
has one hop at a time.
"""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any
from uuid import UUID

from langchain_core.messages import messages_from_dict
from langchain_core.runnables.config import var_child_runnable_config
from langgraph.errors import GraphBubbleUp
from langgraph.graph import END
from langgraph.runtime import ExecutionInfo, Runtime

from fiel.graphs.answer.graph import Graph
from fiel.graphs.answer.reducers import merged
from fiel.infra.callers import KEY
from fiel.infra.replay.record import Record
from fiel.infra.replay.rehearse import Rehearsal

State = Mapping[str, Any]


async def call(graph: Graph, one: Rehearsal, hop: str, state: State, *, step: int, attempt: int = 1) -> State | None:
    """The update of one hop; None where it interrupts the run."""
    node: Any = graph.builder.nodes[hop]
    config, runtime = _where(one, step, attempt)
    scope = var_child_runnable_config.set(config)
    try:
        update: State = await node.runnable.afunc(dict(state), runtime=runtime, config=config)
    except GraphBubbleUp:
        return None
    finally:
        var_child_runnable_config.reset(scope)
    return update


async def following(graph: Graph, hop: str, state: State) -> str:
    """Where the graph's own branch leads."""
    for branch in graph.builder.branches.get(hop, {}).values():
        return str(await branch.path.ainvoke(dict(state)))
    return END


def folded(state: State, update: State) -> dict[str, Any]:
    """The state after a hop, as the channels of the graph fold it."""
    both = {**state, **update}
    if "messages" in update:
        both["messages"] = merged(state.get("messages") or [], update["messages"])
    return both


def values(record: Record, reads: Mapping[str, str]) -> dict[str, Any]:
    """What channels held, from their digests."""
    found = {channel: record.value(digest) for channel, digest in reads.items()}
    if "messages" in found:
        found["messages"] = [_message(one) for one in found["messages"] or ()]
    return found


def _message(plain: Mapping[str, Any]) -> Any:
    """A message from its canonical form."""
    return messages_from_dict([{"type": plain["type"], "data": dict(plain)}])[0]


def _where(one: Rehearsal, step: int, attempt: int) -> tuple[Any, Runtime[Any]]:
    row = one.record.row
    pad = SimpleNamespace(interrupt_counter=lambda: 0, resume=[], get_null_resume=lambda consume: None)
    config = {
        "run_id": UUID(row.run),
        "metadata": {"langgraph_step": step, "langgraph_checkpoint_ns": "", "langgraph_path": ()},
        "configurable": {KEY: one.record.principal, "__pregel_scratchpad": pad, "checkpoint_ns": ""},
    }
    info = ExecutionInfo("", "", "", thread_id=row.thread or None, run_id=row.run, node_attempt=attempt)
    return config, Runtime(context=one.options, execution_info=info)
