"""Memory of `fiel serve` over many runs and open streams, for the benchmark `api`.

What a process takes once, pools and caches and the heap's high water, it takes in the warm-up, which does a little of
everything. What grows after that grows with the runs.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fiel.infra.bench.load import closed
from fiel.infra.bench.runs import Client, client, waiting
from fiel.infra.bench.served import Server

AT_ONCE = 16
HELD = 20
"""Runs that go on while their streams are open; each has as many listeners."""
HOLD = 3600.0
SETTLE = 2.0
"""Seconds before a reading, in which connections close and what is written in groups is written."""


async def measure(server: Server, runs: int, streams: int) -> dict[str, Any]:
    """Readings in MiB, and by how much each process' memory grew, in percent of the reading before."""
    async with client(server, streams + AT_ONCE + HELD) as caller:
        threads = await caller.threads(AT_ONCE)
        await _runs(caller, threads, max(runs // 5, 500))
        before = await _reading(server)
        async with _listening(caller, streams):
            first = await _reading(server)
            await _runs(caller, threads, 100)
        warm = await _reading(server)
        await _runs(caller, threads, runs)
        after = await _reading(server)
        async with _listening(caller, streams):
            opened = await _reading(server)
            await _runs(caller, threads, runs // 4)
            held = await _reading(server)
        left = await _reading(server)
    return {
        "runs": runs,
        "streams": streams,
        "mib": {
            "before the first streams": before,
            "with them": first,
            "warm": warm,
            "after the runs": after,
            "streams open": opened,
            "and more runs": held,
            "closed": left,
        },
        "growth": {"runs": _growth(warm, after), "open streams": _growth(opened, held), "in all": _growth(warm, left)},
        "stream_kib": round((first["all"] - before["all"]) * 1024 / streams, 1) if streams else None,
    }


async def _runs(caller: Client, threads: list[str], count: int) -> None:
    """Both durabilities in turn."""
    for durability in ("async", "exit"):
        await closed(waiting(caller, threads, durability), calls=count // 2, at_once=AT_ONCE)


@asynccontextmanager
async def _listening(caller: Client, streams: int) -> AsyncIterator[None]:
    """Streams of runs that go on for as long as the block."""
    threads = await caller.threads(min(HELD, streams))
    held = [(thread, await caller.held(thread, HOLD)) for thread in threads]
    opened = [asyncio.Event() for _ in range(streams)]
    async with asyncio.TaskGroup() as group:
        for number, event in enumerate(opened):
            group.create_task(caller.listen(*held[number % len(held)], event))
        async with asyncio.timeout(120):
            await asyncio.gather(*(event.wait() for event in opened))
        try:
            yield
        finally:
            for thread, run in held:
                await caller.cancel(thread, run)


async def _reading(server: Server) -> dict[str, float]:
    await asyncio.sleep(SETTLE)
    return server.memory()


def _growth(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    return {name: round((after[name] / before[name] - 1) * 100, 1) for name in before}
