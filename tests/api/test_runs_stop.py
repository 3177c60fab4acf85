"""Runs that are stopped, and runs that want the same thread."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from langgraph_sdk.errors import ConflictError, InternalServerError, NotFoundError

from fiel.tools.errors import DatabaseUnavailable
from tests.api import slow
from tests.api.conftest import MakeClient, Server
from tests.api.graphs import PlainHost
from tests.conftest import Urls

pytestmark = pytest.mark.slow


@pytest.fixture
async def host(database_urls: Urls) -> AsyncIterator[PlainHost]:
    async with slow.slow_host(database_urls) as opened:
        yield opened


async def until(ask: Callable[[], Awaitable[bool]], seconds: float = 60.0) -> None:
    """Wait for something to become true."""
    deadline = time.monotonic() + seconds
    while not await ask():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.02)


async def begun(client: Any, thread: str, run: str) -> None:
    async def first_is_there() -> bool:
        state = await client.threads.get_state(thread)
        return bool(state["next"] == ["work"]) and str(state["metadata"].get("run_id")) == run

    await until(first_is_there)


async def started(client: Any, thread: str, seconds: float = 30.0, **more: Any) -> str:
    """Id of a run that has come to its long node."""
    run = await client.runs.create(thread, "slow", input={"seconds": seconds}, **more)
    await begun(client, thread, run["run_id"])
    return str(run["run_id"])


async def test_a_cancelled_run_keeps_what_it_came_to(client: MakeClient) -> None:
    ann = await client()
    thread = (await ann.threads.create())["thread_id"]
    run = await started(ann, thread)
    await ann.runs.cancel(thread, run, wait=True)
    assert (await ann.runs.get(thread, run))["status"] == "interrupted"
    found = await ann.threads.get(thread)
    assert (found["status"], found["values"]["done"]) == ("interrupted", ["first"])
    assert slow.ACTIVE == []
    with pytest.raises(NotFoundError):
        await ann.runs.cancel(thread, run)


async def test_a_rolled_back_run_never_was(client: MakeClient) -> None:
    ann = await client()
    thread = (await ann.threads.create())["thread_id"]
    await ann.runs.wait(thread, "slow", input={})
    before = await ann.threads.get_state(thread)
    run = await started(ann, thread)
    await ann.runs.cancel(thread, run, wait=True, action="rollback")
    with pytest.raises(NotFoundError):
        await ann.runs.get(thread, run)
    after = await ann.threads.get_state(thread)
    assert after["checkpoint"] == before["checkpoint"]
    found = await ann.threads.get(thread)
    assert (found["status"], found["values"]["done"]) == ("idle", ["first", "work"])


async def test_many_runs_are_cancelled_at_once(client: MakeClient) -> None:
    ann, bob = await client("ann"), await client("bob")
    threads = [(await ann.threads.create())["thread_id"] for _ in range(3)]
    runs = [await started(ann, thread) for thread in threads]
    other = (await bob.threads.create())["thread_id"]
    his = await started(bob, other)
    queued = await ann.runs.create(threads[0], "slow", input={})
    await ann.runs.cancel_many(status="all")
    for thread, run in [*zip(threads, runs, strict=True), (threads[0], queued["run_id"])]:

        async def over(thread: str = thread, run: str = run) -> bool:
            return (await ann.runs.get(thread, run))["status"] == "interrupted"

        await until(over)
    assert (await bob.runs.get(other, his))["status"] == "running"
    await bob.runs.cancel_many(thread_id=other, run_ids=[his])


async def test_a_busy_thread_rejects(client: MakeClient) -> None:
    ann = await client()
    thread = (await ann.threads.create())["thread_id"]
    run = await started(ann, thread)
    with pytest.raises(ConflictError):
        await ann.runs.create(thread, "slow", input={}, multitask_strategy="reject")
    assert len(await ann.runs.list(thread)) == 1
    await ann.runs.cancel(thread, run, wait=True)


async def test_runs_of_a_thread_come_one_after_the_other(client: MakeClient) -> None:
    ann = await client()
    thread = (await ann.threads.create())["thread_id"]
    runs = [await ann.runs.create(thread, "slow", input={"seconds": 0.1}) for _ in range(5)]
    for run in runs:
        await asyncio.wait_for(ann.runs.join(thread, run["run_id"]), 20)
    found = await ann.runs.list(thread)
    assert [run["run_id"] for run in found] == [run["run_id"] for run in reversed(runs)]
    assert {run["status"] for run in found} == {"success"}
    assert slow.OVERLAPS == []
    assert (await ann.threads.get(thread))["status"] == "idle"
    assert len((await ann.threads.get(thread))["values"]["done"]) == 10


@pytest.mark.parametrize(("strategy", "left", "done"), [("interrupt", 2, 3), ("rollback", 1, 2)])
async def test_a_new_run_takes_the_place_of_another(client: MakeClient, strategy: Any, left: int, done: int) -> None:
    ann = await client()
    thread = (await ann.threads.create())["thread_id"]
    await started(ann, thread)
    values: Any = await asyncio.wait_for(
        ann.runs.wait(thread, "slow", input={"seconds": 0}, multitask_strategy=strategy), 20
    )
    runs = await ann.runs.list(thread)
    assert len(values["done"]) == done
    assert [run["status"] for run in runs] == ["success", "interrupted"][:left]


async def test_a_hundred_at_once_on_one_thread_never_overlap(client: MakeClient, server: Server) -> None:
    ann = await client()
    thread = (await ann.threads.create())["thread_id"]
    inputs: Any = {"seconds": 0.001}
    runs = await asyncio.gather(*(ann.runs.create(thread, "slow", input=inputs) for _ in range(100)))
    await asyncio.wait_for(ann.runs.join(thread, max(run["run_id"] for run in runs)), 60)

    async def quiet() -> bool:
        return (await ann.threads.get(thread))["status"] == "idle"

    await until(quiet, 60)
    assert slow.OVERLAPS == []
    assert {run["status"] for run in await ann.runs.list(thread, limit=200)} == {"success"}


async def test_a_failing_graph_says_so_once(client: MakeClient) -> None:
    ann = await client()
    thread = (await ann.threads.create())["thread_id"]
    parts = [part async for part in ann.runs.stream(thread, "slow", input={"fails": "boom"})]
    assert parts[-1].event == "error" and parts[-1].data["error"] == "RuntimeError"
    with pytest.raises(Exception, match="RuntimeError"):
        await ann.runs.wait(thread, "slow", input={"fails": "boom"})
    assert (await ann.threads.get(thread))["status"] == "error"
    assert {run["status"] for run in await ann.runs.list(thread)} == {"error"}


async def test_deleting_a_thread_stops_its_run(client: MakeClient) -> None:
    ann = await client()
    thread = (await ann.threads.create())["thread_id"]
    await started(ann, thread)
    await ann.threads.delete(thread)
    with pytest.raises(NotFoundError):
        await ann.threads.get(thread)

    async def stopped() -> bool:
        return slow.ACTIVE == []

    await until(stopped)


async def test_deleting_a_run_that_goes_on_stops_it(client: MakeClient) -> None:
    ann = await client()
    thread = (await ann.threads.create())["thread_id"]
    run = await started(ann, thread)
    await ann.runs.delete(thread, run)
    with pytest.raises(NotFoundError):
        await ann.runs.get(thread, run)
    assert (await ann.threads.get(thread))["status"] == "idle"


@pytest.mark.parametrize("when", ["before it is cancelled", "before it hears of it"])
async def test_a_run_that_ends_by_itself_while_it_is_deleted_is_deleted(
    client: MakeClient, server: Server, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    ann, engine = await client(), server.service.engine
    thread = (await ann.threads.create())["thread_id"]
    if when == "before it is cancelled":
        run = (await ann.runs.create(thread, "slow", input={}))["run_id"]
        await ann.runs.join(thread, run)
        get = engine.runs.get

        async def before(*given: Any) -> Any:
            return replace(await get(*given), status="running")

        monkeypatch.setattr(engine.runs, "get", before)
    else:
        run = await started(ann, thread, 0.5)

        async def unheard(*_: Any, **__: Any) -> list[Any]:
            return []

        monkeypatch.setattr(engine, "cancel", unheard)
    await ann.runs.delete(thread, run)
    monkeypatch.undo()
    with pytest.raises(NotFoundError):
        await ann.runs.get(thread, run)
    assert (await ann.threads.get_state(thread))["values"] == {}


async def test_a_claim_whose_confirmation_was_lost_is_found(client: MakeClient, server: Server) -> None:
    """The row of a run was committed, the connection broke before we knew: nobody works on it."""
    ann = await client()
    thread = (await ann.threads.create())["thread_id"]
    engine = server.service.engine
    begin = engine.begin
    engine.begin = lambda run, worker: (_ for _ in ()).throw(DatabaseUnavailable("the connection broke"))  # type: ignore[method-assign]
    with pytest.raises(InternalServerError):
        await ann.runs.create(thread, "slow", input={})
    engine.begin = begin  # type: ignore[method-assign]
    run = (await ann.runs.list(thread))[0]
    assert run["status"] == "running"

    async def over() -> bool:
        return (await ann.runs.get(thread, run["run_id"]))["status"] == "success"

    await until(over, 30)
