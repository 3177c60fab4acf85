"""Checks of the newer transport: commands beside a stream of events, as server-sent events and over a WebSocket."""

from typing import Any, Literal

from langgraph_sdk.client import LangGraphClient

from tests.api.conformance.check import check
from tests.api.conformance.graphs import WORDS


async def _values(client: LangGraphClient, transport: Literal["sse", "websocket"]) -> None:
    async with client.threads.stream(assistant_id="chain", transport=transport) as stream:
        started = await stream.run.start(input={"topic": "x"})
        assert started["run_id"]
        seen: list[Any] = [values async for values in stream.values]
        output: Any = await stream.output
    assert seen[-1]["steps"] == ["a", "b", "c"]
    assert output["steps"] == ["a", "b", "c"]


@check("transport: values, server-sent", "threads.stream: run.start, values, output; POST /commands and /stream/events")
async def _sse(client: LangGraphClient) -> None:
    await _values(client, "sse")


@check("transport: values, over a WebSocket", "threads.stream(transport='websocket')")
async def _socket(client: LangGraphClient) -> None:
    await _values(client, "websocket")


@check("transport: messages", "threads.stream: messages, one stream of text each")
async def _messages(client: LangGraphClient) -> None:
    async with client.threads.stream(assistant_id="chat") as stream:
        await stream.run.start(input={"messages": [{"role": "user", "content": "hello"}]})
        messages = [message async for message in stream.messages]
        texts = [[piece async for piece in message.text] for message in messages]
    assert ["".join(pieces) for pieces in texts] == [WORDS]
    assert len(texts[0]) > 3, "word by word"


@check("transport: an interrupt is answered", "threads.stream: interrupts, run.respond")
async def _respond(client: LangGraphClient) -> None:
    async with client.threads.stream(assistant_id="asks") as stream:
        await stream.run.start(input={"topic": "x"})
        async for _ in stream.values:
            pass
        assert stream.interrupted and [one["interrupt_id"] for one in stream.interrupts]
        await stream.run.respond("yes")
        output: Any = await stream.output
    assert output["steps"] == ["yes", "after"]


@check("transport: raw events", "threads.stream: events carry seq, method and params")
async def _events(client: LangGraphClient) -> None:
    async with client.threads.stream(assistant_id="chain") as stream:
        subscribed = stream.subscribe(["values", "lifecycle"])
        await stream.run.start(input={})
        told: list[Any] = []
        async for event in subscribed:
            told.append(event)
            if event["method"] == "lifecycle" and event["params"]["data"].get("event") == "completed":
                break
    assert {"values", "lifecycle"} == {one["method"] for one in told}
    assert [one["seq"] for one in told] == sorted({one["seq"] for one in told})
