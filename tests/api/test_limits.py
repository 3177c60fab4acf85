"""Limits: requests a minute a principal, bytes a body."""

import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import pytest
import websockets

from fiel.infra.api.auth import Calling
from fiel.infra.api.errors import TooMany
from fiel.infra.api.limits import KEPT, Limits
from fiel.infra.settings import Settings
from fiel.tools.principal import Principal
from tests.api.conftest import Server, serving
from tests.conftest import Urls

ANN, ELSEWHERE = Principal("default", "ann"), Principal("acme", "ann")
MIB = 2**20


@pytest.fixture
def database_urls(shared_urls: Urls) -> Urls:
    """One database for this file."""
    return shared_urls


@pytest.fixture
async def strict(service_settings: Settings, database_urls: Urls, host: Any) -> AsyncIterator[Server]:
    """Five requests a minute, a mebibyte a body."""
    settings = dataclasses.replace(service_settings, rate=5, max_body_mb=1)
    async with serving(settings, database_urls, host) as server:

        @server.app.get("/whoami")
        async def whoami(caller: Calling) -> str:
            return caller.principal.id

        @server.app.post("/size")
        async def size(value: dict[str, Any]) -> int:
            return len(value["text"])

        @server.app.post("/v1/size")
        async def openai_size(value: dict[str, Any]) -> int:
            return len(value["text"])

        yield server


async def test_whoever_asks_too_often_is_told_when_to_come_back(strict: Server) -> None:
    ann, bob = [{"Authorization": f"Bearer {await strict.token(user)}"} for user in ("ann", "bob")]
    async with httpx.AsyncClient(base_url=strict.url, timeout=60) as web:
        answers = [await web.get("/whoami", headers=ann) for _ in range(6)]
        assert [answer.status_code for answer in answers] == [200] * 5 + [429]
        assert [answer.headers["ratelimit-remaining"] for answer in answers] == ["4", "3", "2", "1", "0", "0"]
        assert {answer.headers["ratelimit-limit"] for answer in answers} == {"5"}
        assert 0 < int(answers[-1].headers["retry-after"]) <= 12
        assert answers[-1].json()["code"] == "too_many"
        assert (await web.get("/whoami", headers=bob)).status_code == 200, "another's limit is another's"
        second = {"Authorization": f"Bearer {await strict.token('ann')}"}
        assert (await web.get("/whoami", headers=second)).status_code == 429, "a second token is no second allowance"


async def test_commands_over_a_socket_count_as_requests(strict: Server) -> None:
    address = strict.url.replace("http", "ws") + f"/threads/{uuid4()}/stream/events"
    told = []
    headers = {"Authorization": f"Bearer {await strict.token('ann')}"}
    async with websockets.connect(address, additional_headers=headers) as socket:
        for number in range(5):
            await socket.send(f'{{"id": {number}, "method": "subscription.unsubscribe", "params": {{}}}}')
            told.append(json.loads(await socket.recv()))
    assert [one["error"] for one in told] == ["no_such_subscription"] * 4 + ["unknown_error"]
    assert told[-1]["message"] == "more than 5 requests a minute"


def test_an_allowance_comes_back_with_time() -> None:
    now = 0.0
    limits = Limits(6, clock=lambda: now)
    for _ in range(6):
        limits.take(ANN)
    with pytest.raises(TooMany) as caught:
        limits.take(ANN)
    assert caught.value.retry_after == 10
    assert limits.take(ELSEWHERE) is not None, "the same name in another tenant is somebody else"
    now = 10.0
    limits.take(ANN)
    with pytest.raises(TooMany):
        limits.take(ANN)
    now = 1e6
    allowance = limits.take(ANN)
    assert allowance is not None
    assert (allowance.remaining, allowance.reset) == (5, 10)


def test_without_a_limit_nothing_is_counted() -> None:
    limits = Limits(0)
    assert all(limits.take(ANN) is None for _ in range(1000))


def test_the_memory_of_principals_is_bounded() -> None:
    limits = Limits(5)
    for number in range(KEPT + 10):
        limits.take(Principal("default", str(number)))
    assert len(limits._buckets) == KEPT


@pytest.mark.parametrize("path", ["/size", "/v1/size"])
async def test_a_body_over_the_limit_is_refused(strict: Server, path: str) -> None:
    async with httpx.AsyncClient(base_url=strict.url, timeout=60) as web:
        assert (await web.post(path, json={"text": "x" * (MIB - 100)})).json() == MIB - 100
        refused = await web.post(path, json={"text": "x" * MIB})
        assert refused.status_code == 413
        code = refused.json()["error"]["code"] if path.startswith("/v1/") else refused.json()["code"]
        assert code == "too_large"

        async def parts() -> AsyncIterator[bytes]:
            yield b'{"text": "'
            for _ in range(64):
                yield b"x" * (MIB // 16)

        unannounced = await web.post(path, content=parts(), headers={"Content-Type": "application/json"})
        assert unannounced.status_code == 413


async def test_an_endless_body_is_cut_while_it_is_read(strict: Server) -> None:
    address = urlsplit(strict.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write(b"POST /size HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n")
    writer.write(b"Content-Type: application/json\r\n\r\n")
    sent = 0
    status = asyncio.create_task(reader.readline())
    try:
        while not status.done() and sent < 64 * MIB:
            writer.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")
            sent += 65536
            await writer.drain()
            await asyncio.sleep(0)
    except ConnectionError:
        pass
    assert b"413" in await status
    assert sent < 16 * MIB, "what stands in buffers of the machine at most"
    writer.transport.abort()


@pytest.mark.parametrize("length", [b"-1", b"9" * 30, b"1e3"])
async def test_an_announced_length_that_is_none_is_refused(strict: Server, length: bytes) -> None:
    address = urlsplit(strict.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write(b"POST /size HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: " + length + b"\r\n\r\n{}")
    line = await asyncio.wait_for(reader.readline(), 5)
    assert line.split()[1] in (b"400", b"413")
    writer.transport.abort()
