"""Runs of the benchmark `api`: on a server over HTTP, and on the bare graph in this process."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from psycopg import AsyncConnection
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from fiel.infra.bench import three
from fiel.infra.bench.load import Call
from fiel.infra.bench.served import GRAPH, Server

QUESTION = "Which way is up?"
ANSWER = ", ".join([QUESTION.upper()] * 3)
SCHEMA = "bench"


class Wrong(RuntimeError):
    """A server answered something else than the graph says."""


class Client:
    """Runs on one server, over connections that stay open."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def threads(self, count: int) -> list[str]:
        """New threads."""
        return [str((await self._sent("/threads", {})).json()["thread_id"]) for _ in range(count)]

    async def wait(self, thread: str, durability: str) -> None:
        """One run, and its result. Raises Wrong."""
        answer = await self._sent(f"/threads/{thread}/runs/wait", _order(durability))
        if answer.json().get("answer") != ANSWER:
            raise Wrong(answer.text[:500])

    async def first(self, thread: str) -> tuple[float, float]:
        """Seconds from a request for a stream to its first event, and to the first that the graph says."""
        begun, times = time.perf_counter(), []
        async with self._http.stream("POST", f"/threads/{thread}/runs/stream", json=_order("async")) as answer:
            async for line in answer.aiter_lines():
                if line.startswith("event:"):
                    times.append(time.perf_counter() - begun)
                if "error" in line:
                    raise Wrong(line[:500])
        if len(times) < 2:
            raise Wrong(f"the stream had {len(times)} events")
        return times[0], times[1]

    async def held(self, thread: str, seconds: float) -> str:
        """A run that goes on for so long; its id."""
        order = _order("async") | {"input": {"question": QUESTION, "seconds": seconds}}
        return str((await self._sent(f"/threads/{thread}/runs", order)).json()["run_id"])

    async def listen(self, thread: str, run: str, opened: asyncio.Event) -> None:
        """A stream of a run, from its first event to its end."""
        async with self._http.stream("GET", f"/threads/{thread}/runs/{run}/stream") as answer:
            async for line in answer.aiter_lines():
                if line.startswith("event:"):
                    opened.set()

    async def cancel(self, thread: str, run: str) -> None:
        """Stop a run."""
        (await self._http.post(f"/threads/{thread}/runs/{run}/cancel?wait=true")).raise_for_status()

    async def _sent(self, path: str, body: Any) -> httpx.Response:
        answer = await self._http.post(path, json=body)
        if answer.status_code != 200:
            raise Wrong(f"{path}: {answer.status_code} {answer.text[:500]}")
        return answer


@asynccontextmanager
async def client(server: Server, connections: int) -> AsyncIterator[Client]:
    """A client of a server."""
    limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
    async with httpx.AsyncClient(base_url=server.url, timeout=120.0, limits=limits, trust_env=False) as http:
        yield Client(http)


def waiting(client: Client, threads: list[str], durability: str) -> Call:
    """A run on a thread that no other call is on."""
    lent = _lent(threads)
    return lambda: lent(lambda thread: client.wait(thread, durability))


def _order(durability: str) -> dict[str, Any]:
    return {
        "assistant_id": GRAPH,
        "input": {"question": QUESTION, "seconds": 0},
        "durability": durability,
        "stream_mode": "values",
    }


def _lent(threads: Sequence[str]) -> Callable[[Callable[[str], Awaitable[None]]], Awaitable[None]]:
    """Lends a thread to each call: never the same one to two at once, and as few as there are callers."""
    free = list(threads)

    async def lent(call: Callable[[str], Awaitable[None]]) -> None:
        thread = free.pop()
        try:
            await call(thread)
        finally:
            free.append(thread)

    return lent


@asynccontextmanager
async def bare(url: str) -> AsyncIterator[Callable[[str], Call]]:
    """The floor: the graph in this process over LangGraph's own checkpointer on a pool."""
    async with await AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}".encode())

    async def own(connection: AsyncConnection[Any]) -> None:
        await connection.execute(f"SET search_path = {SCHEMA}".encode())

    how = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}
    async with AsyncConnectionPool(url, kwargs=how, min_size=4, max_size=16, configure=own, open=False) as pool:
        saver = AsyncPostgresSaver(pool)
        await saver.setup()
        graph = three.made().compile(checkpointer=saver)
        yield lambda durability: _bare(graph, durability)


def _bare(graph: Any, durability: str) -> Call:
    lent = _lent([f"{durability}-{number}" for number in range(16)])

    async def call(thread: str) -> None:
        config = {"configurable": {"thread_id": thread}}
        found = await graph.ainvoke({"question": QUESTION, "seconds": 0}, config, durability=durability)
        if found["answer"] != ANSWER:
            raise Wrong(str(found))

    return lambda: lent(call)
