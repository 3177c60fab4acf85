"""The port of whoever runs graphs: what it is asked, what it answers, how it fails.

Everything that a host hands out is JSON already, in the shapes of the LangGraph Agent Server protocol, with the public
id of the thread in it, and is what this caller may see: whoever holds the port passes it on unread.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import orjson

from fiel.tools.errors import FielError, NotPermitted, Unavailable, UsageError
from fiel.tools.principal import Principal

Json = dict[str, Any]
"""A JSON object."""

Durability = Literal["sync", "async", "exit"]

MODES: tuple[str, ...] = (
    *("values", "updates", "messages", "messages-tuple", "custom", "events", "debug", "tasks", "checkpoints"),
)
"""The nine stream modes of the protocol."""

PROTOCOL = "protocol"
"""Not a mode of clients: asked for alone, a run yields the events of the newer transport (`POST …/stream/events`).

Each HostEvent is then one of LangGraph's version 3 events: `event` its method and namespace (`messages|ns`), `data`
`{"type": "event", "method", "params": {"namespace", "timestamp", "data", …}}`.
"""


class UnknownGraph(UsageError):
    """No graph of this name is served."""

    code = "unknown_graph"


class UnknownCheckpoint(UsageError):
    """The thread has no such checkpoint."""

    code = "unknown_checkpoint"


class BadOrder(UsageError):
    """A graph cannot take what it is given: input, command, config key, context, node or stream mode."""

    code = "bad_order"


class EditRefused(NotPermitted):
    """Editing state, jumping and forking need the role developer."""

    code = "edit_refused"


class GraphFailed(FielError):
    """The graph raised. `error` is the exception's class, `what` its text where the caller may read it."""

    code = "graph_failed"

    def __init__(self, what: str, *, error: str = "GraphFailed", where: str = "", hint: str = "") -> None:
        super().__init__(what, where=where, hint=hint)
        self.error = error

    def shown(self) -> dict[str, str]:
        """Data of the protocol's `error` event."""
        return {"error": self.error, "message": self.what}


class HostGone(Unavailable):
    """The process that ran the graph is gone; another one is started. A run with checkpoints can go on."""

    code = "host_gone"


class GraphBroken(Unavailable):
    """A graph cannot be loaded: its module does not import, hangs, or names no graph."""

    code = "graph_broken"


class Caller(Protocol):
    """Who calls, as authentication found it (`fiel.infra.api.auth.Caller` is one)."""

    @property
    def principal(self) -> Principal: ...

    @property
    def user(self) -> Mapping[str, Any]:
        """What a hosted graph sees as `langgraph_auth_user`; empty where nobody is authenticated."""
        ...


@dataclass(frozen=True, slots=True)
class ThreadRef:
    """One thread of one owner."""

    public_id: str
    """What the client calls it; two owners may use the same."""
    checkpoint_thread: str
    """What the checkpointer calls it: unique over all tenants and owners."""


@dataclass(frozen=True, slots=True)
class RunOrder:
    """One run, as a host is asked for it."""

    graph_id: str
    run_id: str
    thread: ThreadRef
    caller: Caller
    input: Any = None
    """None: continue from the last checkpoint, or from `checkpoint`."""
    command: Mapping[str, Any] | None = None
    """`resume`, `update` and `goto`; not together with `input`."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """The assistant's and the client's: `configurable`, `tags`, `recursion_limit`. Reserved keys are refused."""
    context: Mapping[str, Any] | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """What stands in each checkpoint's metadata beside run_id, thread_id and graph_id (assistant_id, …)."""
    stream_modes: Sequence[str] = ()
    """Of `MODES`; empty: nothing is streamed but the end."""
    subgraphs: bool = False
    interrupt_before: Sequence[str] | Literal["*"] | None = None
    interrupt_after: Sequence[str] | Literal["*"] | None = None
    checkpoint: Mapping[str, Any] | None = None
    """`checkpoint_id`, with `checkpoint_ns` and `checkpoint_map` where it lies in a subgraph: fork from there."""
    durability: Durability = "async"
    attempt: int = 1
    """Above 1: an earlier attempt died."""
    goes_on: bool = False
    """Whether it left checkpoints, from the last of which the run continues: then there is no input and no command."""
    marks: bool = False
    """Whether the run also yields HostMarks."""


@dataclass(frozen=True, slots=True)
class HostEvent:
    """One event of a run."""

    event: str
    """`values`, `updates|namespace:id`, `messages/partial`, …"""
    data: bytes
    """JSON, ready for the wire."""

    def value(self) -> Any:
        """`data`, decoded."""
        return orjson.loads(self.data)


@dataclass(frozen=True, slots=True)
class HostMark:
    """Stands between events: all that was said before the graph kept something has been yielded.

    What is kept is on its way to the checkpointer, or there already. Where a run dies, whoever has written its events
    down knows by the marks behind which checkpoint it must go back (`GraphHost.rewind`).
    """

    space: str
    """Namespace in the checkpointer; empty for the graph itself."""
    kept: str
    """Id of a checkpoint, or of a task whose writes are kept."""
    task: bool = False


@dataclass(frozen=True, slots=True)
class HostEnd:
    """The last thing that a run yields, unless it raises."""

    status: Literal["success", "interrupted"]
    values: bytes
    """JSON: the state's values, as the thread shows them."""
    output: bytes = b"{}"
    """JSON: what `runs/wait` answers: the graph's output, with `__interrupt__` where the run was interrupted."""
    interrupts: Mapping[str, Sequence[Json]] = field(default_factory=dict)
    """By task id: `[{"id", "value"}]`, as a thread shows them."""
    next: Sequence[str] = ()
    """The nodes that would run next; empty where the graph has ended."""
    checkpoint_id: str | None = None

    def value(self) -> Any:
        """`values`, decoded."""
        return orjson.loads(self.values)


HostItem = HostEvent | HostMark | HostEnd
"""What a run yields."""

Said = Mapping[str, Sequence[str]]
"""What marks amount to, by namespace: the newest checkpoint (empty: none yet), then tasks that ended after it."""


@dataclass(frozen=True, slots=True)
class StateQuery:
    """Which state of which thread, and for whom."""

    graph_id: str
    thread: ThreadRef
    caller: Caller
    checkpoint: Mapping[str, Any] | None = None
    """None: the latest. `checkpoint_ns` alone: the latest of that subgraph."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """The assistant's, for graphs that are made by a factory."""


@dataclass(frozen=True, slots=True)
class Update:
    """One write into a thread's state, as if a node had made it."""

    values: Any = None
    as_node: str | None = None
    command: Mapping[str, Any] | None = None
    """In place of `values`."""
    task_id: str | None = None


class GraphHost(Protocol):
    """Runs graphs and keeps their threads.

    Every method but `graph_ids` may raise UnknownGraph, BadOrder, GraphBroken, HostGone and DatabaseUnavailable;
    those that change a thread EditRefused; those that take a checkpoint UnknownCheckpoint.
    """

    def graph_ids(self) -> Sequence[str]:
        """The graphs that are served, the default one first."""
        ...

    def description(self, graph_id: str) -> str | None:
        """What the graph's system assistant says of itself."""
        ...

    async def draw(self, graph_id: str, *, xray: bool | int = False, config: Mapping[str, Any] | None = None) -> Json:
        """`{"nodes", "edges"}`."""
        ...

    async def schemas(self, graph_id: str, *, config: Mapping[str, Any] | None = None) -> Json:
        """`{"graph_id", "input_schema", "output_schema", "state_schema", "config_schema", "context_schema"}`."""
        ...

    async def subgraphs(
        self,
        graph_id: str,
        *,
        namespace: str | None = None,
        recurse: bool = False,
        config: Mapping[str, Any] | None = None,
    ) -> Json:
        """Schemas by namespace; empty where the graph has none."""
        ...

    def run(self, order: RunOrder) -> AsyncIterator[HostItem]:
        """Run a graph: events as they come (with marks between them, where asked for), a HostEnd as the last thing.

        Nothing is buffered without bound: a reader that falls behind slows the graph. `aclose()` of the iterator and
        the cancellation of its task cancel the run, which has stopped when they return. Raises GraphFailed.
        """
        ...

    async def state(self, query: StateQuery, *, subgraphs: bool = False) -> Json:
        """The protocol's ThreadState; that of a thread without checkpoints is empty, not an error."""
        ...

    async def history(
        self,
        query: StateQuery,
        *,
        limit: int = 10,
        before: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> list[Json]:
        """ThreadStates, the newest first. `before`: a checkpoint; `metadata`: what must stand in theirs."""
        ...

    async def update(self, query: StateQuery, updates: Sequence[Update]) -> Json:
        """Write one superstep. Returns `{"checkpoint": {…}}` of what it made."""
        ...

    async def update_many(self, query: StateQuery, supersteps: Sequence[Sequence[Update]]) -> Json:
        """Write supersteps one after the other, as `POST /threads` takes them."""
        ...

    async def copy_thread(self, source: ThreadRef, target: ThreadRef) -> None:
        """Copy every checkpoint of a thread."""
        ...

    async def delete_thread(self, thread: ThreadRef) -> None:
        """Forget a thread's checkpoints."""
        ...

    async def prune(self, thread: ThreadRef) -> None:
        """Forget all checkpoints of a thread but the latest."""
        ...

    async def forget_run(self, thread: ThreadRef, run_id: str) -> None:
        """Forget the checkpoints that a run made: the thread is as it was before it (rollback)."""
        ...

    async def rewind(self, thread: ThreadRef, run_id: str, said: Said | None, *, deep: bool) -> None:
        """Forget what a run has kept behind its last marks, so that it is done, and said, again.

        `said` is None where nothing is said. `deep`: in subgraphs as well, because their events are shown. An answer to
        interrupts that no task has taken is forgotten in any case: it is given again.
        """
        ...


RESERVED_PREFIXES = ("fiel_", "langgraph_", "__pregel", "checkpoint_")
RESERVED_KEYS = frozenset({"thread_id", "run_id"})
"""What a client may not set in `config.configurable`: they say who calls and where the run belongs."""


def check_config(config: Mapping[str, Any]) -> None:
    """Refuse what a client may not say in a config. Raises BadOrder, by name."""
    unknown = sorted(set(config) - {"configurable", "tags", "recursion_limit", "metadata"})
    if unknown:
        raise BadOrder(f"config has no key {unknown[0]!r}", where="config")
    configurable = config.get("configurable") or {}
    if not isinstance(configurable, Mapping):
        raise BadOrder("configurable must be an object", where="config.configurable")
    for name in configurable:
        if name in RESERVED_KEYS or name.startswith(RESERVED_PREFIXES):
            raise BadOrder(f"the key {name!r} is reserved", where=f"config.configurable.{name}")
