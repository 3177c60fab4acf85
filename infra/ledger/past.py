"""What came before a run: finds the entry whose state a resumed run goes on from, in the process or in the store."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from fiel.infra.ledger.chain import START, Point, Unfolded, unfold
from fiel.infra.ledger.run import Run
from fiel.infra.ledger.store import RunRow, Store
from fiel.tools.record import Entry

LIMIT = 20
"""So many runs of a thread are looked at, newest first."""

MAX_LINKS = 1000
"""Longest line of runs that resume one another."""


class _Line:
    """One run of the thread with everything before it: entries, and what each of its own left."""

    def __init__(
        self, row: RunRow, past: Sequence[Entry], own: Sequence[tuple[Entry, Point, str, bytes]], lineage: Sequence[str]
    ) -> None:
        self.row, self.past, self.own, self.lineage = row, past, own, lineage

    def place(self, step: int, reads: Mapping[str, str]) -> int | None:
        """Seq of the last entry from whose state `reads` goes on."""
        for at in range(len(self.own) - 1, -1, -1):
            _, point, space, _ = self.own[at]
            if not space and point.continues(step, reads):
                return at
        return None


class Past:
    """Looks back over a thread."""

    def __init__(self, store: Store, live: Mapping[str, Run]) -> None:
        self._store = store
        self._live = live

    async def attach(self, run: Run, reads: Mapping[str, str], step: int) -> None:
        """Tie `run`, which begins in the middle of its graph, to what it goes on from.

        Where no earlier run of the same tenant, thread and caller left this state, the newest one is its past all the
        same, and the run's first entry will differ from it: that is how an edited state is found.
        """
        own = await self._store.run(run.row.run)
        if own is not None and (own.tenant, own.caller, own.thread) == _who(run.row):
            await self._restore(run, own)
            return
        if not run.row.thread:
            return
        newest: _Line | None = None
        for row in await self._rows(run.row):
            line = await self._line(row)
            if not line.own:
                continue
            newest = newest or line
            place = line.place(step, reads)
            if place is not None:
                _tie(run, line, place)
                return
        if newest is not None:
            _tie(run, newest, len(newest.own) - 1)

    async def history(self, run: str) -> Sequence[Entry]:
        """Entries of a run that is not in this process, and of those that it resumes."""
        row = await self._store.run(run)
        if row is None:
            return []
        line = await self._line(row)
        return [*line.past, *(entry for entry, *_ in line.own)]

    async def lineage(self, run: str) -> Sequence[str]:
        out, row = [run], await self._store.run(run)
        while row is not None and row.resumes and len(out) < MAX_LINKS:
            out.append(row.resumes)
            row = await self._store.run(row.resumes)
        return out

    async def _restore(self, run: Run, row: RunRow) -> None:
        line = await self._before(row)
        if line is not None:
            past, point, hash, lineage = line
            run.resume(row, past, point, hash, lineage)
            start = point
        else:
            run.row, start = row, START
        run.restore(unfold(row.run, await self._store.entries(row.run), start))

    async def _rows(self, of: RunRow) -> list[RunRow]:
        rows = {row.run: row for row in await self._store.thread(of.tenant, of.thread, of.caller, LIMIT)}
        for live in self._live.values():
            if _who(live.row) == _who(of) and live.row.run != of.run:
                rows[live.row.run] = live.row
        return sorted(rows.values(), key=lambda row: row.started, reverse=True)[:LIMIT]

    async def _line(self, row: RunRow, links: int = 0) -> _Line:
        live = self._live.get(row.run)
        if live is not None and live.entries:
            own = [(entry, *point) for entry, point in zip(live.entries, live.points, strict=True)]
            return _Line(row, live.past, own, live.lineage)
        before = await self._before(row, links)
        past, start, lineage = (before[0], before[1], before[3]) if before else ((), START, ())
        unfolded = unfold(row.run, await self._store.entries(row.run), start)
        return _Line(row, past, [_own(one) for one in unfolded], lineage)

    async def _before(self, row: RunRow, links: int = 0) -> tuple[Sequence[Entry], Point, bytes, Sequence[str]] | None:
        """Past, last point, last hash and lineage of what `row` resumes."""
        if row.resumes is None or row.resumes_seq is None or links == MAX_LINKS:
            return None
        origin = await self._store.run(row.resumes)
        live = self._live.get(row.resumes)
        if origin is None and live is not None:
            origin = live.row
        if origin is None:
            return None
        line = await self._line(origin, links + 1)
        kept = line.own[: row.resumes_seq + 1]
        if not kept:
            return None
        entries: list[Any] = [*line.past, *(entry for entry, *_ in kept)]
        return entries, kept[-1][1], kept[-1][3], (origin.run, *line.lineage)


def _own(one: Unfolded) -> tuple[Entry, Point, str, bytes]:
    return one.entry, one.point, one.space, one.hash


def _who(row: RunRow) -> tuple[str, str, str]:
    return row.tenant, row.caller, row.thread


def _tie(run: Run, line: _Line, place: int) -> None:
    kept = line.own[: place + 1]
    row = replace(run.row, resumes=line.row.run, resumes_seq=place)
    past = [*line.past, *(entry for entry, *_ in kept)]
    run.resume(row, past, kept[-1][1], kept[-1][3], (line.row.run, *line.lineage))
