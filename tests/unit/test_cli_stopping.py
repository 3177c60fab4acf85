"""The server of `serve` and `up` is told to stop: once, and once more."""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from fiel.infra.cli import service
from fiel.infra.cli.service import listen, server_of


@asynccontextmanager
async def busy(drain: Callable[[float], Awaitable[None]]) -> AsyncIterator[tuple[Any, "asyncio.Task[None]"]]:
    """A server with one request that does not end by itself, and the task in which it serves."""
    app, begun, started = FastAPI(), asyncio.Event(), asyncio.Event()

    @app.get("/")
    async def stay() -> None:
        begun.set()
        await asyncio.Event().wait()

    with listen("127.0.0.1", 0) as bound:
        server = server_of(app, started, 2**20, drain)
        serving = asyncio.create_task(server.serve([bound]))
        await started.wait()
        async with httpx.AsyncClient(base_url=service.address(bound), timeout=600.0) as web:
            asking = asyncio.create_task(web.get("/"))
            await begun.wait()
            yield server, serving
            await serving
            left = [asking, *server.server_state.tasks]
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)


async def test_what_is_at_work_has_the_same_time_as_open_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "DRAIN", 0.1)
    told = []

    async def drain(seconds: float) -> None:
        told.append((seconds, len(server.server_state.tasks)))

    async with busy(drain) as (server, _):
        server.handle_exit(signal.SIGTERM, None)
    assert told == [(0.1, 1)], "told while the request was open"


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
async def test_a_second_signal_ends_it_at_once(monkeypatch: pytest.MonkeyPatch, second: signal.Signals) -> None:
    monkeypatch.setattr(service, "DRAIN", 10_000)
    draining, told = asyncio.Event(), []

    async def drain(seconds: float) -> None:
        told.append(seconds)
        draining.set()
        if seconds:
            await asyncio.Event().wait()

    async with busy(drain) as (server, serving):
        server.handle_exit(signal.SIGTERM, None)
        await draining.wait()
        server.handle_exit(second, None)
        await serving
    assert told == [10_000, 0.0]
