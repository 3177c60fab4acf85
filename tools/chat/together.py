"""Several questions to one model, side by side."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

T = TypeVar("T")


async def together(calls: Sequence[Coroutine[Any, Any, T]], at_once: int) -> list[T]:
    """Results in order, at most `at_once` calls at a time. The first failure cancels the rest and is raised."""
    gate = asyncio.Semaphore(at_once)

    async def gated(call: Coroutine[Any, Any, T]) -> T:
        async with gate:
            return await call

    tasks = [asyncio.ensure_future(gated(call)) for call in calls]
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for call in calls:
            call.close()  # one that was cancelled at the gate has never begun
        raise


__all__ = ["together"]
