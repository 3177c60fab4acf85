"""What a client asks of a run, and who asked: all that must be known again when another process takes the run up."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, cast
from uuid import UUID

from fiel.infra.hosts.port import Durability
from fiel.tools.principal import Principal, Role

Multitask = Literal["reject", "enqueue", "interrupt", "rollback"]
Action = Literal["interrupt", "rollback"]
Status = Literal["pending", "running", "success", "error", "timeout", "interrupted"]
UNFINISHED: tuple[Status, ...] = ("pending", "running")


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asked, as they were then: a snapshot for a run that starts later, or again."""

    principal: Principal
    user: Mapping[str, Any] = field(default_factory=dict)
    credential: str = ""
    kind: str = "none"

    def as_dict(self) -> dict[str, Any]:
        who = self.principal
        return {
            "tenant": who.tenant,
            "id": who.id,
            "groups": sorted(who.groups),
            "roles": sorted(who.roles),
            "user": dict(self.user),
            "credential": self.credential,
            "kind": self.kind,
        }


def asker(told: Mapping[str, Any]) -> Asker:
    """The asker that `as_dict` told of."""
    roles = frozenset(cast("Sequence[Role]", told["roles"]))
    principal = Principal(told["tenant"], told["id"], frozenset(told["groups"]), roles)
    return Asker(principal, told["user"], told["credential"], told["kind"])


@dataclass(frozen=True, slots=True)
class Spec:
    """One run to be made."""

    assistant_id: UUID
    graph_id: str
    thread_id: UUID
    input: Any = None
    command: Mapping[str, Any] | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    context: Mapping[str, Any] | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    stream_modes: Sequence[str] = ("values",)
    subgraphs: bool = False
    resumable: bool = False
    interrupt_before: Sequence[str] | Literal["*"] | None = None
    interrupt_after: Sequence[str] | Literal["*"] | None = None
    checkpoint: Mapping[str, Any] | None = None
    durability: Durability = "async"
    webhook: str | None = None
    multitask: Multitask = "enqueue"
    create: bool = False
    """Whether a thread that is not there is made."""
    after: float = 0.0
    """Seconds from now at which it may begin."""
    temporary: bool = False
    """Its thread goes when it has ended."""
    recorded: bool = True
    """Whether its events are kept, for whoever joins."""

    def stored(self, who: Asker) -> dict[str, Any]:
        """All of it as plain data."""
        told = asdict(self)
        for name in ("assistant_id", "thread_id"):
            told[name] = str(told[name])
        for name in ("create", "after", "multitask", "graph_id"):
            del told[name]
        return {"spec": told, "asker": who.as_dict()}


def restored(told: Mapping[str, Any], graph_id: str, multitask: str) -> tuple[Spec, Asker]:
    """What `stored` told of."""
    values = dict(told["spec"])
    for name in ("assistant_id", "thread_id"):
        values[name] = UUID(values[name])
    spec = Spec(**values, graph_id=graph_id, multitask=cast("Multitask", multitask))
    return spec, asker(told["asker"])


@dataclass(frozen=True, slots=True)
class Basis:
    """What an assistant gives to its runs."""

    assistant_id: UUID
    graph_id: str
    config: Mapping[str, Any] = field(default_factory=dict)
    context: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)


def spec_of(sent: Mapping[str, Any], basis: Basis, thread_id: UUID, *, stateless: bool, recorded: bool = True) -> Spec:
    """A run, from what was sent in the protocol's words, on top of its assistant."""
    config = sent.get("config") or {}
    metadata = {**basis.metadata, **(config.get("metadata") or {}), **(sent.get("metadata") or {})}
    modes = sent.get("stream_mode") or "values"
    checkpoint = dict(sent.get("checkpoint") or {})
    if sent.get("checkpoint_id"):
        checkpoint["checkpoint_id"] = sent["checkpoint_id"]
    return Spec(
        assistant_id=basis.assistant_id,
        graph_id=basis.graph_id,
        thread_id=thread_id,
        input=sent.get("input"),
        command=sent.get("command") or None,
        config=merged(basis.config, config),
        context={**basis.context, **(sent.get("context") or {})} or None,
        metadata={**metadata, "assistant_id": str(basis.assistant_id)},
        stream_modes=(modes,) if isinstance(modes, str) else tuple(dict.fromkeys(modes)),
        subgraphs=bool(sent.get("stream_subgraphs")),
        resumable=bool(sent.get("stream_resumable")),
        interrupt_before=sent.get("interrupt_before") or None,
        interrupt_after=sent.get("interrupt_after") or None,
        checkpoint=checkpoint or None,
        durability=sent.get("durability") or ("exit" if sent.get("checkpoint_during") is False else "async"),
        webhook=sent.get("webhook"),
        multitask=sent.get("multitask_strategy") or "enqueue",
        create=stateless or sent.get("if_not_exists") == "create",
        after=sent.get("after_seconds") or 0.0,
        temporary=stateless and sent.get("on_completion") != "keep",
        recorded=recorded,
    )


def merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """A config on top of another: `configurable` by key, the rest replaced."""
    both = {**under, **over}
    configurable = {**(under.get("configurable") or {}), **(over.get("configurable") or {})}
    return {**both, "configurable": configurable} if configurable else both


def kwargs_of(spec: Spec) -> dict[str, Any]:
    """The run's `kwargs`, as the protocol shows them."""
    return {
        "input": spec.input,
        "command": spec.command,
        "config": dict(spec.config),
        "context": spec.context,
        "stream_mode": list(spec.stream_modes),
        "interrupt_before": spec.interrupt_before,
        "interrupt_after": spec.interrupt_after,
        "checkpoint": spec.checkpoint,
        "webhook": spec.webhook,
        "temporary": spec.temporary,
        "subgraphs": spec.subgraphs,
        "resumable": spec.resumable,
        "durability": spec.durability,
    }
