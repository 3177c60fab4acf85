"""Graphs of other projects, served as they are from a process of their own."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import Any

import orjson
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.store.base import BaseStore

from fiel.infra.hosts import far, keep
from fiel.infra.hosts.farstore import op_in, result_out
from fiel.infra.hosts.manifest import GraphSpec, Manifest
from fiel.infra.hosts.plan import check_modes
from fiel.infra.hosts.port import (
    BadOrder,
    Caller,
    HostEnd,
    HostEvent,
    HostItem,
    HostMark,
    Json,
    RunOrder,
    Said,
    StateQuery,
    ThreadRef,
    UnknownGraph,
    Update,
    check_config,
)
from fiel.infra.hosts.process import ChildProcess
from fiel.infra.ledger.keys import Cipher, Key, key_of
from fiel.infra.threads import open_saver

Stores = Callable[[Caller], BaseStore]
"""The store of one caller: what the graphs that they run read and write."""

ACK = 2**18
"""Bytes of events after which the child is told that they were taken."""


class ChildHost:
    """`fiel.infra.hosts.port.GraphHost` over a child process. One that is gone is replaced by the next call."""

    def __init__(
        self,
        manifest: Manifest,
        saver: BaseCheckpointSaver[Any],
        setup: Mapping[str, Any],
        stores: Stores | None,
        patience: float,
    ) -> None:
        self._manifest = manifest
        self._specs = {spec.id: spec for spec in manifest.graphs}
        self._saver = saver
        graphs = [[spec.id, spec.source, spec.name] for spec in manifest.graphs]
        self._setup = {**setup, "graphs": graphs, "folders": manifest.folders}
        self._stores = stores
        self._patience = patience
        self._child: ChildProcess | None = None
        self._starting = asyncio.Lock()

    async def child(self) -> ChildProcess:
        """The running child; a new one where there is none. Raises GraphBroken."""
        if (child := self._child) is not None and not child.gone:
            return child
        async with self._starting:
            if self._child is None or self._child.gone:
                await self.close()
                folder = str(self._manifest.path.parent)
                self._child = await ChildProcess.start(
                    self._setup, self._manifest.env, folder, self._store, self._patience
                )
            return self._child

    async def close(self) -> None:
        """End the child."""
        if self._child is not None:
            child, self._child = self._child, None
            await child.end()

    # The port

    def graph_ids(self) -> Sequence[str]:
        return tuple(self._specs)

    def description(self, graph_id: str) -> str | None:
        return self._spec(graph_id).description

    async def draw(self, graph_id: str, *, xray: bool | int = False, config: Mapping[str, Any] | None = None) -> Json:
        shown: Json = await self._ask("draw", graph_id, {"xray": xray, "config": config})
        return shown

    async def schemas(self, graph_id: str, *, config: Mapping[str, Any] | None = None) -> Json:
        shown: Json = await self._ask("schemas", graph_id, {"config": config})
        return shown

    async def subgraphs(
        self,
        graph_id: str,
        *,
        namespace: str | None = None,
        recurse: bool = False,
        config: Mapping[str, Any] | None = None,
    ) -> Json:
        given = {"namespace": namespace, "recurse": recurse, "config": config}
        shown: Json = await self._ask("subgraphs", graph_id, given)
        return shown

    async def run(self, order: RunOrder) -> AsyncGenerator[HostItem, None]:
        self._spec(order.graph_id)
        check_modes(order.stream_modes)
        check_config(order.config)
        child = await self.child()
        call = child.call("run", far.order_out(order), order.caller)
        ended, unread = False, 0
        try:
            while not ended:
                try:
                    header, body = await child.frame(call)
                except asyncio.CancelledError:
                    raise
                except Exception:
                    ended = True
                    raise
                if "event" in header:
                    yield HostEvent(header["event"], body)
                    unread += len(body)
                    if unread >= ACK:
                        child.read(call, unread)
                        unread = 0
                elif "mark" in header:
                    yield HostMark(*header["mark"])
                else:
                    ended = True
                    yield _end(header, body)
        finally:
            await child.finish(call, cancel=not ended)

    async def state(self, query: StateQuery, *, subgraphs: bool = False) -> Json:
        shown: Json = await self._query("state", query, {"subgraphs": subgraphs})
        return shown

    async def history(
        self,
        query: StateQuery,
        *,
        limit: int = 10,
        before: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> list[Json]:
        given = {"limit": limit, "before": before, "metadata": metadata}
        shown: list[Json] = await self._query("history", query, given)
        return shown

    async def update(self, query: StateQuery, updates: Sequence[Update]) -> Json:
        return await self.update_many(query, [updates])

    async def update_many(self, query: StateQuery, supersteps: Sequence[Sequence[Update]]) -> Json:
        steps = [[far.update_out(one) for one in step] for step in supersteps]
        made: Json = await self._query("update", query, {"supersteps": steps})
        return made

    async def copy_thread(self, source: ThreadRef, target: ThreadRef) -> None:
        await keep.copy_thread(keep.alone(self._saver), source, target)

    async def delete_thread(self, thread: ThreadRef) -> None:
        await keep.alone(self._saver).adelete_thread(thread.checkpoint_thread)

    async def prune(self, thread: ThreadRef) -> None:
        await keep.prune(keep.alone(self._saver), thread)

    async def forget_run(self, thread: ThreadRef, run_id: str) -> None:
        await keep.forget_run(keep.alone(self._saver), thread, run_id)

    async def rewind(self, thread: ThreadRef, run_id: str, said: Said | None, *, deep: bool) -> None:
        await keep.rewind(keep.alone(self._saver), thread, run_id, said, deep=deep)

    # Asking

    async def _query(self, what: str, query: StateQuery, more: Mapping[str, Any]) -> Any:
        return await self._ask(what, query.graph_id, {**far.query_out(query), **more}, query.caller)

    async def _ask(self, what: str, graph_id: str, given: Mapping[str, Any], caller: Caller | None = None) -> Any:
        self._spec(graph_id)
        child = await self.child()
        call = child.call(what, {**given, "graph_id": graph_id}, caller)
        answered = False
        try:
            _, body = await child.frame(call)
            answered = True
            return orjson.loads(body)
        except asyncio.CancelledError:
            raise
        except Exception:
            answered = True
            raise
        finally:
            await child.finish(call, cancel=not answered)

    def _spec(self, graph_id: str) -> GraphSpec:
        if graph_id not in self._specs:
            served = ", ".join(self._specs)
            raise UnknownGraph(f"there is no graph {graph_id!r}", where="graph_id", hint=f"Served: {served}")
        return self._specs[graph_id]

    async def _store(self, caller: Caller | None, ops: list[Any]) -> list[Any]:
        """Store operations of a graph, done for whoever called it."""
        if self._stores is None or caller is None:
            raise BadOrder("there is no store here", where="store")
        return [result_out(one) for one in await self._stores(caller).abatch([op_in(op) for op in ops])]


def _end(header: Mapping[str, Any], body: bytes) -> HostEnd:
    size = header["values"]
    values, output = body[:size], body[size:] or body
    waiting, following = header["interrupts"], tuple(header["next"])
    return HostEnd(header["end"], values, output, waiting, following, header["checkpoint"])


def hosted_key(ledger: Key) -> Key:
    """The key of hosted graphs' checkpoints. A child process holds this one; what the ledger seals it cannot open."""
    return key_of(sha256(b"fiel hosted graphs\0" + ledger.secret).digest())


@asynccontextmanager
async def open_child(
    manifest: Manifest,
    url: str,
    owner_url: str,
    ledger: Key,
    *,
    older: Sequence[Key] = (),
    stores: Stores | None = None,
    connections: int = 8,
    patience: float = 60.0,
) -> AsyncIterator[ChildHost]:
    """The host of a `langgraph.json`'s graphs, loaded and ready.

    `older`: keys of the ledger before the last rotation. `patience`: seconds in which the graphs must load. Raises
    GraphBroken, DatabaseUnavailable, DatabaseMisfit.
    """
    key, *before = [hosted_key(one) for one in (ledger, *older)]
    secrets = [one.secret.hex() for one in (key, *before)]
    setup = {"database": url, "secrets": secrets, "connections": connections}
    async with open_saver(url, owner_url, Cipher(key, before), size=2) as saver:
        host = ChildHost(manifest, saver, setup, stores, patience)
        try:
            await host.child()
            yield host
        finally:
            await host.close()
