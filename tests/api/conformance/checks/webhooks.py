"""Checks of webhooks."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from langgraph_sdk.client import LangGraphClient

from tests.api.conformance.check import check
from tests.api.conformance.talk import thread, until


class Receiver:
    """Takes webhooks on loopback. Both servers are told that they may call it."""

    def __init__(self) -> None:
        self.got: list[Any] = []
        self.url = ""

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = head.split("content-length:")[1].split("\r\n")[0]
        self.got.append(json.loads(await reader.readexactly(int(length))))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    async def first(self) -> Any:
        async def there() -> Any:
            return self.got

        return (await until(there, "a webhook"))[0]


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    made = Receiver()
    async with await asyncio.start_server(made.take, "127.0.0.1", 0) as server:
        made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
        yield made


@check("webhooks: when a run has ended", "runs.create(webhook): called after the run is done, with run and values")
async def _called(client: LangGraphClient) -> None:
    async with receiving() as receiver:
        mine = await thread(client)
        run = await client.runs.create(mine, "chain", input={"topic": "x"}, webhook=receiver.url, metadata={"n": 1})
        told = await receiver.first()
    assert (told["run_id"], told["thread_id"], told["status"]) == (run["run_id"], mine, "success")
    assert (told["values"]["steps"], told["metadata"]["n"]) == (["a", "b", "c"], 1)
    assert {"run_started_at", "run_ended_at", "webhook_sent_at"} <= told.keys()


@check("webhooks: when a run has failed", "runs.create(webhook): called after the run is done, with its error")
async def _failed(client: LangGraphClient) -> None:
    async with receiving() as receiver:
        await client.runs.create(await thread(client), "pace", input={"fails": True}, webhook=receiver.url)
        told = await receiver.first()
    assert told["status"] == "error" and told["error"]["error"] and told["error"]["message"]


@check("webhooks: of a stateless run", "runs.wait(None, webhook)")
async def _stateless(client: LangGraphClient) -> None:
    async with receiving() as receiver:
        await client.runs.wait(None, "chain", input={"topic": "x"}, webhook=receiver.url)
        told = await receiver.first()
    assert told["status"] == "success" and told["run_id"]
