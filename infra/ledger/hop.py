"""What LangGraph gives a hop and takes from it, as the recorder needs it."""

import inspect
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import asdict, is_dataclass
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.errors import NodeError

from fiel.infra.ledger.run import Where
from fiel.tools.errors import UsageError
from fiel.tools.record import Hop, Node

_CHECKPOINTER = "__pregel_checkpointer"
_DURABILITY = "__pregel_durability"
_RESUMING = "__pregel_resuming"
Call = Callable[[Hop, Node, Any, Any, RunnableConfig, Mapping[str, Any]], Coroutine[Any, Any, Any]]
"""`(hop, node, state, runtime, config, more)`: one hop; `more` is what only some nodes take."""


def worn(hop: Hop, node: Node, call: Call) -> Node:
    """`node` as LangGraph is to call it: with the arguments that it has, and through `call`."""
    if "error" in inspect.signature(node).parameters:

        async def handler(state: Any, runtime: Any, config: RunnableConfig, error: NodeError) -> Any:
            return await call(hop, node, state, runtime, config, {"error": error})

        handler.__name__ = hop.name
        return handler

    async def plain(state: Any, runtime: Any, config: RunnableConfig) -> Any:
        return await call(hop, node, state, runtime, config, {})

    plain.__name__ = hop.name
    return plain


def run_versions(own: Mapping[str, str], facts: Mapping[str, Any]) -> Mapping[str, str]:
    """Versions of code and graph, and those that the state names."""
    named = facts.get("versions")
    return {**own, **named} if named else own


def options_of(context: Any) -> Mapping[str, Any]:
    """The options of a run as plain data, for a replay; those of a foreign graph only where they are."""
    if is_dataclass(context) and not isinstance(context, type):
        return asdict(context)
    return {}


def where_of(runtime: Any, config: RunnableConfig) -> Where:
    meta = config.get("metadata") or {}
    space = meta.get("langgraph_checkpoint_ns", "").rpartition("|")[0]
    path = meta.get("langgraph_path", ())[:3]
    return Where(meta.get("langgraph_step", 0), space, path, runtime.execution_info.node_attempt)


def saves_steps(config: RunnableConfig) -> bool:
    """Whether a checkpointer saves the state after each step."""
    inner = config.get("configurable") or {}
    return bool(inner.get(_CHECKPOINTER)) and inner.get(_DURABILITY) != "exit"


def resumes(config: RunnableConfig) -> bool:
    """Whether the run goes on where another stopped, and not with what the caller gives."""
    return bool((config.get("configurable") or {}).get(_RESUMING))


def identify(entry: str, channels: Iterable[str], update: Mapping[str, Any]) -> None:
    """Messages without an id get one that follows from `entry`, `<run>:<seq>`, before LangGraph invents one."""
    for channel in channels:
        value = update.get(channel)
        for place, message in enumerate(value if isinstance(value, list) else [value]):
            if getattr(message, "id", "") is None:
                message.id = f"{entry}:{place}"


def update_of(result: Any) -> Mapping[str, Any]:
    """The channels that a node's result writes; a `Command` carries them in its `update`."""
    if type(result) is dict:
        return result
    inner = result if isinstance(result, Mapping) else getattr(result, "update", None)
    if inner is None:
        return {}
    if isinstance(inner, Mapping):
        return inner
    raise UsageError("a hop returns a mapping of channels", where=type(result).__name__)
