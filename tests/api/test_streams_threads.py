"""Streams of threads, and the newer transport: commands, events and sockets, through the SDK's own clients of them."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import httpx
import orjson
import pytest
import websockets
from langgraph_sdk import get_client

from tests.api.conftest import MakeClient, Server
from tests.api.graphs import PlainHost
from tests.api.slow import slow_host
from tests.api.test_runs_stop import until
from tests.conftest import Urls

pytestmark = pytest.mark.slow


@pytest.fixture
async def host(database_urls: Urls) -> AsyncIterator[PlainHost]:
    async with slow_host(database_urls) as opened:
        yield opened


async def test_a_thread_is_followed_over_several_runs(client: MakeClient, server: Server) -> None:
    ann = await client()
    thread = (await ann.threads.create())["thread_id"]
    await ann.runs.join(thread, (await ann.runs.create(thread, "chain", input={}))["run_id"])

    fresh = asyncio.create_task(told(ann, thread, None, 1))

    async def listens() -> bool:  # what has happened before is left out by then
        return bool(server.service.engine.bell._watches.get(UUID(thread)))

    await until(listens)
    second = await ann.runs.create(thread, "chain", input={})
    heard = await asyncio.wait_for(fresh, 20)
    assert heard[0].data["run_id"] == second["run_id"] == heard[-1].data["run_id"]
    whole = await asyncio.wait_for(told(ann, thread, "-", 2), 20)
    assert [int(part.id or 0) for part in whole] == list(range(1, len(whole) + 1))
    assert whole[-len(heard) :] == heard
    assert await asyncio.wait_for(told(ann, thread, whole[1].id, 2), 20) == whole[2:]
    assert await asyncio.wait_for(told(ann, thread, whole[-2].id, 1), 20) == whole[-1:], "the end is not lost either"


async def test_whoever_joins_again_after_a_run_is_gone_misses_nothing(client: MakeClient) -> None:
    ann = await client()
    thread = (await ann.threads.create())["thread_id"]
    first: Any = await ann.runs.create(thread, "chain", input={})
    await ann.runs.join(thread, first["run_id"])
    heard: list[Any] = []
    live = asyncio.create_task(told(ann, thread, "-", 3, heard))
    gone: Any = await ann.runs.create(thread, "slow", input={"seconds": 60, "ticks": 1}, stream_mode="custom")

    async def all_heard() -> bool:
        return any(part.event == "custom" for part in heard)

    await until(all_heard)
    await ann.runs.cancel(thread, gone["run_id"], wait=True, action="rollback")
    third: Any = await ann.runs.create(thread, "chain", input={}, stream_mode="updates")
    await ann.runs.join(thread, third["run_id"])
    await ann.runs.delete(thread, first["run_id"])
    whole = await asyncio.wait_for(live, 20)
    begins = next(place for place, part in enumerate(whole) if part.data.get("run_id") == third["run_id"])
    assert [int(part.id or 0) for part in whole] == list(range(1, len(whole) + 1))
    for seen in (whole[begins - 1], whole[begins - 2]):
        assert await asyncio.wait_for(told(ann, thread, seen.id, 1), 20) == whole[begins:]


async def told(client: Any, thread: str, since: str | None, ends: int, into: list[Any] | None = None) -> list[Any]:
    """What a thread tells after an event, until so many runs have ended."""
    parts = [] if into is None else into
    async for part in await client.threads.join_stream(thread, last_event_id=since):
        parts.append(part)
        ends -= part.event == "metadata" and "status" in part.data
        if not ends:
            break
    return parts


async def headers_of(server: Server) -> dict[str, str]:
    """The SDK does not send a client's own headers over a socket."""
    return {"Authorization": f"Bearer {await server.token('ann')}"}


@pytest.mark.parametrize("transport", ["sse", "websocket"])
async def test_the_sdk_streams_a_thread(client: MakeClient, server: Server, transport: Any) -> None:
    ann, headers = await client(), await headers_of(server)
    async with ann.threads.stream(assistant_id="chain", transport=transport, headers=headers) as thread:
        started: Any = await thread.run.start(input={"topic": "x"})
        assert started["run_id"]
        output = await asyncio.wait_for(thread.output, 20)
        assert output["steps"] == ["a", "b", "c"]
        snapshots = []

        async def collect() -> None:
            async for snapshot in thread.values:
                snapshots.append(snapshot)

        await asyncio.wait_for(collect(), 20)
        assert snapshots[-1] == {"topic": "x", "steps": ["a", "b", "c"]}


@pytest.mark.parametrize("transport", ["sse", "websocket"])
async def test_the_sdk_answers_an_interrupt(client: MakeClient, server: Server, transport: Any) -> None:
    ann, headers = await client(), await headers_of(server)
    async with ann.threads.stream(assistant_id="asks", transport=transport, headers=headers) as thread:
        await thread.run.start(input={})
        for _ in range(1_000):
            if thread.interrupted:
                break
            await asyncio.sleep(0.05)
        assert thread.interrupts[0]["value"] == {"question": "go on?"}
        await thread.run.respond("yes")
        output = await asyncio.wait_for(thread.output, 20)
    assert output["steps"] == ["yes"]


async def ask(web: httpx.AsyncClient, thread: str, method: str, **params: Any) -> Any:
    answer = await web.post(f"/threads/{thread}/commands", json={"id": 7, "method": method, "params": params})
    return answer.json()


async def test_commands_that_cannot_be_say_why(http: Any, client: MakeClient) -> None:
    ann = await client()
    thread = (await ann.threads.create())["thread_id"]
    async with http() as web:
        for method, params, error in (
            ("run.stop", {}, "unknown_command"),
            ("agent.getTree", {}, "not_supported"),
            ("run.start", {}, "invalid_argument"),
            ("run.start", {"assistant_id": "chain", "langsmith_tracer": {}}, "invalid_argument"),
            ("run.start", {"assistant_id": "nothing"}, "no_such_run"),
            ("run.start", {"assistant_id": "chain", "config": {"configurable": {"run_id": "x"}}}, "invalid_argument"),
            ("input.respond", {"interrupt_id": "x", "response": 1}, "no_such_interrupt"),
        ):
            told = await ask(web, thread, method, **params)
            assert (told["type"], told["id"], told["error"]) == ("error", 7, error), told
        for body in ({"channels": []}, {"channels": ["debug"]}, {"channels": ["values"], "depth": True}):
            assert (await web.post(f"/threads/{thread}/stream/events", json=body)).status_code == 422


async def frames(web: httpx.AsyncClient, thread: str, **body: Any) -> list[Any]:
    """Frames up to the end of a run."""
    found = []
    body = {"channels": ["lifecycle"], **body}
    async with web.stream("POST", f"/threads/{thread}/stream/events", json=body) as answer:
        async for line in answer.aiter_lines():
            if line.startswith("data: "):
                found.append(orjson.loads(line[6:]))
                data = found[-1]["params"]["data"]
                root = found[-1]["method"] == "lifecycle" and not found[-1]["params"]["namespace"]
                if root and data["event"] in ("completed", "failed", "interrupted"):
                    return found
    return found


async def test_events_have_the_shapes_of_the_protocol(http: Any, client: MakeClient) -> None:
    ann = await client()
    thread = (await ann.threads.create())["thread_id"]
    every = ["lifecycle", "values", "updates", "checkpoints", "custom", "input", "tasks", "tools", "messages"]
    async with http() as web:
        await ask(web, thread, "run.start", assistant_id="nested", input={"topic": "x"})
        whole = await asyncio.wait_for(frames(web, thread, channels=every), 20)
        assert [one["seq"] for one in whole] == list(range(1, len(whole) + 1))
        assert len({one["event_id"] for one in whole}) == len(whole)
        assert [one["event_id"].split(":")[0] == "synth" for one in whole] == [
            one["method"] == "lifecycle" for one in whole
        ]
        assert whole[0]["params"]["data"] == {"event": "running", "graph_name": "nested"}
        inner = [one for one in whole if one["method"] == "lifecycle" and one["params"]["namespace"]]
        assert [one["params"]["data"]["event"] for one in inner] == ["started", "completed"]
        update = next(one for one in whole if one["method"] == "updates" and one["params"]["namespace"])
        assert update["params"]["data"] == {"node": "a", "values": {"steps": ["a"]}}
        saved = next(one for one in whole if one["method"] == "checkpoints")
        assert set(saved["params"]["data"]) <= {"id", "parent_id", "step", "source"}
        some = await asyncio.wait_for(frames(web, thread, since=whole[4]["seq"], channels=every), 20)
        assert some == whole[5:]
        deep = await asyncio.wait_for(frames(web, thread, channels=["lifecycle", "custom:mine"]), 20)
        assert {one["method"] for one in deep} == {"lifecycle"}
        await ask(web, thread, "run.start", assistant_id="slow", input={"fails": "boom"})
        failed = await asyncio.wait_for(frames(web, thread, since=whole[-1]["seq"]), 20)
        assert failed[-1]["params"]["data"]["event"] == "failed"


async def test_a_socket_lets_nobody_in_without_a_token(server: Server, client: MakeClient) -> None:
    ann = await client()
    thread = (await ann.threads.create())["thread_id"]
    address = server.url.replace("http", "ws") + f"/threads/{thread}/stream/events"
    with pytest.raises(websockets.exceptions.InvalidStatus):
        async with websockets.connect(address):
            pass
    bob = await server.token("bob")
    async with websockets.connect(address, additional_headers={"Authorization": f"Bearer {bob}"}) as socket:
        subscribe = {"id": 1, "method": "subscription.subscribe", "params": {"channels": ["values", "lifecycle"]}}
        await socket.send(orjson.dumps(subscribe).decode())
        assert orjson.loads(await socket.recv())["type"] == "success"
        async with get_client(url=server.url, headers={"Authorization": f"Bearer {await server.token('ann')}"}) as own:
            await own.runs.wait(thread, "chain", input={})
        await socket.send("not json")
        assert orjson.loads(await socket.recv())["error"] == "invalid_argument"
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(socket.recv(), 1.0)
