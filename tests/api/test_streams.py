"""Streams of runs: joined, left, rejoined from another process, without a gap and without anything twice."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import httpx
import pytest
from langgraph_sdk import get_client

from fiel.infra.api import live
from fiel.infra.settings import Settings
from fiel.tools.principal import local_administrator
from tests.api import slow
from tests.api.conftest import MakeClient, Server, serving
from tests.api.graphs import PlainHost
from tests.api.test_runs_stop import begun, started, until
from tests.conftest import Urls

TICKS: dict[str, Any] = {"seconds": 0.6, "ticks": 30}


@pytest.fixture
async def host(database_urls: Urls) -> AsyncIterator[PlainHost]:
    async with slow.slow_host(database_urls) as opened:
        yield opened


@pytest.fixture
async def other(service_settings: Settings, database_urls: Urls, server: Server) -> AsyncIterator[Server]:
    """Another process over the same database (here in the same one: nothing is shared but PostgreSQL and the key)."""
    async with slow.slow_host(database_urls) as own, serving(service_settings, database_urls, own) as second:
        yield second


def same(parts: list[Any], whole: list[Any]) -> None:
    assert [(part.id, part.event, part.data) for part in parts] == [(one.id, one.event, one.data) for one in whole]


async def test_a_stream_is_joined_from_the_start_and_from_any_event(client: MakeClient) -> None:
    ann = await client()
    thread = (await ann.threads.create())["thread_id"]
    run = await ann.runs.create(thread, "slow", input=TICKS, stream_mode=["custom", "values"])
    live_parts = [part async for part in ann.runs.join_stream(thread, run["run_id"])]
    assert [int(part.id or 0) for part in live_parts] == list(range(1, len(live_parts) + 1))
    assert sum(part.event == "custom" for part in live_parts) == 30
    again = [part async for part in ann.runs.join_stream(thread, run["run_id"], last_event_id="-1")]
    same(again, live_parts)
    rest = [part async for part in ann.runs.join_stream(thread, run["run_id"], last_event_id="20")]
    same(rest, live_parts[20:])


async def test_a_stream_goes_on_in_another_process(client: MakeClient, server: Server, other: Server) -> None:
    ann = await client()
    token = await server.token("ann")
    thread = (await ann.threads.create())["thread_id"]
    seen = []
    async for part in ann.runs.stream(thread, "slow", input=TICKS, stream_mode="custom", on_disconnect="continue"):
        seen.append(part)
        if len(seen) == 10:
            break
    run = (await ann.runs.list(thread))[0]["run_id"]
    async with server.service.database.system() as connection:
        await connection.execute("SELECT pg_notify('fiel_runs', 'no run,')")  # whoever listens goes on listening
    async with get_client(url=other.url, headers={"Authorization": f"Bearer {token}"}) as elsewhere:
        rest = [part async for part in elsewhere.runs.join_stream(thread, run, last_event_id=seen[-1].id)]
        joined: Any = await elsewhere.runs.join(thread, run)
    ids = [int(part.id or 0) for part in [*seen, *rest]]
    assert ids == list(range(1, 32))
    assert [part.data["tick"] for part in [*seen, *rest] if part.event == "custom"] == list(range(30))
    bells = [one.service.engine.bell for one in (server, other)]
    assert not any(task.done() for bell in bells for task in bell._tasks)
    assert all(bell._tasks for bell in bells), "each listens still"
    assert joined["done"] == ["first", "work"]


async def test_no_event_is_lost_while_a_heartbeat_is_late(
    client: MakeClient, server: Server, other: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, token, engine = await client(), await server.token("ann"), server.service.engine
    thread = (await ann.threads.create())["thread_id"]
    run = await ann.runs.create(thread, "slow", input=TICKS, stream_mode="custom")

    def said() -> int:
        feed = engine.feeds.get(UUID(run["run_id"]))
        return feed.written if feed is not None else 0

    async def beyond(number: int) -> bool:
        return said() > number

    await until(lambda: beyond(3))
    with monkeypatch.context() as late:
        late.setattr(type(engine.lease), "worker", property(lambda _: None))  # nothing may be claimed meanwhile
        before = said()
        await until(lambda: beyond(before + 5))
    await ann.runs.join(thread, run["run_id"])
    async with get_client(url=other.url, headers={"Authorization": f"Bearer {token}"}) as elsewhere:
        parts = [part async for part in elsewhere.runs.join_stream(thread, run["run_id"], last_event_id="-1")]
    assert [int(part.id or 0) for part in parts] == list(range(1, 32))
    assert [part.data["tick"] for part in parts if part.event == "custom"] == list(range(30))


async def test_a_run_is_cancelled_from_another_process(client: MakeClient, server: Server, other: Server) -> None:
    ann, token = await client(), await server.token("ann")
    thread = (await ann.threads.create())["thread_id"]
    run = await started(ann, thread)
    async with get_client(url=other.url, headers={"Authorization": f"Bearer {token}"}) as elsewhere:
        began = time.monotonic()
        await elsewhere.runs.cancel(thread, run, wait=True)
    assert time.monotonic() - began < 2.0
    assert (await ann.runs.get(thread, run))["status"] == "interrupted"


async def test_a_listener_hears_only_the_modes_it_asks_for(client: MakeClient) -> None:
    ann = await client()
    thread = (await ann.threads.create())["thread_id"]
    modes: Any = [
        "custom",
        "values",
        "updates",
        "tasks",
        "checkpoints",
        "debug",
        "events",
        "messages-tuple",
        "messages",
    ]
    run = await ann.runs.create(thread, "slow", input={"ticks": 2}, stream_mode=modes)
    heard = [part async for part in ann.runs.join_stream(thread, run["run_id"], stream_mode=["custom", "updates"])]
    assert {part.event for part in heard} == {"metadata", "custom", "updates"}
    every = [part async for part in ann.runs.join_stream(thread, run["run_id"])]
    assert {"values", "updates", "tasks", "checkpoints", "debug", "events", "custom"} <= {part.event for part in every}


@pytest.mark.parametrize(("on_disconnect", "status"), [("cancel", "interrupted"), ("continue", "success")])
async def test_a_listener_leaves(client: MakeClient, on_disconnect: Any, status: str) -> None:
    ann = await client()
    thread = (await ann.threads.create())["thread_id"]
    async for part in ann.runs.stream(
        thread, "slow", input={"seconds": 0.5, "ticks": 50}, stream_mode="custom", on_disconnect=on_disconnect
    ):
        if part.event == "custom":
            break
    run = (await ann.runs.list(thread))[0]["run_id"]

    async def ended() -> bool:
        return (await ann.runs.get(thread, run))["status"] == status

    await until(ended)


async def test_who_waits_and_leaves_cancels(client: MakeClient, http: Any) -> None:
    ann = await client()
    thread = (await ann.threads.create())["thread_id"]
    body = {"assistant_id": "slow", "input": {"seconds": 30}, "on_disconnect": "cancel"}
    async with http() as web:
        with pytest.raises(httpx.ReadTimeout):
            await web.post(f"/threads/{thread}/runs/wait", json=body, timeout=1.0)
    run = (await ann.runs.list(thread))[0]["run_id"]

    async def ended() -> bool:
        return (await ann.runs.get(thread, run))["status"] == "interrupted"

    await until(ended)


async def test_locations_are_told_and_silence_is_filled(
    client: MakeClient, http: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "HEARTBEAT", 0.5)
    ann = await client()
    thread = (await ann.threads.create())["thread_id"]
    body = {"assistant_id": "slow", "input": {"seconds": 3}}
    async with http() as web, web.stream("POST", f"/threads/{thread}/runs/stream", json=body) as answer:
        text = "".join([piece async for piece in answer.aiter_text()])
    run = (await ann.runs.list(thread))[0]["run_id"]
    assert answer.headers["content-location"] == f"/threads/{thread}/runs/{run}"
    assert answer.headers["location"] == f"/threads/{thread}/runs/{run}/stream"
    assert ": heartbeat" in text
    async with http() as web:
        waited = await web.post(f"/threads/{thread}/runs/wait", json=body)
    assert waited.text.startswith("\n") and waited.json()["done"]
    assert waited.headers["location"].endswith("/join")


async def test_a_revoked_right_ends_a_stream(
    server: Server, monkeypatch: pytest.MonkeyPatch, client: MakeClient
) -> None:
    monkeypatch.setattr(live, "CHECK", 0.2)
    ann = await client()
    secret = await server.token("ann")
    async with get_client(url=server.url, headers={"Authorization": f"Bearer {secret}"}) as held:
        thread = (await held.threads.create())["thread_id"]
        run = await started(held, thread)
        tokens = server.service.authenticator.tokens
        found = await tokens.find(secret)
        assert found is not None

        listened = asyncio.Event()

        async def listen() -> list[Any]:
            headers, address = {"Authorization": f"Bearer {secret}"}, f"{server.url}/threads/{thread}/runs/{run}/stream"
            async with httpx.AsyncClient(headers=headers, timeout=30) as web, web.stream("GET", address) as answer:
                listened.set()
                return [piece async for piece in answer.aiter_text()]

        listening = asyncio.create_task(listen())
        await listened.wait()
        await tokens.revoke(local_administrator(), found.id)
        with pytest.raises(httpx.RemoteProtocolError):
            await asyncio.wait_for(listening, 60)
    await ann.runs.cancel(thread, run, wait=True)


async def test_a_client_that_does_not_read_is_cut_and_holds_little(
    client: MakeClient, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "STALLED", 1.0)
    ann, token = await client(), await server.token("ann")
    thread = (await ann.threads.create())["thread_id"]
    run = await ann.runs.create(
        thread, "slow", input={"seconds": 1, "ticks": 200, "size": 100_000}, stream_mode="custom"
    )
    await begun(ann, thread, run["run_id"])
    host, port = server.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=2**14)
    path = f"/threads/{thread}/runs/{run['run_id']}/stream"
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
    await reader.readline()
    engine = server.service.engine

    async def watched() -> bool:
        return bool(engine.bell._watches.get(UUID(run["run_id"])))

    await until(watched)

    async def cut() -> bool:
        return not await watched()

    await until(cut, 30)
    feed = engine.feeds.get(UUID(run["run_id"]))
    assert feed is None or feed._bytes <= 2**18 + 100_100
    writer.close()
    await ann.runs.join(thread, run["run_id"])
    whole = [part async for part in ann.runs.join_stream(thread, run["run_id"])]
    assert len(whole) == 201
