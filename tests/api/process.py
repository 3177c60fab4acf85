"""A process of its own that serves the test graphs, or only works on runs: something that can be killed.

    python -m tests.api.process serve|work '{"runtime": …, "owner": …, "home": …, "locks": …, "lease": 4}'

Says its port (or 0) on standard output when it is ready.
"""

import asyncio
import fcntl
import json
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar
from uuid import UUID

import uvicorn
from langchain_core.runnables import RunnableConfig
from langgraph.config import get_stream_writer
from langgraph.graph import START, StateGraph

from fiel.infra.api.app import create
from fiel.infra.api.connection import Connection
from fiel.infra.api.opening import service_of
from fiel.infra.api.service import Service
from fiel.infra.compose import cipher
from fiel.infra.database.connect import Database
from fiel.infra.hosts.child import open_child
from fiel.infra.hosts.manifest import load
from fiel.infra.hosts.port import GraphHost, HostMark
from fiel.infra.ledger.keys import key_of
from fiel.infra.runs import engine
from fiel.infra.runs.engine import Bounds, Engine
from fiel.infra.runs.events import Feed, Journal
from fiel.infra.runs.sealed import Sealer
from fiel.infra.settings import Settings
from tests.api import speaking
from tests.api.graphs import plain_host
from tests.api.slow import Pace
from tests.conftest import Urls


def locked(folder: Path) -> StateGraph[Any]:
    """Three nodes; each holds a lock of its thread that ends with the process, and tells where somebody else has it."""
    graph: StateGraph[Any] = StateGraph(Pace)

    def node(name: str) -> Any:
        async def work(state: Pace, config: RunnableConfig) -> Pace:
            thread = config["configurable"]["thread_id"]
            handle = os.open(folder / thread, os.O_CREAT | os.O_RDWR)
            try:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    (folder / f"overlap-{thread}-{os.getpid()}").touch()
                write = get_stream_writer()
                for number in range(5):
                    write({"node": name, "tick": number})
                    await asyncio.sleep(state.get("seconds", 0) / 15)
            finally:
                os.close(handle)
            return {"done": [name]}

        return work

    for name in ("one", "two", "three"):
        graph.add_node(name, node(name))
    return graph.add_edge(START, "one").add_edge("one", "two").add_edge("two", "three")


class Holding(Journal):
    """Writes nothing more of a run that has said one of `speaking.HELD`: as if it were slow, while the graph is not."""

    held: ClassVar[set[UUID]] = set()

    async def add(self, feed: Feed, event: str, data: bytes) -> None:
        if feed.run_id not in self.held and any(mark in data for mark in speaking.HELD):
            while any(item[0] is feed for item in self._queue):  # noqa: ASYNC110 - what came before is written
                await asyncio.sleep(0.01)
            self.held.add(feed.run_id)
        if feed.run_id in self.held:
            feed.last += 1
            return
        await super().add(feed, event, data)

    def mark(self, feed: Feed, mark: HostMark) -> None:
        if feed.run_id not in self.held:
            super().mark(feed, mark)


@asynccontextmanager
async def host_of(asked: dict[str, Any]) -> AsyncIterator[GraphHost]:
    if "manifest" in asked:
        key = key_of(b"k" * 32)
        async with open_child(load(Path(asked["manifest"])), asked["runtime"], asked["owner"], key) as child:
            yield child
        return
    async with plain_host(Urls(asked["runtime"], asked["owner"])) as host:
        graphs = {"locked": locked(Path(asked["locks"])), **speaking.GRAPHS}
        for name, graph in graphs.items():
            host.graphs[name] = graph.compile(checkpointer=host._saver, name=name)
        yield host


async def main(kind: str, asked: dict[str, Any]) -> None:
    settings = Settings(home=asked["home"], auth="none", rate=0)
    if asked.get("holding"):
        engine.Journal = Holding  # type: ignore[misc]
    bounds = Bounds(lease=asked["lease"], drain=asked.get("drain", 2.0))

    @asynccontextmanager
    async def opening() -> AsyncIterator[Service]:
        async with (
            Database(asked["runtime"], size=8, timeout=asked.get("timeout", 10.0)) as database,
            host_of(asked) as host,
            service_of(settings, database, host, bounds=bounds) as service,
        ):
            yield service

    if kind == "work":
        async with (
            Database(asked["runtime"], size=8) as database,
            host_of(asked) as host,
            Engine(database, host, Sealer(cipher(settings)), bounds),
        ):
            print(0, flush=True)
            await asyncio.Event().wait()
        return
    with socket.socket(proto=socket.IPPROTO_TCP) as bound:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(("127.0.0.1", asked.get("port", 0)))
        # As `fiel serve` has it: 5 seconds, which clients have too, would end connections under their requests.
        config = uvicorn.Config(
            create(settings, opening),
            log_config=None,
            http=Connection,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=5,
        )
        server = uvicorn.Server(config)
        task = asyncio.create_task(server.serve([bound]))
        while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.01)
        print(bound.getsockname()[1], flush=True)
        await task


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], json.loads(sys.argv[2])))
