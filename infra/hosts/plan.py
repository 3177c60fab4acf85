"""From an order to what LangGraph is called with: config, input or command, context. All that is wrong is said here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from langgraph.constants import END
from langgraph.pregel import Pregel
from langgraph.types import Command, Send
from pydantic import BaseModel, ValidationError

from fiel.infra.hosts.port import MODES, PROTOCOL, BadOrder, RunOrder, ThreadRef, check_config
from fiel.infra.ledger.attempts import attempt_id

Graph = Pregel[Any, Any, Any, Any]

STEPS = 10_007
"""Steps of a run whose client names no limit: LangGraph's own default. LangChain's events alone would take 25."""
_COMMANDS = frozenset({"resume", "update", "goto"})


@dataclass(frozen=True, slots=True)
class Plan:
    """What a compiled graph is streamed with."""

    input: Any
    config: dict[str, Any]
    context: Any


def plan(graph: Graph, order: RunOrder, more: Mapping[str, Any]) -> Plan:
    """The order, checked. `more` goes into `configurable` beside what the client set. Raises BadOrder."""
    check_modes(order.stream_modes)
    check_config(order.config)
    _known_nodes(graph, order.interrupt_before, "interrupt_before")
    _known_nodes(graph, order.interrupt_after, "interrupt_after")
    if order.command and order.input is not None:
        raise BadOrder("a run takes an input or a command, not both", where="command")
    configurable = dict(order.config.get("configurable") or {})
    context = context_of(graph, configurable, order.context)
    given = command(order.command) if order.command else order.input
    if order.command:
        targets = [one.node if isinstance(one, Send) else one for one in _targets(order.command)]
        _known_nodes(graph, [one for one in targets if one != END], "command.goto")
    return Plan(given, _config(order, configurable, more), context)


def check_modes(modes: Sequence[str]) -> None:
    """Raises BadOrder for a mode that does not exist."""
    for mode in modes:
        if mode not in MODES and mode != PROTOCOL:
            raise BadOrder(f"there is no stream mode {mode!r}", where="stream_mode", hint=f"Modes: {', '.join(MODES)}")


def _known_nodes(graph: Graph, nodes: Any, where: str) -> None:
    if nodes is None or nodes == "*":
        return
    if isinstance(nodes, str) or not all(isinstance(node, str) for node in nodes):
        raise BadOrder("nodes are a list of names, or '*'", where=where)
    for node in nodes:
        if node not in graph.nodes:
            raise BadOrder(f"the graph has no node {node!r}", where=where)


def _config(order: RunOrder, configurable: dict[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    metadata = {
        **(order.config.get("metadata") or {}),
        **order.metadata,
        "run_id": order.run_id,
        "graph_id": order.graph_id,
        # What LangGraph and tracers show of the thread is its public name.
        "thread_id": order.thread.public_id,
        "run_attempt": order.attempt,
    }
    config: dict[str, Any] = {
        # A later attempt is another trace of the same run, whose id follows from the run's.
        "run_id": attempt_id(order.run_id, order.attempt),
        "metadata": metadata,
        "configurable": {**configurable, **more, **place(order.thread, order.checkpoint)},
        "recursion_limit": STEPS,
    }
    if order.config.get("tags"):
        config["tags"] = list(order.config["tags"])
    if (limit := order.config.get("recursion_limit")) is not None:
        if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
            raise BadOrder("recursion_limit must be a whole number above 0", where="config.recursion_limit")
        config["recursion_limit"] = limit
    return config


def place(thread: ThreadRef, checkpoint: Mapping[str, Any] | None) -> dict[str, Any]:
    """Where in the checkpointer: the thread, and the checkpoint where one is named. Raises BadOrder."""
    found: dict[str, Any] = {"thread_id": thread.checkpoint_thread, "checkpoint_ns": ""}
    for key, value in (checkpoint or {}).items():
        if key == "thread_id" or value is None:
            continue  # the thread is the one in the address; clients echo it here
        if key not in ("checkpoint_id", "checkpoint_ns", "checkpoint_map"):
            raise BadOrder(f"a checkpoint has no {key!r}", where=f"checkpoint.{key}")
        if not isinstance(value, Mapping if key == "checkpoint_map" else str):
            raise BadOrder("this part of a checkpoint has another type", where=f"checkpoint.{key}")
        found[key] = value
    return found


def command(given: Mapping[str, Any]) -> Command[Any]:
    """LangGraph's command. Raises BadOrder for what the protocol does not know, and for one that says nothing."""
    for key, value in given.items():
        if key not in _COMMANDS and value is not None:
            raise BadOrder(f"a command has no {key!r}", where=f"command.{key}")
    made: Command[Any] = Command(update=_pairs(given.get("update")), goto=_targets(given), resume=given.get("resume"))
    if made.resume is None and not made.goto and not made.update:
        raise BadOrder("the command has no resume, no update and no goto", where="command")
    return made


def _targets(given: Mapping[str, Any]) -> list[str | Send]:
    goto = given.get("goto")
    return [_target(one) for one in ([] if not goto else goto if isinstance(goto, list | tuple) else [goto])]


def _pairs(update: Any) -> Any:
    """JSON has no tuples: an update given as a list of pairs becomes one again."""
    if isinstance(update, list) and update and all(_is_pair(one) for one in update):
        return [(name, value) for name, value in update]
    return update


def _is_pair(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) == 2 and isinstance(value[0], str)


def _target(given: Any) -> str | Send:
    if isinstance(given, str):
        return given
    if isinstance(given, Mapping) and isinstance(given.get("node"), str):
        return Send(given["node"], given["input"] if "input" in given else given.get("arg"))
    raise BadOrder("a target is the name of a node, or {node, input}", where="command.goto")


def context_of(graph: Graph, configurable: dict[str, Any], context: Mapping[str, Any] | None) -> Any:
    """The run's context as the graph declares it.

    Clients of before contexts put the same values into `configurable`, and graphs of before read them there: each
    is filled from the other, the context winning. An assistant keeps both alike: what a graph's function reads in
    `configurable` may stand in its context without being an option. Raises BadOrder for a key that is in neither.
    """
    schema = graph.context_schema
    if context is not None and not isinstance(context, Mapping):
        raise BadOrder("a context is an object", where="context")
    given = dict(context or {})
    if schema is None:
        configurable.update(given)
        return given or None
    known = _names(schema)
    if known is not None:
        mirrored = {name for name in given.keys() - known if name in configurable and configurable[name] == given[name]}
        given = {name: value for name, value in given.items() if name not in mirrored}
    if unknown := sorted(name for name in given if known is not None and name not in known):
        raise BadOrder(f"the graph has no option {unknown[0]!r}", where=f"context.{unknown[0]}")
    if known is not None:
        given = {name: value for name, value in configurable.items() if name in known} | given
    for name, value in given.items():
        configurable[name] = value
    try:
        return schema(**given) if is_dataclass(schema) or issubclass(schema, BaseModel) else given
    except (TypeError, ValueError, ValidationError) as error:
        if not given:
            return None  # the graph runs without a context, as it does where nobody serves it
        raise BadOrder(f"the context does not fit: {type(error).__name__}", where="context") from error


def _names(schema: type[Any]) -> frozenset[str] | None:
    """Keys of a context's schema; None where any may stand."""
    if is_dataclass(schema):
        return frozenset(one.name for one in fields(schema))
    if issubclass(schema, BaseModel):
        return None if schema.model_config.get("extra") == "allow" else frozenset(schema.model_fields)
    declared = getattr(schema, "__annotations__", None)
    return frozenset(declared) if declared is not None else None
