"""A thread's state, as the protocol shows it."""

from collections.abc import Mapping
from typing import Any

from langgraph.types import Interrupt, StateSnapshot

from fiel.infra.hosts.port import Json
from fiel.infra.hosts.shape import checkpoint, public


def interrupt(found: Interrupt[Any]) -> Json:
    """`{"id", "value"}`, and the schema of the answer where the graph gave one."""
    shown: Json = {"id": found.id, "value": found.value}
    if found.response_schema is not None:
        shown["response_schema"] = found.response_schema
    return shown


def interrupts(snapshot: StateSnapshot) -> dict[str, list[Json]]:
    """The interrupts that wait for an answer, by task."""
    return {task.id: [interrupt(one) for one in task.interrupts] for task in snapshot.tasks if task.interrupts}


def thread_state(snapshot: StateSnapshot) -> Json:
    """The protocol's ThreadState."""
    here, parent = checkpoint(snapshot.config), checkpoint(snapshot.parent_config)
    return {
        "values": snapshot.values,
        "next": list(snapshot.next),
        "tasks": [_task(task) for task in snapshot.tasks],
        "metadata": _metadata(snapshot.metadata),
        "created_at": snapshot.created_at,
        "checkpoint": here,
        "parent_checkpoint": parent,
        "interrupts": [interrupt(one) for one in snapshot.interrupts],
        "checkpoint_id": here["checkpoint_id"] if here else None,
        "parent_checkpoint_id": parent["checkpoint_id"] if parent else None,
    }


def _metadata(metadata: Mapping[str, Any] | None) -> Json | None:
    return None if metadata is None else public(metadata)


def _task(task: Any) -> Json:
    nested = task.state
    inner = nested if isinstance(nested, StateSnapshot) else None
    return {
        "id": task.id,
        "name": task.name,
        "path": task.path,
        "error": task.error,
        "interrupts": [interrupt(one) for one in task.interrupts],
        "checkpoint": nested["configurable"] if nested is not None and inner is None else None,
        "state": thread_state(inner) if inner is not None else None,
        "result": task.result,
    }
