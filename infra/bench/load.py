"""Loads: the same call one after another, many at once, or arriving at a rate; with latencies and processor time."""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

Call = Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Load:
    """What one load measured. Times in milliseconds."""

    calls: int
    seconds: float
    p50: float
    p95: float
    cpu: float
    """Processor time of this process a call, all its threads."""

    @property
    def rate(self) -> float:
        """Calls a second."""
        return self.calls / self.seconds


def _load(latencies: list[float], seconds: float, cpu: float) -> Load:
    ordered = sorted(latencies)
    return Load(
        calls=len(ordered),
        seconds=seconds,
        p50=statistics.median(ordered) * 1e3,
        p95=ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))] * 1e3,
        cpu=cpu / len(ordered) * 1e3,
    )


async def closed(call: Call, *, calls: int, at_once: int) -> Load:
    """`at_once` callers, each of whom calls again as soon as it is answered."""
    latencies: list[float] = []
    left = calls

    async def caller() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            begun = time.perf_counter()
            await call()
            latencies.append(time.perf_counter() - begun)

    begun, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(caller() for _ in range(at_once)))
    return _load(latencies, time.perf_counter() - begun, time.process_time() - cpu)


async def arriving(call: Call, *, calls: int, per_second: float) -> Load:
    """Calls that arrive evenly at a rate, whether or not those before are done. Latency counts from the arrival due."""
    latencies: list[float] = []
    begun, cpu = time.perf_counter(), time.process_time()

    async def one(due: float) -> None:
        await call()
        latencies.append(time.perf_counter() - due)

    async with asyncio.TaskGroup() as group:
        for number in range(calls):
            due = begun + number / per_second
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            group.create_task(one(due))
    return _load(latencies, time.perf_counter() - begun, time.process_time() - cpu)


def middle(loads: list[Load]) -> Load:
    """The load with the median p50 of several."""
    return sorted(loads, key=lambda load: load.p50)[len(loads) // 2]
