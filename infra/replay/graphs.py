"""Graphs beside fiel's own that go through its ports: found by name, recorded while they run, replayed afterwards.

Such a graph is a function `build(services)` that gives a `StateGraph`. Each of its nodes is worn by
`services.recorder`, and whatever a node asks of the world goes through a port of `services`, or through a function that
`fiel.infra.ledger.calls.recorded` has made.
"""

import hashlib
import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from langgraph.channels import BinaryOperatorAggregate
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import StateGraph

from fiel.graphs.services import Services
from fiel.infra.hosts import loading, manifest
from fiel.infra.ledger.recorder import LedgerRecorder
from fiel.infra.ledger.recorders import recording
from fiel.infra.ledger.vault import LedgerVault
from fiel.infra.replay.nested import Graph, with_subgraphs
from fiel.tools.errors import SettingsError

Reducer = Callable[[Any, Any], Any]


@dataclass(frozen=True, slots=True)
class Ported:
    """A graph over ports."""

    name: str
    version: str
    """`<name>:<16 hexadecimal digits>` over the file that builds it; the first entry of each run says it."""
    build: Callable[[Services], StateGraph[Any, Any, Any, Any]]

    def compiled(self, services: Services, saver: "BaseCheckpointSaver[Any] | None" = None) -> Graph:
        """The graph over these ports."""
        graph = self.build(services).compile(checkpointer=saver, name=self.name)
        return with_subgraphs(graph, services.recorder)

    def recorded(
        self, services: Services, ledger: LedgerRecorder, saver: "BaseCheckpointSaver[Any] | None" = None
    ) -> tuple[Graph, LedgerRecorder]:
        """The graph, recorded where `ledger` records, and the recorder that it has for itself: close it at the end.

        `services` are recorded ports, as the composition root gives them.
        """
        own = recording(
            ledger.store,
            ledger.cipher,
            services.callers,
            services.policies,
            versions={"graph": self.version},
            reducers=reducers_of(self.compiled(services)),
            keys=ledger.keys,
        )
        return self.compiled(replace(services, recorder=own, vault=LedgerVault(own)), saver), own


def ported(name: str, build: Callable[[Services], StateGraph[Any, Any, Any, Any]]) -> Ported:
    """A graph, its version taken from the file of `build`."""
    code = Path(inspect.getfile(build)).read_bytes()
    return Ported(name, f"{name}:{hashlib.sha256(code).hexdigest()[:16]}", build)


def reducers_of(graph: Graph) -> Mapping[str, Reducer]:
    """What folds into the channels of a graph and its subgraphs, by channel."""
    graphs: list[Any] = [graph, *(one for _, one in graph.get_subgraphs(recurse=True))]
    return {
        name: channel.operator
        for one in reversed(graphs)
        for name, channel in one.channels.items()
        if isinstance(channel, BinaryOperatorAggregate)
    }


def load_graphs(path: Path) -> Mapping[str, Ported]:
    """The graphs over ports that a `langgraph.json` names, imported into this process. Raises SettingsError."""
    found = manifest.load(path)
    sys.path[:0] = [folder for folder in found.folders if folder not in sys.path]
    values = {spec.id: loading.named(spec.id, spec.source, spec.name) for spec in found.graphs}
    graphs = {name: ported(name, value) for name, value in values.items() if _takes_services(value)}
    if not graphs:
        raise SettingsError(
            "no graph here goes through fiel's ports",
            where=str(path),
            hint="Name a function build(services) that gives a StateGraph",
        )
    return graphs


def _takes_services(value: Any) -> bool:
    return inspect.isfunction(value) and list(inspect.signature(value).parameters) == ["services"]
