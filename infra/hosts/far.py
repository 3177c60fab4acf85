"""Orders, queries, updates and errors on their way to a child process and back."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fiel.infra.hosts.port import (
    BadOrder,
    EditRefused,
    GraphBroken,
    GraphFailed,
    Json,
    RunOrder,
    StateQuery,
    ThreadRef,
    UnknownCheckpoint,
    UnknownGraph,
    Update,
)
from fiel.infra.ledger.keys import KeyUnavailable
from fiel.tools.errors import DatabaseUnavailable, FielError
from fiel.tools.principal import Principal

_ERRORS: dict[str, type[FielError]] = {
    kind.code: kind
    for kind in (
        BadOrder,
        DatabaseUnavailable,
        EditRefused,
        GraphBroken,
        KeyUnavailable,
        UnknownCheckpoint,
        UnknownGraph,
    )
}
_ORDER = (
    *("graph_id", "run_id", "input", "command", "config", "context", "metadata", "stream_modes", "subgraphs"),
    *("interrupt_before", "interrupt_after", "checkpoint", "durability", "attempt", "goes_on", "marks"),
)
_NOBODY = Principal("", "")


@dataclass(frozen=True, slots=True)
class FarCaller:
    """The caller as a child process knows them: what the graph may know, and no rights."""

    user: Mapping[str, Any] = field(default_factory=dict)
    principal: Principal = _NOBODY


def order_out(order: RunOrder) -> Json:
    """An order as JSON."""
    given = {name: getattr(order, name) for name in _ORDER}
    return {**given, "thread": _thread_out(order.thread), "user": dict(order.caller.user)}


def order_in(given: Json) -> RunOrder:
    """An order from JSON."""
    fields = {name: given[name] for name in _ORDER}
    return RunOrder(**fields, thread=ThreadRef(*given["thread"]), caller=FarCaller(given["user"]))


def query_out(query: StateQuery) -> Json:
    """A query as JSON."""
    return {
        "graph_id": query.graph_id,
        "thread": _thread_out(query.thread),
        "user": dict(query.caller.user),
        "checkpoint": query.checkpoint,
        "config": query.config,
    }


def query_in(given: Json) -> StateQuery:
    """A query from JSON."""
    caller = FarCaller(given["user"])
    return StateQuery(given["graph_id"], ThreadRef(*given["thread"]), caller, given["checkpoint"], given["config"])


def _thread_out(thread: ThreadRef) -> list[str]:
    return [thread.public_id, thread.checkpoint_thread]


def update_out(update: Update) -> list[Any]:
    """An update as JSON."""
    return [update.values, update.as_node, update.command, update.task_id]


def update_in(given: list[Any]) -> Update:
    """An update from JSON."""
    return Update(*given)


def error_out(error: Exception) -> Json:
    """An error as JSON; what is not fiel's own broke the graph."""
    if isinstance(error, GraphFailed):
        return {"code": error.code, "what": error.what, "error": error.error}
    if isinstance(error, FielError):
        return error.public()
    return {"code": GraphFailed.code, "what": str(error), "error": type(error).__name__}


def error_in(given: Json) -> FielError:
    """An error from JSON."""
    kind = _ERRORS.get(given["code"])
    if kind is None:
        return GraphFailed(given["what"], error=given.get("error", "GraphFailed"))
    return kind(given["what"], where=given["where"], hint=given["hint"])
