"""What checks have in common: making threads, hearing a stream to its end, waiting for something, being refused."""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
from langgraph_sdk.client import LangGraphClient


def fresh() -> str:
    """An id that nobody has used."""
    return str(uuid.uuid4())


async def thread(client: LangGraphClient, **more: Any) -> str:
    """Id of a new thread."""
    return str((await client.threads.create(**more))["thread_id"])


async def chained(client: LangGraphClient, graph: str = "chain", **more: Any) -> str:
    """Id of a new thread on which a run has ended."""
    made = await thread(client)
    await client.runs.wait(made, graph, input={"topic": "x"}, **more)
    return made


async def heard(client: LangGraphClient, thread_id: str | None, graph: str, **more: Any) -> list[Any]:
    """All parts of a run's stream."""
    stream: Any = client.runs.stream
    return [part async for part in stream(thread_id, graph, **more)]


def events(parts: list[Any]) -> list[str]:
    """Names of a stream's events, without namespaces."""
    return [str(part.event).partition("|")[0] for part in parts]


def data(parts: list[Any], event: str) -> list[Any]:
    """What the events of one name carry."""
    return [part.data for part in parts if str(part.event) == event]


async def until(ask: Callable[[], Awaitable[Any]], what: str, seconds: float = 30.0) -> Any:
    """Wait for something to become true, and return it."""
    deadline = time.monotonic() + seconds
    while not (found := await ask()):
        assert time.monotonic() < deadline, f"not in {seconds:.0f} s: {what}"
        await asyncio.sleep(0.1)
    return found


async def refused(asking: Awaitable[Any], *statuses: int) -> httpx.HTTPStatusError:
    """The refusal, with one of these statuses."""
    try:
        answer = await asking
    except httpx.HTTPStatusError as error:
        assert error.response.status_code in statuses, f"{error.response.status_code} in place of {statuses}"
        return error
    raise AssertionError(f"answered in place of {statuses}: {str(answer)[:200]}")


async def working(client: LangGraphClient, thread_id: str, seconds: float = 30.0, **more: Any) -> str:
    """Id of a run of `pace` that has come to its long node."""
    made: Any = await client.runs.create(thread_id, "pace", input={"seconds": seconds, "ticks": 10}, **more)

    async def there() -> bool:
        state: Any = await client.threads.get_state(thread_id)
        return state["next"] == ["work"] and state["metadata"].get("run_id") == made["run_id"]

    await until(there, "the run came to its long node")
    return str(made["run_id"])


async def heeded(client: LangGraphClient, thread_id: str, heard: Callable[[], bool]) -> None:
    """Until a listener of the thread is there: nothing else tells of it than that it hears of a run."""

    async def there() -> bool:
        run = await client.runs.create(thread_id, "chain", input={}, stream_mode="values")
        await ended(client, thread_id, run["run_id"], "success")
        return heard()

    await until(there, "a listener heard of a run")


async def ended(client: LangGraphClient, thread_id: str, run_id: str, *statuses: str, seconds: float = 30.0) -> Any:
    """The run, once it has one of these statuses."""

    async def there() -> Any:
        run = await client.runs.get(thread_id, run_id)
        return run if run["status"] in statuses else None

    return await until(there, f"the run became {statuses}", seconds)
