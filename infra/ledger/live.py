"""Runs while they are in the process: found by id, and let go of where nothing happens in them any more."""

import asyncio
import time
from collections.abc import Callable

from fiel.infra.ledger.run import Run

MOST = 4096
"""Runs that are kept; beyond, those that nothing happens in are given up and forgotten, the longest silent first."""


class Live:
    """Runs by id. `give_up` flushes what a run has left that did not reach its end.

    A run in which nothing happens for `idle` seconds is given up, and after `evict` seconds forgotten too.
    """

    def __init__(self, give_up: Callable[[Run], None], *, idle: float, evict: float) -> None:
        self.runs: dict[str, Run] = {}
        self._give_up = give_up
        self._idle = idle
        self._evict = evict
        self._sweeper: asyncio.TimerHandle | None = None

    def add(self, run: Run) -> None:
        """Keep a run that begins or goes on here."""
        self._crowded()
        self.runs[run.row.run] = run
        self._sweep_later()

    def sweep(self) -> None:
        """Give up runs in which nothing has happened for a while, and forget those that are long silent."""
        now = time.monotonic()
        for run in list(self.runs.values()):
            if run.active or now - run.touched < self._idle:
                continue
            self._give_up(run)
            if now - run.touched >= self._evict:
                self.runs.pop(run.row.run, None)
        self._sweeper = None
        if self.runs:
            self._sweep_later()

    def close(self) -> None:
        """Give up all that there are."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        for run in self.runs.values():
            self._give_up(run)
        self.runs.clear()

    def _sweep_later(self) -> None:
        loop = asyncio.get_running_loop()
        if self._sweeper is None or self._sweeper.cancelled() or self._sweeper.when() < loop.time():
            self._sweeper = loop.call_later(max(self._idle / 2, 0.05), self.sweep)

    def _crowded(self) -> None:
        if len(self.runs) < MOST:
            return
        silent = sorted((run for run in self.runs.values() if not run.active), key=lambda run: run.touched)
        for run in silent[: max(1, MOST // 8)]:
            self._give_up(run)
            self.runs.pop(run.row.run, None)
