"""The record port: each hop is worn by a recorder, which traces it, records it, and proves it afterwards.

A node knows nothing of this. The graph builder wraps each node with `Recorder.wear`; `release` asks `Recorder.history`
for the entries that a draft must have earned.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

Node = Callable[..., Awaitable[Mapping[str, Any]]]
"""`async def (state, runtime, config) -> update`."""


@dataclass(frozen=True, slots=True)
class Hop:
    """How one hop is recorded and shown."""

    name: str
    kind: str
    """`mlflow.spanType`: CHAIN, RETRIEVER, RERANKER, CHAT_MODEL, GUARDRAIL, EVALUATOR."""
    decisions: tuple[str, ...] = ()
    """Channels whose written values stand in the entry in clear: codes, digests and scores, never text of a user."""
    shown_in: tuple[str, ...] = ()
    """Channels that the span shows as its inputs, redacted."""
    shown_out: tuple[str, ...] = ()
    """Channels that the span shows as its outputs, redacted."""
    terminal: bool = False
    """The run may end here: where the update carries an `outcome`, the run's entries and spans are committed before
    the update becomes visible; so they are where it carries a part of an `answer` and no outcome, and the run goes on.
    Without either (a release that was not proven) the run goes on to another hop."""
    first: bool = False
    """Runs begin here with what the caller gives. A run that begins at any other hop must go on from a state that an
    earlier run of the same thread, tenant and caller left; else it counts as edited."""
    sent: bool = False
    """The hop is given a value of its own (`Send`), not the state, so there is nothing that it must go on from."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One hop as the ledger holds it."""

    run: str
    seq: int
    hop: str
    reads: Mapping[str, str]
    """Channel to digest of the value that the hop was given."""
    writes: Mapping[str, str]
    """Channel to digest of the value that the hop wrote."""
    decision: Mapping[str, Any]
    """The channels named by `Hop.decisions`, in clear."""
    edited: bool
    """True from the hop on that was given a state which the hop before had not left: somebody edited it."""


class Recorder(Protocol):
    """Traces and records hops."""

    def wear(self, hop: Hop, node: Node) -> Node:
        """`node`, traced and recorded.

        Where entries of a terminal hop cannot be committed, the update is replaced by one with outcome `unavailable`
        and reason `record_unavailable`, without any text.
        """
        ...

    async def history(self, run: str) -> Sequence[Entry]:
        """Entries of `run`, in order, preceded by those of the runs that it resumes (same thread, tenant, caller).

        Called from within a hop, the last one is that hop's own: what it was given, nothing written yet, and whether
        the state was edited before it.
        """
        ...

    def run_of(self, runtime: Any, config: Any) -> str:
        """Id of the run in which a node is called (UUID, the same for all its hops)."""
        ...


class Callers(Protocol):
    """Says who calls, from what authentication put into the config; nothing that a client sends counts."""

    def principal(self, config: Mapping[str, Any]) -> Any:
        """The `Principal`. Raises UsageError where nobody is authenticated."""
        ...
