"""The child process in which graphs of other projects run: `python -m fiel.infra.hosts.inside DESCRIPTOR`.

It is told over the socket what to load and where the checkpoints lie. It answers calls side by side, and ends with the
process that started it.
"""

import asyncio
import contextlib
import gc
import os
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import Any

import orjson
from langgraph.checkpoint.base import BaseCheckpointSaver

from fiel.infra.hosts import describe, far, loading
from fiel.infra.hosts.farstore import FarStore
from fiel.infra.hosts.frames import Header, Sender, Window, unpack
from fiel.infra.hosts.hosted import Hosted
from fiel.infra.hosts.keep import alone
from fiel.infra.hosts.port import GraphBroken, HostEnd, HostEvent, HostMark, Json, UnknownGraph
from fiel.infra.hosts.user import User, configured
from fiel.infra.hosts.view import Everything
from fiel.infra.hosts.wire import dumps
from fiel.infra.ledger.keys import Cipher, key_of
from fiel.infra.threads import open_saver

WINDOW = 2**20
"""Bytes of one run's events that may be under way."""


class Inside:
    """Serves the calls of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._sender = Sender(writer)
        self._graphs: dict[str, loading.Loaded] = {}
        self._saver: BaseCheckpointSaver[Any] | None = None
        self._calls: dict[int, asyncio.Task[None]] = {}
        self._windows: dict[int, Window] = {}
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self._questions = 0

    async def serve(self) -> None:
        """Until the other side is gone."""
        async with AsyncExitStack() as stack:
            header, body = await unpack(self._reader)
            await self._open(stack, orjson.loads(body), header)
            with contextlib.suppress(EOFError):
                while True:
                    self._take(*await unpack(self._reader))

    async def _open(self, stack: AsyncExitStack, setup: Json, header: Header) -> None:
        """Load what is to be served, and say how that went."""
        # At the end, where they shadow nothing: a project may well have a module called `types`.
        sys.path += [folder for folder in setup["folders"] if folder not in sys.path]
        broken: Json = {}
        for graph_id, source, name in setup["graphs"]:
            try:
                self._graphs[graph_id] = loading.load(graph_id, source, name)
            except GraphBroken as error:
                broken[graph_id] = error.public()
        if setup["database"]:
            key, *older = [key_of(bytes.fromhex(secret)) for secret in setup["secrets"]]
            cipher = Cipher(key, older)
            self._saver = await stack.enter_async_context(
                open_saver(setup["database"], "", cipher, size=setup["connections"])
            )
        # What is loaded stays: the collector would walk it again and again, and every run would wait for that.
        gc.collect()
        gc.freeze()
        self._sender.send({"ready": broken})

    def _take(self, header: Header, body: bytes) -> None:
        call = header.get("call", 0)
        if "ack" in header:
            if call in self._windows:
                self._windows[call].give(header["ack"])
        elif "cancel" in header:
            if call in self._calls:
                self._calls[call].cancel()
        elif "answer" in header:
            if (waiting := self._asked.pop(header["answer"], None)) is not None and not waiting.done():
                waiting.set_result(orjson.loads(body))
        else:
            self._calls[call] = asyncio.create_task(self._call(call, header["do"], orjson.loads(body)))

    async def _call(self, call: int, what: str, given: Json) -> None:
        try:
            if what == "run":
                await self._run(call, given)
            else:
                self._sender.send({"call": call, "done": True}, dumps(await self._do(call, what, given)))
        except asyncio.CancelledError:
            self._sender.send({"call": call, "cancelled": True})
        except Exception as error:  # the edge: whatever a graph raises is told to the host
            self._sender.send({"call": call, "error": far.error_out(error)})
        finally:
            self._calls.pop(call, None)

    # Runs

    async def _run(self, call: int, given: Json) -> None:
        order = far.order_in(given)
        self._windows[call] = window = Window(WINDOW)
        try:
            async with self._hosted(call, order.graph_id, given, loading.RUN) as hosted:
                stream = hosted.run(order)
                async with aclosing(stream):
                    async for one in stream:
                        if isinstance(one, HostEvent):
                            await window.take(len(one.data))
                            self._sender.send({"call": call, "event": one.event}, one.data)
                        elif isinstance(one, HostMark):
                            self._sender.send({"call": call, "mark": [one.space, one.kept, one.task]})
                        else:
                            self._end(call, one)
        finally:
            del self._windows[call]

    def _end(self, call: int, end: HostEnd) -> None:
        header = {
            "call": call,
            "end": end.status,
            "interrupts": end.interrupts,
            "next": end.next,
            "checkpoint": end.checkpoint_id,
            "values": len(end.values),
        }
        same = end.output == end.values
        self._sender.send(header, end.values if same else end.values + end.output)

    # Everything else

    async def _do(self, call: int, what: str, given: Json) -> Any:
        async with self._hosted(call, given["graph_id"], given, _HOW[what]) as hosted:
            if what in ("draw", "schemas", "subgraphs"):
                return await _described(hosted, what, given)
            query = far.query_in(given)
            if what == "state":
                return await hosted.state(query, subgraphs=given["subgraphs"])
            if what == "history":
                how = {name: given[name] for name in ("limit", "before", "metadata")}
                return await hosted.history(query, **how)
            return await hosted.update(query, [[far.update_in(one) for one in step] for step in given["supersteps"]])

    @asynccontextmanager
    async def _hosted(self, call: int, graph_id: str, given: Json, how: str) -> AsyncIterator[Hosted]:
        if graph_id not in self._graphs:
            raise UnknownGraph(f"there is no graph {graph_id!r}", where="graph_id")
        user: Mapping[str, Any] = given.get("user") or {}
        configurable = configured(user)
        config = given.get("config") or {}
        seen = {**config, "configurable": {**(config.get("configurable") or {}), **configurable}}
        more = {"checkpointer": alone(self._saver) if self._saver else None, "store": FarStore(self._asking(call))}
        async with self._graphs[graph_id].graph(seen, how, User(user) if user else None, more) as graph:
            known = {"graph_id": graph_id, **configurable}
            if assistant := (given.get("metadata") or {}).get("assistant_id"):
                known["assistant_id"] = assistant
            yield Hosted(graph, Everything(), known)

    def _asking(self, call: int) -> Any:
        async def ask(ops: list[Any]) -> list[Any]:
            self._questions += 1
            answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            self._asked[self._questions] = answer
            question = self._questions
            self._sender.send({"call": call, "store": question}, dumps(ops))
            try:
                found = await answer
            finally:
                self._asked.pop(question, None)
            if "error" in found:
                raise far.error_in(found["error"])
            results: list[Any] = found["results"]
            return results

        return ask


_HOW = {
    **dict.fromkeys(("draw", "schemas", "subgraphs"), "assistants.read"),
    **dict.fromkeys(("state", "history"), "threads.read"),
    "update": "threads.update",
}


async def _described(hosted: Hosted, what: str, given: Json) -> Json:
    if what == "draw":
        return await describe.draw(hosted.graph, given["xray"])
    if what == "schemas":
        return {"graph_id": given["graph_id"], **describe.schemas(hosted.graph)}
    return await describe.subgraphs(hosted.graph, given["namespace"], given["recurse"])


def _end_with_parent() -> None:
    """A graph that blocks the event loop would outlive the process that it works for: this thread ends it."""
    parent = os.getppid()
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)


async def _main(descriptor: int) -> None:
    connected = socket.socket(fileno=descriptor)
    reader, writer = await asyncio.open_connection(sock=connected, limit=2**22)
    inside = Inside(reader, writer)
    serving = asyncio.create_task(inside.serve())
    await asyncio.wait([serving])
    if (error := serving.exception()) is not None:
        raise error


def main() -> None:
    """Serve until the other end of the socket is closed."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    factory = None
    with contextlib.suppress(ImportError):
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(_main(int(sys.argv[1])))
    # A thread of a graph must not keep the process: nobody is left to hear of it.
    os._exit(0)


if __name__ == "__main__":
    main()
