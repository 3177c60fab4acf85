"""What clients should not do: bodies that are none, bodies without end, answers that nobody reads.

The routes are those of the OpenAPI document: one that comes later is asked the same.
"""

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import uuid4

import httpx
import orjson
import pytest
import websockets
from langgraph.config import get_stream_writer
from langgraph.graph import END, START, StateGraph
from typing_extensions import TypedDict

from fiel.infra.api import connection, limits, live
from fiel.infra.api.routes import audit as audit_route
from fiel.infra.api.routes import streams
from fiel.tools.principal import ROLES
from tests.api.conftest import MakeClient, Server
from tests.api.graphs import PlainHost, plain_host
from tests.api.test_runs_stop import until
from tests.conftest import Urls

KNOWN = "surely_no_field"
NEEDED = {
    "/v1/chat/completions": {"model": "chain", "messages": [{"role": "user", "content": "x"}]},
    "/v1/responses": {"model": "chain", "input": "x"},
}
"""Of OpenAI's shapes the first fault alone is told."""
LARGE = 50 * 2**20
PIECE, PIECES = 100_000, 200
"""Bytes of one event, and events of one answer: more than all buffers between here and there."""


class Loud(TypedDict, total=False):
    """What `loud` is asked."""

    messages: list[Any]
    said: int
    text: str


async def _shout(state: Loud) -> Loud:
    write = get_stream_writer()
    for number in range(PIECES):
        write({"type": "progress", "number": number, "text": "x" * PIECE})
        await asyncio.sleep(0)
    return {"said": PIECES}


async def _go_on(state: Loud) -> Loud:
    return {"said": state.get("said", 0) + 1, "text": "x" * PIECE * 10}


def graphs() -> dict[str, StateGraph[Any]]:
    """`loud` says much in its one node, `long` has many steps with much in each."""
    loud: StateGraph[Any] = StateGraph(Loud)
    loud.add_node("shout", _shout).add_edge(START, "shout")
    long: StateGraph[Any] = StateGraph(Loud)
    long.add_node("go_on", _go_on).add_edge(START, "go_on")
    long.add_conditional_edges("go_on", lambda state: END if state["said"] == PIECES // 10 else "go_on", ["go_on", END])
    return {"loud": loud, "long": long}


@pytest.fixture
def database_urls(shared_urls: Urls) -> Urls:
    """One database for this file."""
    return shared_urls


@pytest.fixture
async def host(database_urls: Urls) -> AsyncIterator[PlainHost]:
    async with plain_host(database_urls) as opened:
        for name, made in graphs().items():
            opened.graphs[name] = made.compile(checkpointer=opened._saver, name=name)
        yield opened


@pytest.fixture
async def web(http: Any) -> AsyncIterator[httpx.AsyncClient]:
    """Somebody who may do everything: nothing is refused for their rights."""
    async with http("root", roles=tuple(ROLES)) as opened:
        yield opened


def routes_with_a_body(server: Server) -> list[tuple[str, str]]:
    """Method and address of each, with ids that are ids."""
    found = []
    for path, methods in server.app.openapi()["paths"].items():
        at = re.sub(r"\{(\w+)\}", lambda name: str(uuid4()) if name[1].endswith("_id") else "x", path)
        found += [(method.upper(), at) for method, route in methods.items() if "requestBody" in route]
    assert len(found) > 40
    return found


def refused(answer: httpx.Response, at: str) -> None:
    """It has the status and the shape that its clients know."""
    what = f"{answer.request.method} {at}: {answer.status_code} {answer.text[:300]}"
    assert answer.status_code == (400 if at.startswith("/v1/") else 422), what
    told = answer.json()
    assert told["error"]["message"] if at.startswith("/v1/") else told["detail"], what


async def test_a_body_that_is_no_json_is_refused_everywhere(server: Server, web: httpx.AsyncClient) -> None:
    for method, at in routes_with_a_body(server):
        for kind in ("application/json", "text/plain;charset=UTF-8"):
            for body in (b'{"a": ', b"\xff\xfe", b"{'a': 1}", b'{"a": "\\u0000"}', b"[" * 5000 + b"]" * 5000, b"NaN"):
                answer = await web.request(method, at, content=body, headers={"Content-Type": kind})
                refused(answer, at)


async def test_a_body_of_another_kind_is_refused_everywhere(server: Server, web: httpx.AsyncClient) -> None:
    """Also where JSON is called text/plain, as Studio does."""
    for method, at in routes_with_a_body(server):
        for kind in ("application/json", "text/plain;charset=UTF-8"):
            bodies = (b"7", b'"text"', b"true", b"[7]")
            for body in bodies if "batch" not in at else bodies[:-1]:
                refused(await web.request(method, at, content=body, headers={"Content-Type": kind}), at)


async def test_a_field_that_is_not_known_is_refused_by_its_name(server: Server, web: httpx.AsyncClient) -> None:
    for method, at in routes_with_a_body(server):
        if at.endswith("/commands"):
            continue  # the transport lets commands carry more than it names
        body: Any = {**NEEDED.get(at, {}), KNOWN: 1}
        answer = await web.request(method, at, json=[body] if at == "/runs/batch" else body)
        refused(answer, at)
        assert KNOWN in answer.text, f"{method} {at}: {answer.text[:300]}"


async def test_fifty_megabytes_are_refused_before_they_come(server: Server, web: httpx.AsyncClient) -> None:
    host, port = server.url.removeprefix("http://").split(":")
    for method, at in routes_with_a_body(server):
        reader, writer = await asyncio.open_connection(host, int(port))
        head = f"{method} {at} HTTP/1.1\r\nHost: x\r\nAuthorization: {web.headers['authorization']}\r\n"
        writer.write(f"{head}Content-Type: application/json\r\nContent-Length: {LARGE}\r\n\r\n".encode())
        status = await reader.readline()
        assert b" 413 " in status, f"{method} {at}: {status!r}"
        writer.transport.abort()


# Connections ----------------------------------------------------------------------------------------------------------


async def narrow(server: Server) -> socket.socket:
    """A connection that holds little of what is not read: alone, the machine would hold tens of megabytes."""
    host, port = server.url.removeprefix("http://").split(":")
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**14)
    made.setblocking(False)
    await asyncio.get_running_loop().sock_connect(made, (host, int(port)))
    return made


async def raw(server: Server, sent: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection(sock=await narrow(server), limit=2**14)
    writer.write(sent)
    return reader, writer


@pytest.mark.parametrize(
    "sent", [b"", b"GET /ok HT", b"GET /ok HTTP/1.1\r\nHost: x\r\nX: "], ids=["none", "line", "head"]
)
async def test_a_request_that_does_not_come_is_not_waited_for(
    server: Server, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.5)
    reader, writer = await raw(server, sent)
    with pytest.raises(ConnectionError):
        while True:  # dripping does not help
            writer.write(b"x" if sent else b"")
            await writer.drain()
            if reader.at_eof():
                raise ConnectionResetError
            await asyncio.sleep(0.05)
    writer.transport.abort()


async def test_a_connection_that_asks_in_time_is_kept(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.5)
    reader, writer = await raw(server, b"")
    for _ in range(3):
        writer.write(b"GET /ok HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(len(b'{"ok":true}'))
        await asyncio.sleep(0.7)
    writer.transport.abort()


async def test_a_head_without_end_is_not_kept(server: Server) -> None:
    reader, writer = await raw(server, b"GET /ok HTTP/1.1\r\nHost: x\r\nX: ")
    answer = asyncio.create_task(reader.readline())
    sent = 0
    try:
        while not answer.done() and sent < 64 * 2**20:
            writer.write(b"x" * 2**14)
            sent += 2**14
            await writer.drain()
            await asyncio.sleep(0)
    except ConnectionError:
        pass
    assert b" 400 " in await answer
    assert sent < 16 * 2**20, "what stands in buffers of the machine at most"
    writer.transport.abort()


@pytest.mark.parametrize("at", ["/threads", "/v1/responses"])
async def test_a_body_that_does_not_come_is_not_waited_for(
    server: Server, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    monkeypatch.setattr(limits, "SLOWEST", 0.5)
    monkeypatch.setattr(limits, "LINGER", 0.5)
    reader, writer = await raw(server, f"POST {at} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{{".encode())
    assert b" 408 " in await reader.readline()
    assert b"too_slow" in await reader.read()
    writer.transport.abort()


# Answers that nobody reads --------------------------------------------------------------------------------------------


async def deaf(server: Server, path: str, body: Any, roles: Any = ("reader",)) -> asyncio.StreamWriter:
    """A client that asks, reads the status, and nothing more."""
    text, token = orjson.dumps(body), await server.token("ann", roles)
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Length: {len(text)}\r\n\r\n"
    reader, writer = await raw(server, head.encode() + text)
    assert b" 200 " in await reader.readline()
    return writer


def is_cut(server: Server, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Awaitable[None]]:
    """Wait until the server has dropped a connection because it was not read."""
    dropped: list[bool] = []
    drop = live.cut_off
    monkeypatch.setattr(live, "cut_off", lambda scope: (drop(scope), dropped.append("cut_off" in scope["state"])))

    async def wait() -> None:
        async def gone() -> bool:
            return dropped == [True]

        await until(gone, 60)

    return wait


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses"])
async def test_an_answer_in_openais_shape_is_cut(server: Server, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.setattr(live, "STALLED", 0.5)
    cut = is_cut(server, monkeypatch)
    asked = {"messages": [{"role": "user", "content": "x"}]} if "chat" in path else {"input": "x"}
    writer = await deaf(server, path, {"model": "loud", "stream": True, **asked})
    await cut()

    async def ended() -> bool:
        return not server.service.engine.works

    await until(ended, 60)
    writer.transport.abort()


async def test_an_export_is_cut_and_the_next_may_begin(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "STALLED", 0.5)
    cut = is_cut(server, monkeypatch)

    async def lines(*_: Any) -> AsyncIterator[bytes]:
        for _ in range(PIECES):
            yield b"x" * PIECE

    monkeypatch.setattr(audit_route.audit, "lines", lines)
    writer = await deaf(server, "/audit/export", {}, ("auditor",))
    await cut()

    async def free() -> bool:
        return not server.service.auditing.locked()

    await until(free, 60)
    writer.transport.abort()


async def test_a_socket_is_cut(server: Server, client: MakeClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "STALLED", 0.5)
    monkeypatch.setattr(streams, "FAREWELL", 0.5)
    cut = is_cut(server, monkeypatch)
    ann = await client()
    thread = (await ann.threads.create())["thread_id"]
    address = server.url.replace("http", "ws") + f"/threads/{thread}/stream/events"
    token = {"Authorization": f"Bearer {await server.token('ann')}"}
    options: Any = {
        "max_queue": 1,
        "ping_interval": None,
        "close_timeout": 0.1,
        "compression": None,
        "sock": await narrow(server),
    }
    async with websockets.connect(address, additional_headers=token, **options) as opened:
        subscribe = {"id": 1, "method": "subscription.subscribe", "params": {"channels": ["values"]}}
        await opened.send(orjson.dumps(subscribe).decode())
        await opened.recv()
        start = {"id": 2, "method": "run.start", "params": {"assistant_id": "long", "input": {"said": 0}}}
        await opened.send(orjson.dumps(start).decode())
        await cut()
