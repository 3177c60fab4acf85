"""Checks of streams: every mode, several at once, joined late, left and rejoined."""

import asyncio
from itertools import pairwise
from typing import Any

from langgraph_sdk.client import LangGraphClient

from tests.api.conformance.check import check
from tests.api.conformance.graphs import WORDS
from tests.api.conformance.talk import data, ended, events, heard, heeded, thread, until, working

HELLO = {"messages": [{"role": "user", "content": "hello"}]}


@check("stream: names its run first", "runs.stream: the first part is metadata with the run's id")
async def _metadata(client: LangGraphClient) -> None:
    mine = await thread(client)
    parts = await heard(client, mine, "chain", input={})
    (run,) = await client.runs.list(mine)
    assert parts[0].event == "metadata" and parts[0].data["run_id"] == run["run_id"]


@check("stream: values", "schema.StreamMode: values")
async def _values(client: LangGraphClient) -> None:
    parts = await heard(client, await thread(client), "chain", input={"topic": "x"}, stream_mode="values")
    assert [one["steps"] for one in data(parts, "values")] == [[], ["a"], ["a", "b"], ["a", "b", "c"]]
    assert set(events(parts)) == {"metadata", "values"}


@check("stream: updates", "schema.StreamMode: updates to the state")
async def _updates(client: LangGraphClient) -> None:
    parts = await heard(client, await thread(client), "chain", input={}, stream_mode="updates")
    assert [list(one) for one in data(parts, "updates")] == [["a"], ["b"], ["c"]]
    assert data(parts, "updates")[0]["a"]["steps"] == ["a"]


@check("stream: custom", "schema.StreamMode: custom events")
async def _custom(client: LangGraphClient) -> None:
    parts = await heard(client, await thread(client), "chain", input={}, stream_mode="custom")
    assert data(parts, "custom") == [{"at": "a"}, {"at": "b"}, {"at": "c"}]


@check("stream: tasks", "schema.StreamMode: task start and finish events")
async def _tasks(client: LangGraphClient) -> None:
    parts = await heard(client, await thread(client), "chain", input={}, stream_mode="tasks")
    tasks = data(parts, "tasks")
    assert [one["name"] for one in tasks] == ["a", "a", "b", "b", "c", "c"]
    assert "input" in tasks[0] and "result" in tasks[1] and tasks[0]["id"] == tasks[1]["id"]


@check("stream: checkpoints", "schema.StreamMode: checkpoints as they are created")
async def _checkpoints(client: LangGraphClient) -> None:
    mine = await thread(client)
    parts = await heard(client, mine, "chain", input={}, stream_mode="checkpoints")
    told = data(parts, "checkpoints")
    assert [one["next"] for one in told] == [["__start__"], ["a"], ["b"], ["c"], []] or [
        one["next"] for one in told
    ] == [["a"], ["b"], ["c"], []]
    assert told[-1]["values"]["steps"] == ["a", "b", "c"]
    assert told[-1]["metadata"]["step"] == 3


@check("stream: debug", "schema.StreamMode: detailed debug information")
async def _debug(client: LangGraphClient) -> None:
    parts = await heard(client, await thread(client), "chain", input={}, stream_mode="debug")
    kinds = [one["type"] for one in data(parts, "debug")]
    assert {"checkpoint", "task", "task_result"} == set(kinds)
    assert kinds.count("task") == kinds.count("task_result") == 3


@check("stream: events", "schema.StreamMode: events occurring during execution")
async def _events(client: LangGraphClient) -> None:
    parts = await heard(client, await thread(client), "chat", input=HELLO, stream_mode="events")
    told = data(parts, "events")
    assert {"on_chain_start", "on_chain_end", "on_chat_model_stream"} <= {one["event"] for one in told}
    words = [one["data"]["chunk"]["content"] for one in told if one["event"] == "on_chat_model_stream"]
    assert "".join(words) == WORDS


@check("stream: messages", "schema.StreamMode: messages; messages/metadata, partial and complete")
async def _messages(client: LangGraphClient) -> None:
    parts = await heard(client, await thread(client), "chat", input=HELLO, stream_mode="messages")
    names = set(events(parts))
    assert {"messages/metadata", "messages/partial"} <= names
    partial = [one[0]["content"] for one in data(parts, "messages/partial")]
    assert partial[-1] == WORDS and len(partial) > 3
    assert all(after.startswith(before) for before, after in pairwise(partial))
    (told,) = data(parts, "messages/metadata")
    ((key, described),) = told.items()
    assert key == data(parts, "messages/partial")[0][0]["id"]
    assert described["metadata"]["langgraph_node"] == "speak"


@check("stream: messages-tuple", "schema.StreamMode: messages-tuple; pairs of a chunk and its metadata")
async def _tuple(client: LangGraphClient) -> None:
    parts = await heard(client, await thread(client), "chat", input=HELLO, stream_mode="messages-tuple")
    pairs = data(parts, "messages")
    assert "".join(chunk["content"] for chunk, _ in pairs) == WORDS
    assert {about["langgraph_node"] for _, about in pairs} == {"speak"}
    assert pairs[0][0]["type"] == "AIMessageChunk"


@check("stream: several modes at once", "runs.stream(stream_mode): the stream mode(s) to use")
async def _several(client: LangGraphClient) -> None:
    modes = ["values", "updates", "custom", "tasks", "checkpoints", "debug", "events", "messages-tuple"]
    parts = await heard(client, await thread(client), "chat", input=HELLO, stream_mode=modes)
    assert set(events(parts)) == {
        *("metadata", "values", "updates", "tasks", "checkpoints", "debug", "events", "messages")
    }


@check("stream: of subgraphs", "runs.stream(stream_subgraphs): the namespace stands after the event's name")
async def _subgraphs(client: LangGraphClient) -> None:
    mine = await thread(client)
    parts = await heard(client, mine, "nested", input={"topic": "x"}, stream_mode="values", stream_subgraphs=True)
    assert any(part.event.startswith("values|inner:") for part in parts)
    await client.runs.wait(mine, "nested", command={"resume": "yes"})
    flat = await heard(client, await thread(client), "nested", input={"topic": "x"}, stream_mode="values")
    assert not any("|" in part.event for part in flat)


@check("stream: an interrupt", "runs.stream: an interrupt is told in updates and values as __interrupt__")
async def _interrupt(client: LangGraphClient) -> None:
    parts = await heard(client, await thread(client), "asks", input={}, stream_mode=["values", "updates"])
    told = [one["__interrupt__"] for one in data(parts, "updates") if "__interrupt__" in one]
    assert told[0][0]["value"] == {"question": "go on?"}
    assert data(parts, "values")[-1]["__interrupt__"][0]["value"] == {"question": "go on?"}


@check("stream: an error", "runs.stream: a failing graph ends the stream with an error event")
async def _error(client: LangGraphClient) -> None:
    parts = await heard(client, await thread(client), "pace", input={"fails": True})
    assert parts[-1].event == "error" and parts[-1].data["error"] == "ValueError"


@check("stream: typed parts", "runs.stream(version='v2'): dicts with type, ns and data")
async def _typed(client: LangGraphClient) -> None:
    parts = await heard(client, await thread(client), "asks", input={}, stream_mode="values", version="v2")
    assert {"type", "ns", "data", "interrupts"} <= parts[-1].keys()
    assert (parts[-1]["type"], parts[-1]["ns"]) == ("values", [])
    assert parts[-1]["interrupts"][0]["value"] == {"question": "go on?"}


@check("stream: joined while it goes on", "runs.join_stream: output in real time, until the run is done")
async def _joined(client: LangGraphClient) -> None:
    mine = await thread(client)
    asked: Any = {"seconds": 3, "ticks": 6}
    run = await client.runs.create(mine, "pace", input=asked, stream_mode=["custom", "values"])
    parts = [part async for part in client.runs.join_stream(mine, run["run_id"])]
    assert data(parts, "values")[-1]["done"] == ["first", "work"]
    assert {"tick": 5} in data(parts, "custom")


@check("stream: joined with fewer modes", "runs.join_stream(stream_mode): a subset of the run's modes")
async def _fewer(client: LangGraphClient) -> None:
    mine = await thread(client)
    asked: Any = {"seconds": 3, "ticks": 6}
    run = await client.runs.create(mine, "pace", input=asked, stream_mode=["custom", "values", "updates"])
    parts = [part async for part in client.runs.join_stream(mine, run["run_id"], stream_mode="custom")]
    assert set(events(parts)) - {"metadata", "end"} == {"custom"}


@check("stream: rejoined after its end", "runs.stream(stream_resumable): replayed in its entirety, also afterwards")
async def _replayed(client: LangGraphClient) -> None:
    mine = await thread(client)
    asked: Any = {"ticks": 4}
    whole = await heard(client, mine, "pace", input=asked, stream_mode="custom", stream_resumable=True)
    (run,) = await client.runs.list(mine)
    await ended(client, mine, run["run_id"], "success")
    again = [part async for part in client.runs.join_stream(mine, run["run_id"], last_event_id="-1")]
    assert data(again, "custom") == data(whole, "custom") == [{"tick": number} for number in range(4)]


@check("stream: taken up after an event", "runs.join_stream(last_event_id): no event is lost or doubled")
async def _taken_up(client: LangGraphClient) -> None:
    mine, seen = await thread(client), []
    asked: Any = {"seconds": 3, "ticks": 12}
    async for part in client.runs.stream(
        mine, "pace", input=asked, stream_mode="custom", stream_resumable=True, on_disconnect="continue"
    ):
        seen.append(part)
        if len(seen) == 4:
            break
    (run,) = await client.runs.list(mine)
    rest = [part async for part in client.runs.join_stream(mine, run["run_id"], last_event_id=seen[-1].id)]
    assert [one["tick"] for one in data([*seen, *rest], "custom")] == list(range(12))


@check("stream: left, and the run with it", "runs.stream(on_disconnect='cancel')")
async def _left(client: LangGraphClient) -> None:
    mine = await thread(client)
    asked: Any = {"seconds": 20, "ticks": 200}
    async for part in client.runs.stream(mine, "pace", input=asked, stream_mode="custom", on_disconnect="cancel"):
        if part.event == "custom":
            break
    (run,) = await client.runs.list(mine)
    await ended(client, mine, run["run_id"], "interrupted")


@check("stream: left, and the run goes on", "runs.stream(on_disconnect='continue')")
async def _goes_on(client: LangGraphClient) -> None:
    mine = await thread(client)
    asked: Any = {"seconds": 2, "ticks": 20}
    async for part in client.runs.stream(mine, "pace", input=asked, stream_mode="custom", on_disconnect="continue"):
        if part.event == "custom":
            break
    (run,) = await client.runs.list(mine)
    await ended(client, mine, run["run_id"], "success")


@check("stream: joined, left, and the run with it", "runs.join_stream(cancel_on_disconnect)")
async def _joined_left(client: LangGraphClient) -> None:
    mine = await thread(client)
    run = await working(client, mine, stream_mode="custom")
    async for part in client.runs.join_stream(mine, run, cancel_on_disconnect=True):
        if part.event == "custom":
            break
    await ended(client, mine, run, "interrupted")


@check("stream: headers name the run", "useStream reads Content-Location; the SDK reconnects to Location")
async def _headers(client: LangGraphClient) -> None:
    mine = await thread(client)
    body = {"assistant_id": "chain", "input": {}, "stream_resumable": True}
    answer = await client.http.client.post(f"/threads/{mine}/runs/stream", json=body)
    (run,) = await client.runs.list(mine)
    assert answer.headers["content-location"].endswith(f"/threads/{mine}/runs/{run['run_id']}")
    assert answer.headers["location"].endswith(f"/threads/{mine}/runs/{run['run_id']}/stream")
    assert answer.headers["content-type"].startswith("text/event-stream")


@check("stream: of a thread", "threads.join_stream(stream_mode='run_modes'): events of the runs on the thread")
async def _thread(client: LangGraphClient) -> None:
    mine, parts = await thread(client), []

    async def listen() -> None:
        async for part in await client.threads.join_stream(mine):
            parts.append(part)

    listening = asyncio.create_task(listen())
    await heeded(client, mine, lambda: listening.done() or bool(parts))
    asked: Any = {"seconds": 1, "ticks": 3}
    run = await client.runs.create(mine, "pace", input=asked, stream_mode="custom")
    await ended(client, mine, run["run_id"], "success")

    async def there() -> bool:
        return listening.done() or len(data(parts, "custom")) == 3

    await until(there, "three custom events on the thread's stream", 10)
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)
    assert data(parts, "custom") == [{"tick": number} for number in range(3)], listening


@check("stream: of a thread's runs", "threads.join_stream(stream_mode='lifecycle'): only starts and ends of runs")
async def _lifecycle(client: LangGraphClient) -> None:
    mine, parts = await thread(client), []

    async def listen() -> None:
        async for part in await client.threads.join_stream(mine, stream_mode="lifecycle"):
            parts.append(part)

    listening = asyncio.create_task(listen())
    await heeded(client, mine, lambda: listening.done() or bool(parts))
    run = await client.runs.create(mine, "pace", input={"seconds": 1}, stream_mode="custom")
    await ended(client, mine, run["run_id"], "success")

    async def there() -> bool:
        return listening.done() or any(run["run_id"] in str(part.data) for part in parts)

    await until(there, "the run on the thread's stream", 10)
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)
    assert any(run["run_id"] in str(part.data) for part in parts), listening
    assert not data(parts, "custom")
