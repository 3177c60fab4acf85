"""Webhooks: signed, retried, and never sent where they could reach what is internal."""

import asyncio
import hmac
import ipaddress
import json
import time
from collections.abc import AsyncIterator
from hashlib import sha256
from typing import Any

import pytest

from fiel.infra.runs import webhooks
from fiel.infra.runs.webhooks import Hooks, WebhookRefused, Webhooks, public
from fiel.infra.settings import Settings
from tests.api.conftest import MakeClient, Server
from tests.api.graphs import PlainHost, plain_host
from tests.conftest import Urls

pytestmark = pytest.mark.slow

SECRET = "not-a-secret"


@pytest.fixture
async def host(database_urls: Urls) -> AsyncIterator[PlainHost]:
    async with plain_host(database_urls) as opened:
        yield opened


@pytest.fixture
def service_settings(tmp_path: Any) -> Settings:
    return Settings(home=str(tmp_path / "home"), rate=0, webhook_hosts="127.0.0.1", webhook_secret=SECRET)


class Receiver:
    """Takes webhooks on loopback."""

    def __init__(self, *statuses: str) -> None:
        self.statuses = list(statuses)
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.port = 0

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers["content-length"]))
        self.got.append((headers, body))
        status = self.statuses.pop(0) if self.statuses else "200 OK"
        more = "Location: http://127.0.0.1:1/elsewhere\r\n" if status.startswith("3") else ""
        writer.write(f"HTTP/1.1 {status}\r\n{more}Content-Length: 0\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    async def wait(self, many: int) -> None:
        deadline = time.monotonic() + 60
        while len(self.got) < many:
            assert time.monotonic() < deadline, "no webhook came"
            await asyncio.sleep(0.05)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    made = Receiver()
    async with await asyncio.start_server(made.take, "127.0.0.1", 0) as server:
        made.port = server.sockets[0].getsockname()[1]
        yield made


async def test_a_webhook_is_signed_and_tells_how_the_run_ended(client: MakeClient, receiver: Receiver) -> None:
    ann = await client()
    thread = (await ann.threads.create())["thread_id"]
    url = f"http://127.0.0.1:{receiver.port}/hook?x=1"
    run = await ann.runs.create(thread, "chain", input={"topic": "t"}, webhook=url)
    await receiver.wait(1)
    headers, body = receiver.got[0]
    told = json.loads(body)
    assert (told["run_id"], told["status"], told["values"]["steps"]) == (run["run_id"], "success", ["a", "b", "c"])
    expected = hmac.new(SECRET.encode(), headers["x-fiel-timestamp"].encode() + b"." + body, sha256).hexdigest()
    assert headers["x-fiel-signature"] == f"v1={expected}"
    assert headers["host"] == f"127.0.0.1:{receiver.port}"


async def test_a_webhook_is_tried_again_and_follows_no_redirect(client: MakeClient, receiver: Receiver) -> None:
    receiver.statuses = ["503 Not now", "307 Elsewhere"]
    ann = await client()
    url = f"http://127.0.0.1:{receiver.port}/"
    await ann.runs.create(None, "chain", input={}, webhook=url)
    await receiver.wait(2)
    await asyncio.sleep(1.5)
    assert len(receiver.got) == 2


async def test_an_address_that_takes_no_connection_gives_way_to_the_next(
    monkeypatch: pytest.MonkeyPatch, client: MakeClient, receiver: Receiver
) -> None:
    async def resolve(host: str, port: int) -> list[webhooks.Address]:
        return [ipaddress.ip_address("127.0.0.3"), ipaddress.ip_address("127.0.0.1")]

    monkeypatch.setattr(webhooks, "_resolved", resolve)
    monkeypatch.setattr(Webhooks, "_allows", lambda *_: True)
    ann = await client()
    await ann.runs.create(None, "chain", input={}, webhook=f"http://two.example:{receiver.port}/")
    await receiver.wait(1)
    assert receiver.got[0][0]["host"] == f"two.example:{receiver.port}"


INTERNAL = [
    "http://127.0.0.2/",
    "http://[::1]/",
    "http://10.1.2.3/",
    "http://192.168.0.1/",
    "http://172.16.0.1/",
    "http://169.254.169.254/latest/meta-data",
    "http://100.64.0.1/",
    "http://[fd00:ec2::254]/",
    "http://[fe80::1]/",
    "http://[fec0::1]/",
    "http://[::ffff:10.0.0.1]/",
    "http://[64:ff9b::a00:1]/",
    "http://[2002:a00:1::]/",
    "http://0.0.0.0/",
    "http://2130706434/",
    "http://0x7f000002/",
    "http://224.0.0.1/",
]


@pytest.mark.parametrize("url", [*INTERNAL, "ftp://example.com/", "http:///x", "/relative", "http://u:p@example.com/"])
async def test_internal_addresses_are_refused_when_the_run_is_made(http: Any, url: str) -> None:
    async with http() as web:
        answer = await web.post("/runs", json={"assistant_id": "chain", "input": {}, "webhook": url})
    assert (answer.status_code, answer.json()["code"]) == (422, "webhook_refused")


async def test_a_name_that_resolves_inside_is_refused_and_the_address_is_pinned(
    monkeypatch: pytest.MonkeyPatch, server: Server
) -> None:
    answers = [["93.184.216.34"], ["93.184.216.34", "10.0.0.1"], ["10.0.0.1"]]

    found = webhooks._resolved

    async def resolve(host: str, port: int) -> list[webhooks.Address]:
        if host == "localhost":
            return await found(host, port)
        return [ipaddress.ip_address(one) for one in answers.pop(0)]

    monkeypatch.setattr(webhooks, "_resolved", resolve)
    hooks = Webhooks(server.service.engine.runs, Hooks(lambda: b"s"))
    target = await hooks.check("https://rebind.example/x")
    assert (target.urls, target.authority) == (["https://93.184.216.34:443/x"], "rebind.example")
    with pytest.raises(WebhookRefused):
        await hooks.check("http://localhost/")
    for _ in range(2):
        with pytest.raises(WebhookRefused):
            await hooks.check("https://rebind.example/x")


def test_what_is_public() -> None:
    assert public(ipaddress.ip_address("93.184.216.34"))
    assert public(ipaddress.ip_address("2606:2800:220:1:248:1893:25c8:1946"))
    assert not public(ipaddress.ip_address("64:ff9b::7f00:1"))
