"""Runs, as clients of the protocol make, await, list, stop and delete them."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from langgraph_sdk.errors import ConflictError, NotFoundError

from tests.api.conftest import MakeClient, Server
from tests.api.graphs import PlainHost, plain_host
from tests.conftest import Urls


@pytest.fixture
async def host(database_urls: Urls) -> AsyncIterator[PlainHost]:
    async with plain_host(database_urls) as opened:
        yield opened


async def test_a_run_is_awaited_on_its_thread(client: MakeClient) -> None:
    ann = await client()
    thread = await ann.threads.create()
    first = await ann.runs.wait(thread["thread_id"], "chain", input={"topic": "x"})
    second = await ann.runs.wait(thread["thread_id"], "chain", input={"topic": "y"})
    assert first["steps"] == ["a", "b", "c"]
    assert second == {"topic": "y", "steps": ["a", "b", "c"] * 2}
    found = await ann.threads.get(thread["thread_id"])
    assert (found["status"], found["values"]["topic"]) == ("idle", "y")
    runs = await ann.runs.list(thread["thread_id"])
    assert [run["status"] for run in runs] == ["success", "success"]
    assert found["metadata"]["graph_id"] == "chain"


async def test_a_run_is_created_joined_and_looked_at(client: MakeClient) -> None:
    ann = await client()
    thread = await ann.threads.create()
    made = await ann.runs.create(thread["thread_id"], "chain", input={"topic": "x"}, metadata={"mine": 1})
    assert (made["metadata"]["mine"], made["multitask_strategy"]) == (1, "enqueue")
    values: Any = await ann.runs.join(thread["thread_id"], made["run_id"])
    assert values["steps"] == ["a", "b", "c"]
    found = await ann.runs.get(thread["thread_id"], made["run_id"])
    assert (found["status"], found["kwargs"]["input"]) == ("success", {"topic": "x"})


async def test_a_run_streams_its_modes_and_names_itself_first(client: MakeClient) -> None:
    ann = await client()
    thread = await ann.threads.create()
    modes: Any = ["values", "updates"]
    parts = [part async for part in ann.runs.stream(thread["thread_id"], "chain", input={}, stream_mode=modes)]
    assert parts[0].event == "metadata" and parts[0].data["run_id"]
    assert [next(iter(part.data)) for part in parts if part.event == "updates"] == ["a", "b", "c"]
    assert [part.id for part in parts] == [str(number) for number in range(1, len(parts) + 1)]


async def test_a_thread_that_is_not_there_is_made_on_request_only(client: MakeClient) -> None:
    ann = await client()
    missing = "01890a5d-ac96-774b-bcce-b302099a8057"
    with pytest.raises(httpx.HTTPStatusError, match="404"):
        await ann.runs.wait(missing, "chain", input={})
    values: Any = await ann.runs.wait(missing, "chain", input={}, if_not_exists="create")
    assert values["steps"] == ["a", "b", "c"]
    with pytest.raises(NotFoundError):
        await ann.runs.create(missing, "nothing", input={})


async def test_stateless_runs_leave_nothing_behind(client: MakeClient, server: Server) -> None:
    ann = await client()
    values: Any = await ann.runs.wait(None, "chain", input={"topic": "x"})
    assert values == {"topic": "x", "steps": ["a", "b", "c"]}
    parts = [part async for part in ann.runs.stream(None, "chain", input={}, stream_mode="values")]
    assert parts[-1].data["steps"] == ["a", "b", "c"]
    batch = await ann.runs.create_batch([{"assistant_id": "chain", "input": {}}, {"assistant_id": "chain"}])
    assert len(batch) == 2
    assert await ann.threads.search() == []
    async with server.service.database.system() as connection:
        row = await (await connection.execute("SELECT count(*) FROM fiel.run_claims")).fetchone()
    assert row is not None


async def test_an_interrupt_waits_for_its_answer(client: MakeClient) -> None:
    ann = await client()
    thread = await ann.threads.create()
    asked: Any = await ann.runs.wait(thread["thread_id"], "asks", input={})
    assert asked["__interrupt__"][0]["value"] == {"question": "go on?"}
    assert (await ann.threads.get(thread["thread_id"]))["status"] == "interrupted"
    answered: Any = await ann.runs.wait(thread["thread_id"], "asks", command={"resume": "yes"})
    assert answered["steps"] == ["yes"]
    assert (await ann.threads.get(thread["thread_id"]))["status"] == "idle"


async def test_interrupts_before_a_node_and_going_on_with_nothing(client: MakeClient) -> None:
    ann = await client()
    thread = await ann.threads.create()
    await ann.runs.wait(thread["thread_id"], "chain", input={}, interrupt_before=["b"])
    assert (await ann.threads.get_state(thread["thread_id"]))["next"] == ["b"]
    values: Any = await ann.runs.wait(thread["thread_id"], "chain", input=None, interrupt_after=["b"])
    assert values["steps"] == ["a", "b"]
    values = await ann.runs.wait(thread["thread_id"], "chain", input=None)
    assert values["steps"] == ["a", "b", "c"]


async def test_a_run_begins_at_a_checkpoint(client: MakeClient) -> None:
    ann = await client()
    thread = await ann.threads.create()
    await ann.runs.wait(thread["thread_id"], "chain", input={})
    history = await ann.threads.get_history(thread["thread_id"])
    before = next(state for state in history if state["next"] == ["c"])
    values: Any = await ann.runs.wait(
        thread["thread_id"], "chain", input=None, checkpoint_id=before["checkpoint"]["checkpoint_id"]
    )
    assert values["steps"] == ["a", "b", "c"]


@pytest.mark.parametrize(
    "field",
    [
        {"feedback_keys": ["good"]},
        {"langsmith_tracer": {"project_name": "p"}},
        {"strict_resume": True},
        {"nonsense": 1},
        {"stream_mode": "tools"},
        {"durability": "never"},
        {"config": {"configurable": {"thread_id": "x"}}},
        {"config": {"callbacks": []}},
        {"input": {}, "command": {"resume": 1}},
        {"command": {"graph": "x"}},
        {"after_seconds": -1},
    ],
    ids=str,
)
async def test_what_is_not_supported_is_refused_by_its_name(http: Any, field: dict[str, Any]) -> None:
    async with http() as web:
        answer = await web.post("/runs/wait", json={"assistant_id": "chain", **field})
    assert answer.status_code == 422
    name = next(reversed(field)) if "command" not in field or len(field) == 1 else "command"
    assert name in answer.text or next(iter(field)) in answer.text


async def test_runs_of_others_are_not_there(client: MakeClient) -> None:
    ann, bob = await client("ann"), await client("bob")
    thread = await ann.threads.create()
    made = await ann.runs.create(thread["thread_id"], "chain", input={})
    await ann.runs.join(thread["thread_id"], made["run_id"])
    for ask in (
        bob.runs.get(thread["thread_id"], made["run_id"]),
        bob.runs.list(thread["thread_id"]),
        bob.runs.cancel(thread["thread_id"], made["run_id"]),
        bob.runs.delete(thread["thread_id"], made["run_id"]),
        bob.runs.create(thread["thread_id"], "chain", input={}),
    ):
        with pytest.raises(NotFoundError):
            await ask
    for ask in (bob.runs.join(thread["thread_id"], made["run_id"]),):
        with pytest.raises(httpx.HTTPStatusError):
            await ask


async def test_a_run_is_deleted_with_its_checkpoints(client: MakeClient) -> None:
    ann = await client()
    thread = await ann.threads.create()
    made = await ann.runs.create(thread["thread_id"], "chain", input={})
    await ann.runs.join(thread["thread_id"], made["run_id"])
    await ann.runs.delete(thread["thread_id"], made["run_id"])
    assert await ann.runs.list(thread["thread_id"]) == []
    assert (await ann.threads.get_state(thread["thread_id"]))["values"] in ({}, None)


@pytest.mark.slow
async def test_a_delayed_run_waits_and_lets_others_pass(client: MakeClient) -> None:
    ann = await client()
    thread = await ann.threads.create()
    late = await ann.runs.create(thread["thread_id"], "chain", input={"topic": "late"}, after_seconds=1)
    assert late["status"] == "pending"
    with pytest.raises(ConflictError):
        await ann.runs.create(thread["thread_id"], "chain", input={}, multitask_strategy="reject")
    soon: Any = await ann.runs.wait(thread["thread_id"], "chain", input={"topic": "soon"})
    assert soon["topic"] == "soon"
    values: Any = await asyncio.wait_for(ann.runs.join(thread["thread_id"], late["run_id"]), 20)
    assert values["topic"] == "late" and len(values["steps"]) == 6


async def test_what_would_have_no_effect_is_refused_by_its_name(http: Any, client: MakeClient) -> None:
    thread = (await (await client()).threads.create())["thread_id"]
    cases: list[tuple[str, dict[str, Any], str]] = [
        (f"/threads/{thread}/runs/wait", {"on_completion": "delete"}, "on_completion"),
        (f"/threads/{thread}/runs", {"on_disconnect": "cancel"}, "on_disconnect"),
        ("/runs", {"on_disconnect": "cancel"}, "on_disconnect"),
        ("/runs/wait", {"checkpoint_during": False, "durability": "sync"}, "checkpoint_during"),
        ("/runs/wait", {"checkpoint_during": True, "durability": "exit"}, "checkpoint_during"),
        (f"/threads/{thread}/runs/wait", {"command": {"goto": "nowhere"}}, "nowhere"),
        (f"/threads/{thread}/runs/wait", {"command": {"goto": [{"node": "nowhere", "input": {}}]}}, "nowhere"),
    ]
    async with http() as web:
        for path, sent, named in cases:
            answer = await web.post(path, json={"assistant_id": "chain", **sent})
            assert named in answer.text, sent
            assert answer.status_code in (400, 422) or "__error__" in answer.json(), sent
