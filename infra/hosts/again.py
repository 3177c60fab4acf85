"""A run that goes on where a process died: what LangGraph would do then as if a client had asked it to go on."""

from collections import Counter
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from fiel.infra.hosts.parts import Part, meant
from fiel.infra.hosts.plan import Graph
from fiel.infra.hosts.port import RunOrder

INTERRUPT = "__interrupt__"
_TOLD = "__metadata__"


class Again:
    """Finds what the earlier attempt has said: LangGraph tells once more what tasks wrote whose step is not done."""

    def __init__(self) -> None:
        self._spaces: set[tuple[str, ...]] = set()
        self._written: Counter[tuple[tuple[str, ...], str]] = Counter()
        """Tasks whose writes were kept, by namespace and node."""

    def repeats(self, part: Part) -> bool:
        """Whether a part says such a thing."""
        mode, data = meant(part)
        if not isinstance(data, Mapping):
            return False
        if mode == "checkpoints" and part.space not in self._spaces:
            self._spaces.add(part.space)
            self._written.update((part.space, task["name"]) for task in data.get("tasks") or () if task.get("result"))
        if mode != "updates" or not (data.get(_TOLD) or {}).get("cached"):
            return False
        told = next(((part.space, node) for node in data if node != _TOLD), None)
        if told is None or not self._written[told]:
            return False  # a cache of the graph's own had it
        self._written[told] -= 1
        return True


async def paused(graph: Graph, order: RunOrder, config: Any) -> bool:
    """Whether the earlier attempt had come to a breakpoint: LangGraph would pass it.

    `config`: where the thread is.
    """
    if not order.interrupt_before and not order.interrupt_after:
        return False
    found = [one async for one in graph.aget_state_history(config, limit=2)]
    if not found or (found[0].metadata or {}).get("source") == "fork" or any(task.result for task in found[0].tasks):
        return False
    ran = found[1].tasks if len(found) > 1 and (found[0].metadata or {}).get("source") == "loop" else ()
    return _stops(order.interrupt_before, found[0].tasks) or (
        bool(found[0].tasks) and _stops(order.interrupt_after, ran)
    )


async def pause() -> AsyncGenerator[Part, None]:
    """What LangGraph says at a breakpoint."""
    yield Part("updates", {INTERRUPT: ()})


def _stops(nodes: Any, tasks: Any) -> bool:
    names = {task.name for task in tasks if not task.name.startswith("__")}
    return bool(names) if nodes == "*" else not names.isdisjoint(nodes or ())
