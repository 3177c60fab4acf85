"""Assistants: a graph with a configuration of its own. Every graph has one that the system makes and nobody changes."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from fiel.infra.database.connect import Database
from fiel.infra.hosts.port import GraphHost, UnknownGraph, check_config
from fiel.infra.runs.errors import BadRequest, Conflict, NotFound
from fiel.infra.runs.names import new_id, system_assistant
from fiel.infra.runs.pages import Page, Window, cut, ordering, parameters
from fiel.infra.runs.rows import Connection, Row, fetch, jsonb, one, run
from fiel.tools.errors import NotPermitted
from fiel.tools.principal import Principal
from fiel.tools.sql import load

COLUMNS = {
    "assistant_id": "assistant_id",
    "graph_id": "graph_id",
    "name": "name",
    "created_at": "created_at",
    "updated_at": "updated_at",
}
"""What a list can be sorted by."""

_BIRTHDAY: dict[str, datetime] = {}
"""When each database, by address, learned of assistants."""


@dataclass(frozen=True, slots=True)
class Assistant:
    """An assistant, in the protocol's shape."""

    assistant_id: UUID
    graph_id: str
    name: str
    description: str | None
    config: dict[str, Any]
    context: dict[str, Any]
    metadata: dict[str, Any]
    version: int
    created_at: datetime
    updated_at: datetime

    @property
    def system(self) -> bool:
        return self.assistant_id == system_assistant(self.graph_id)


@dataclass(frozen=True, slots=True)
class NewAssistant:
    """An assistant to be made."""

    graph_id: str
    assistant_id: UUID | None = None
    name: str = "Untitled"
    description: str | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    context: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AssistantChange:
    """What becomes of an assistant: None leaves it as it is, metadata is merged, the rest replaced."""

    graph_id: str | None = None
    name: str | None = None
    description: str | None = None
    config: Mapping[str, Any] | None = None
    context: Mapping[str, Any] | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AssistantFilter:
    """Which assistants are meant."""

    metadata: Mapping[str, Any] = field(default_factory=dict)
    graph_id: str | None = None
    name: str | None = None


class Assistants:
    """The assistants of a database and of what a host serves.

    Every method may raise DatabaseUnavailable; those that take an id raise NotFound.
    """

    def __init__(self, database: Database, host: GraphHost) -> None:
        self._database = database
        self._host = host
        self._sql = load(__package__, "assistants.sql")

    async def resolve(self, connection: Connection, principal: Principal, name: str) -> Assistant:
        """The assistant that a run names, by its id or by a graph's; without a query for the system's."""
        graphs = self._host.graph_ids()
        for graph in graphs:
            if name == graph or name == str(system_assistant(graph)):
                return self._system(graph, await self._since(connection))
        try:
            return await self._get(connection, principal, UUID(name))
        except ValueError:
            raise NotFound(
                f"there is no assistant {name[:100]!r}", hint=f"An assistant's id, or a graph: {', '.join(graphs)}"
            ) from None

    async def get(self, principal: Principal, assistant_id: UUID) -> Assistant:
        """One assistant."""
        async with self._database.acting(principal) as connection:
            return await self.resolve(connection, principal, str(assistant_id))

    async def create(self, principal: Principal, new: NewAssistant, *, do_nothing: bool = False) -> Assistant:
        """Make an assistant. One that is there: Conflict, or with `do_nothing` that one. Raises UnknownGraph."""
        self._check_graph(new.graph_id)
        config, context = _agreed(new.config, new.context)
        assistant_id = new.assistant_id or new_id()
        values = self._key(principal, assistant_id) | _columns(asdict(new), config or {}, context or {})
        async with self._database.acting(principal) as connection:
            row = None
            if self._graph_of(assistant_id) is None:
                row = await one(connection, self._sql["create"], values | {"assistant_id": assistant_id})
            if row is not None:
                return Assistant(**row)
            if do_nothing:
                return await self.resolve(connection, principal, str(assistant_id))
        raise Conflict(f"assistant {assistant_id} exists already", hint='Send if_exists: "do_nothing" to get that one')

    async def update(self, principal: Principal, assistant_id: UUID, change: AssistantChange) -> Assistant:
        """Make a new version, the latest. Raises UnknownGraph, NotPermitted for a system assistant."""
        self._check_own(assistant_id)
        if change.graph_id is not None:
            self._check_graph(change.graph_id)
        config, context = _agreed(change.config, change.context)
        values = self._key(principal, assistant_id) | _columns(asdict(change), config, context)
        async with self._database.acting(principal) as connection:
            await one(connection, self._sql["lock"], values)
            return _found(await one(connection, self._sql["update"], values), assistant_id)

    async def set_latest(self, principal: Principal, assistant_id: UUID, version: int) -> Assistant:
        """Go back to a version. Raises NotPermitted for a system assistant."""
        self._check_own(assistant_id)
        values = self._key(principal, assistant_id) | {"version": version}
        async with self._database.acting(principal) as connection:
            row = await one(connection, self._sql["set_latest"], values)
        return _found(row, assistant_id, f"version {version} of ")

    async def versions(
        self, principal: Principal, assistant_id: UUID, metadata: Mapping[str, Any], window: Window
    ) -> Page[Assistant]:
        """Versions, the newest first."""
        values = self._key(principal, assistant_id) | parameters(window) | {"metadata": jsonb(metadata)}
        async with self._database.acting(principal) as connection:
            known = await self.resolve(connection, principal, str(assistant_id))
            if known.system:
                return cut([known][window.offset :], window)
            return cut([Assistant(**row) for row in await fetch(connection, self._sql["versions"], values)], window)

    async def search(self, principal: Principal, which: AssistantFilter, window: Window) -> Page[Assistant]:
        """Assistants of the graphs that are served, the system's among them. Raises UnknownGraph."""
        order = ordering(window, COLUMNS, "created_at", "assistant_id")
        async with self._database.acting(principal) as connection:
            values = await self._filter(connection, principal, which) | parameters(window)
            rows = await fetch(connection, self._sql["search"].replace("{order}", order), values)
        return cut([Assistant(**row) for row in rows], window)

    async def count(self, principal: Principal, which: AssistantFilter) -> int:
        """How many `search` would find."""
        async with self._database.acting(principal) as connection:
            values = await self._filter(connection, principal, which)
            row = await one(connection, self._sql["count"], values)
        return int(row["count"]) if row else 0

    async def delete(self, principal: Principal, assistant_id: UUID) -> None:
        """Delete an assistant, its versions and its crons. Raises NotPermitted for a system assistant."""
        self._check_own(assistant_id)
        async with self._database.acting(principal) as connection:
            done = await run(connection, self._sql["delete"], self._key(principal, assistant_id))
        if not done.rowcount:
            raise _missing(assistant_id)

    async def _get(self, connection: Connection, principal: Principal, assistant_id: UUID) -> Assistant:
        row = await one(connection, self._sql["get"], self._key(principal, assistant_id))
        found = _found(row, assistant_id)
        if found.graph_id not in self._host.graph_ids():
            raise _missing(assistant_id)
        return found

    async def _filter(self, connection: Connection, principal: Principal, which: AssistantFilter) -> Row:
        if which.graph_id is not None:
            self._check_graph(which.graph_id)
        since = await self._since(connection)
        graphs = list(self._host.graph_ids())
        return {
            "tenant": principal.tenant,
            "owner": principal.id,
            "system": jsonb([asdict(self._system(graph, since)) for graph in graphs]),
            "graphs": graphs if which.graph_id is None else [which.graph_id],
            "name": which.name,
            "metadata": jsonb(which.metadata),
        }

    async def _since(self, connection: Connection) -> datetime:
        known = _BIRTHDAY.get(self._database.url)
        if known is None:
            row = await one(connection, self._sql["since"], {})
            known = _BIRTHDAY[self._database.url] = row["applied_at"] if row else datetime.fromtimestamp(0).astimezone()
        return known

    def _system(self, graph_id: str, since: datetime) -> Assistant:
        return Assistant(
            assistant_id=system_assistant(graph_id),
            graph_id=graph_id,
            name=graph_id,
            description=self._host.description(graph_id),
            config={},
            context={},
            metadata={"created_by": "system"},
            version=1,
            created_at=since,
            updated_at=since,
        )

    def _graph_of(self, assistant_id: UUID) -> str | None:
        return next((graph for graph in self._host.graph_ids() if system_assistant(graph) == assistant_id), None)

    def _check_own(self, assistant_id: UUID) -> None:
        graph = self._graph_of(assistant_id)
        if graph is not None:
            raise NotPermitted(
                "a system assistant cannot be changed",
                hint=f"Create an assistant of the graph {graph!r}, and change that",
            )

    def _check_graph(self, graph_id: str) -> None:
        graphs = self._host.graph_ids()
        if graph_id not in graphs:
            raise UnknownGraph(f"there is no graph {graph_id[:100]!r}", hint=f"One of: {', '.join(graphs)}")

    @staticmethod
    def _key(principal: Principal, assistant_id: UUID) -> Row:
        return {"tenant": principal.tenant, "owner": principal.id, "assistant_id": assistant_id}


def _columns(values: Row, config: Mapping[str, Any] | None, context: Mapping[str, Any] | None) -> Row:
    """Parameters of `create` and `update`."""
    return {
        **{name: values[name] for name in ("graph_id", "name", "description")},
        "config": None if config is None else jsonb(config),
        "context": None if context is None else jsonb(context),
        "metadata": jsonb(values["metadata"]),
    }


def _agreed(
    config: Mapping[str, Any] | None, context: Mapping[str, Any] | None
) -> tuple[Mapping[str, Any] | None, Mapping[str, Any] | None]:
    """`configurable` and `context` say the same thing in two words: whichever is given is both.

    Raises BadRequest where both are, BadOrder for a config that no graph can take.
    """
    if config:
        check_config(config)
        configurable = config.get("configurable")
        if configurable and context:
            raise BadRequest(
                "both configurable and context are given", where="config.configurable", hint="Send context alone"
            )
        if configurable:
            return config, configurable
    if context:
        return {**(config or {}), "configurable": context}, context
    return config, context


def _found(row: Row | None, assistant_id: UUID, what: str = "") -> Assistant:
    if row is None:
        raise _missing(assistant_id, what)
    return Assistant(**row)


def _missing(assistant_id: UUID, what: str = "") -> NotFound:
    return NotFound(f"there is no {what}assistant {assistant_id}")
