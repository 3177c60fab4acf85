"""States of threads: what a host keeps as checkpoints, read and written for the owner of the thread."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import orjson

from fiel.infra.database.connect import Database
from fiel.infra.hosts.port import Caller, GraphHost, Json, StateQuery, Update
from fiel.infra.ledger.acts import Act, record
from fiel.infra.runs.errors import BadRequest, Conflict
from fiel.infra.runs.names import checkpoint_thread, new_id, place, thread_ref
from fiel.infra.runs.rows import Connection, Row, fetch, jsonb, one, run
from fiel.infra.runs.sealed import Sealer
from fiel.infra.runs.threads import NewThread, Thread, Threads, missing
from fiel.tools.principal import Principal
from fiel.tools.sql import load

Checkpoint = Mapping[str, Any]


class States:
    """The states of a database's threads.

    Every method raises NotFound for a thread that is not there, and what the host raises.
    """

    def __init__(self, database: Database, host: GraphHost, sealer: Sealer, threads: Threads) -> None:
        self._database = database
        self._host = host
        self._sealer = sealer
        self._threads = threads
        self._sql = load(__package__, "threads.sql")

    async def get(
        self, caller: Caller, thread_id: UUID, checkpoint: Checkpoint | None = None, *, subgraphs: bool = False
    ) -> Json:
        """The latest state, or that of a checkpoint."""
        thread = await self._thread(caller.principal, thread_id)
        graph_id = thread["metadata"].get("graph_id")
        if not isinstance(graph_id, str):
            return _blank(thread_id)
        query = self._query(caller, thread_id, graph_id, thread["config"], checkpoint)
        return await self._host.state(query, subgraphs=subgraphs)

    async def history(
        self,
        caller: Caller,
        thread_id: UUID,
        *,
        limit: int = 10,
        before: Checkpoint | None = None,
        metadata: Mapping[str, Any] | None = None,
        checkpoint: Checkpoint | None = None,
    ) -> list[Json]:
        """States, the newest first."""
        thread = await self._thread(caller.principal, thread_id)
        graph_id = thread["metadata"].get("graph_id")
        if not isinstance(graph_id, str):
            return []
        query = self._query(caller, thread_id, graph_id, thread["config"], checkpoint)
        return await self._host.history(query, limit=limit, before=before, metadata=metadata)

    async def update(
        self, caller: Caller, thread_id: UUID, updates: Sequence[Update], checkpoint: Checkpoint | None = None
    ) -> Json:
        """Write into a state. No run can begin meanwhile. Raises Conflict where one goes on, EditRefused."""
        async with self._database.acting(caller.principal) as connection:
            thread = await self._lock(connection, caller.principal, thread_id)
            graph_id = _graph_id(thread["metadata"], thread_id)
            query = self._query(caller, thread_id, graph_id, thread["config"], checkpoint)
            written = await self._host.update(query, updates)
            await self._keep(connection, query, thread_id)
            await record(connection, _edit(query, thread_id, [updates]))
        return written

    async def create(self, caller: Caller, new: NewThread, supersteps: Sequence[Sequence[Update]]) -> Thread:
        """Make a thread that has a past: all of it, or no thread. Raises Conflict, EditRefused."""
        thread_id = new.thread_id or new_id()
        query = self._query(caller, thread_id, _graph_id(new.metadata, thread_id), {}, None)
        async with self._database.acting(caller.principal) as connection:
            if await self._threads.insert(connection, caller.principal, thread_id, new) is None:
                raise Conflict(f"thread {thread_id} exists already", where="thread_id")
            try:
                await self._host.update_many(query, supersteps)
                await self._keep(connection, query, thread_id)
                await record(connection, _edit(query, thread_id, supersteps))
            except BaseException:
                await self._host.delete_thread(query.thread)
                raise
        return await self._threads.get(caller.principal, thread_id)

    async def storage(self, principal: Principal, thread_id: UUID) -> Json:
        """Bytes that a thread's checkpoints take: `{"total_bytes", "checkpoints", "channel_values", …}`."""
        values = _key(principal, thread_id) | {"thread": checkpoint_thread(principal, thread_id)}
        async with self._database.acting(principal) as connection:
            if await one(connection, self._sql["brief"], values) is None:
                raise missing(thread_id)
            rows = await fetch(connection, load(__package__, "storage.sql")["storage"], values)
        return _storage(thread_id, rows)

    async def _keep(self, connection: Connection, query: StateQuery, thread_id: UUID) -> None:
        """Note on the thread what its latest state is."""
        state = await self._host.state(StateQuery(query.graph_id, query.thread, query.caller, config=query.config))
        interrupts = {task["id"]: task["interrupts"] for task in state.get("tasks") or () if task.get("interrupts")}
        principal = query.caller.principal
        at = place(principal, thread_id)
        values = _key(principal, thread_id) | {
            "status": "interrupted" if state.get("next") else "idle",
            "values": self._sealer.seal("values", at, orjson.dumps(state.get("values"))),
            "interrupts": self._sealer.seal("interrupts", at, orjson.dumps(interrupts)),
            "metadata": jsonb({"graph_id": query.graph_id}),
        }
        await run(connection, self._sql["keep_state"], values)

    async def _thread(self, principal: Principal, thread_id: UUID) -> Row:
        async with self._database.acting(principal) as connection:
            row = await one(connection, self._sql["brief"], _key(principal, thread_id))
        if row is None:
            raise missing(thread_id)
        return row

    async def _lock(self, connection: Connection, principal: Principal, thread_id: UUID) -> Row:
        row = await one(connection, self._sql["lock"], _key(principal, thread_id))
        if row is None:
            raise missing(thread_id)
        if row["busy"]:
            raise Conflict(f"a run of thread {thread_id} goes on", hint="Wait until it has ended, or cancel it")
        return row

    def _query(
        self, caller: Caller, thread_id: UUID, graph_id: str, config: Mapping[str, Any], checkpoint: Checkpoint | None
    ) -> StateQuery:
        return StateQuery(graph_id, thread_ref(caller.principal, thread_id), caller, checkpoint, config)


def _key(principal: Principal, thread_id: UUID) -> Row:
    return {"tenant": principal.tenant, "owner": principal.id, "thread_id": thread_id}


def _graph_id(metadata: Mapping[str, Any], thread_id: UUID) -> str:
    graph_id = metadata.get("graph_id")
    if not isinstance(graph_id, str):
        raise BadRequest(
            f"thread {thread_id} belongs to no graph yet",
            where="metadata.graph_id",
            hint="Make a run on it first, or create it with metadata.graph_id",
        )
    return graph_id


def _edit(query: StateQuery, thread_id: UUID, supersteps: Sequence[Sequence[Update]]) -> Act:
    """What an act says of an edited state: which node was spoken for, never with which values."""
    nodes = [update.as_node for step in supersteps for update in step]
    return Act(query.caller.principal, "state_edit", str(thread_id), {"graph": query.graph_id, "as": nodes})


def _storage(thread_id: UUID, rows: Sequence[Row]) -> Json:
    parts: Json = {}
    for part in ("checkpoints", "channel_values", "pending_writes"):
        own = [row for row in rows if row["part"] == part]
        parts[part] = {name: sum(row[name] for row in own) for name in ("count", "bytes")}
    channels = [row for row in rows if row["part"] == "channel_values"]
    parts["channel_values"]["by_channel"] = {
        row["channel"]: {"versions": row["count"], "bytes": row["bytes"]} for row in channels
    }
    return {"thread_id": thread_id, "total_bytes": sum(row["bytes"] for row in rows), **parts}


def _blank(thread_id: UUID) -> Json:
    """The state of a thread that no graph has worked on."""
    checkpoint = {"thread_id": str(thread_id), "checkpoint_ns": "", "checkpoint_id": None}
    return {
        "values": {},
        "next": [],
        "tasks": [],
        "checkpoint": checkpoint,
        "metadata": {},
        "created_at": None,
        "parent_checkpoint": None,
        "interrupts": [],
    }
