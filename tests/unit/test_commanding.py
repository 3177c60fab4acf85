"""Which interrupts a thread waits for, at the moment in which the run that asked ends."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import orjson
import pytest

from fiel.infra.api import commanding

THREAD = UUID(int=1)
ASKING = {"task": [{"id": "question", "value": "go on?"}]}


class Threads:
    """A thread whose status changes from one reading to the next, and stays at the last."""

    def __init__(self, *statuses: str) -> None:
        self.statuses = list(statuses)

    async def get(self, principal: Any, thread_id: UUID) -> Any:
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        interrupts = orjson.dumps(ASKING) if status == "interrupted" else None
        return SimpleNamespace(thread_id=thread_id, status=status, interrupts=interrupts)


class Runs:
    """No run is running any more."""

    async def of_thread(self, *given: Any, **named: Any) -> Sequence[Any]:
        return []


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize(
    ("statuses", "waiting"),
    [
        (("interrupted",), {"question"}),
        (("busy", "interrupted"), {"question"}),
        (("busy", "idle"), set()),
        (("idle",), set()),
    ],
)
async def test_a_run_that_ends_between_two_readings_is_not_missed(
    monkeypatch: pytest.MonkeyPatch, statuses: tuple[str, ...], waiting: set[str], told: bool
) -> None:
    threads = Threads(*statuses)
    monkeypatch.setattr(commanding, "threads_of", lambda service: threads)
    service: Any = SimpleNamespace(engine=SimpleNamespace(runs=Runs(), feeds={}))
    caller: Any = SimpleNamespace(principal=None)
    assert await commanding._waiting(service, caller, THREAD, told=told) == waiting


async def test_an_answer_waits_for_a_run_of_another_process_and_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    service: Any = SimpleNamespace(engine=SimpleNamespace(runs=Runs(), feeds={}))
    caller: Any = SimpleNamespace(principal=None)
    late = Threads("busy", "busy", "busy", "busy", "interrupted")
    monkeypatch.setattr(commanding, "threads_of", lambda service: late)
    assert await commanding._waiting(service, caller, THREAD, told=True) == {"question"}
    never = Threads("busy")
    monkeypatch.setattr(commanding, "threads_of", lambda service: never)
    monkeypatch.setattr(commanding, "SETTLE", 0.2)
    assert await commanding._waiting(service, caller, THREAD, told=True) == set()
