"""Who sees what of a run: a view stands between a graph and everything that leaves its host."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from fiel.infra.hosts.parts import Part
from fiel.infra.hosts.port import GraphFailed, Json


class View(Protocol):
    """What one caller may see of one graph. Asked for everything; what it does not return does not exist."""

    @property
    def needs(self) -> tuple[str, ...]:
        """LangGraph's modes that the view itself has to see."""
        ...

    def parts(self, part: Part) -> Iterable[Part]:
        """What is shown for one part of a stream."""
        ...

    def values(self, values: Any) -> Any:
        """What is shown of a state's values."""
        ...

    def state(self, state: Json) -> Json:
        """What is shown of a ThreadState."""
        ...

    def failure(self, error: Exception) -> GraphFailed:
        """What is said of a graph that raised."""
        ...


@dataclass(frozen=True, slots=True)
class Everything:
    """The view of graphs of other projects: they are served as they are."""

    needs: tuple[str, ...] = ()

    def parts(self, part: Part) -> Iterable[Part]:
        return (part,)

    def values(self, values: Any) -> Any:
        return values

    def state(self, state: Json) -> Json:
        return state

    def failure(self, error: Exception) -> GraphFailed:
        return GraphFailed(str(error), error=type(error).__name__)
