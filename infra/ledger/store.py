"""The store port: where flushed entries, contents, spans and drafts of runs are kept. Append-only for entries.

`Store` has two adapters: `MemoryStore` here, and `PostgresStore` in `postgres`. One contract suite runs on both.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from fiel.infra.ledger.chain import Sealed
from fiel.tools.errors import FielError


class RecordConflict(FielError):
    """Another process has recorded other entries under the same run and sequence."""

    code = "record_conflict"


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run, as its first flush introduces it."""

    run: str
    tenant: str
    thread: str
    """Empty without a checkpointer."""
    caller: str
    resumes: str | None
    """The run that this one continues."""
    resumes_seq: int | None
    """Its last entry that belongs to this one's past."""
    started: int
    """Microseconds since 1970."""


class Kept(NamedTuple):
    """What a flush keeps beside its entries, encrypted."""

    frame: bytes = b""
    """New contents, packed, compressed, encrypted; empty where there are none."""
    spans: bytes = b""
    """Serialised TracesData, compressed, encrypted; empty where there are none."""
    drafts: tuple[tuple[str, bytes], ...] = ()
    """Digest and encrypted content of what the vault was given since the last flush."""


@dataclass(frozen=True, slots=True)
class Flush:
    """What one run commits at once."""

    run: RunRow
    entries: tuple[Sealed, ...]
    key: str
    """Id of the key under which everything here is encrypted."""
    size: int
    """About how many bytes it holds."""
    kept: Callable[[], Kept]
    """Gives the same each time; what it takes to compress and encrypt is done where the flush is written."""

    @classmethod
    def of(
        cls,
        run: RunRow,
        entries: tuple[Sealed, ...],
        key: str,
        frame: bytes = b"",
        spans: bytes = b"",
        drafts: tuple[tuple[str, bytes], ...] = (),
    ) -> "Flush":
        """A flush of what is encrypted already."""
        kept = Kept(frame, spans, drafts)
        size = sum(len(one.body) for one in entries) + len(frame) + len(spans) + sum(len(data) for _, data in drafts)
        return cls(run, entries, key, size, lambda: kept)


@dataclass(frozen=True, slots=True)
class Blob:
    """Something encrypted, and the name of its key."""

    key: str
    data: bytes


class Store(Protocol):
    """Keeps flushes. Every method raises DatabaseUnavailable where the database does not answer."""

    async def append(self, flushes: Sequence[Flush]) -> None:
        """Keep all or nothing. Appending the same flush again changes nothing.

        Raises RecordConflict where a different entry stands under the same run and sequence.
        """
        ...

    async def run(self, run: str) -> RunRow | None: ...

    async def entries(self, run: str) -> Sequence[Sealed]:
        """Entries of `run`, in order."""
        ...

    async def frames(self, run: str) -> Sequence[Blob]:
        """Contents of `run`, oldest first."""
        ...

    async def draft(self, run: str, digest: str) -> Blob | None: ...

    async def thread(self, tenant: str, thread: str, caller: str, limit: int) -> Sequence[RunRow]:
        """Latest runs of the same tenant, thread and caller, newest first."""
        ...

    async def keys(self) -> Sequence[str]:
        """Ids of the keys that stored contents were encrypted with."""
        ...

    async def forget_drafts(self, older_than: float) -> int:
        """Delete drafts that were put more than so many seconds ago; returns how many."""
        ...


class MemoryStore:
    """Keeps flushes in the process. For tests, and for graphs that run without a database."""

    def __init__(self) -> None:
        self.runs: dict[str, RunRow] = {}
        self.sealed: dict[str, list[Sealed]] = {}
        self.contents: dict[str, list[Blob]] = {}
        self.spans: list[tuple[str, Blob]] = []
        self.drafts: dict[tuple[str, str], tuple[Blob, float]] = {}

    async def append(self, flushes: Sequence[Flush]) -> None:
        for flush in flushes:
            have = self.sealed.get(flush.run.run, [])
            for one in flush.entries:
                if one.seq < len(have) and have[one.seq] != one:
                    raise RecordConflict("another entry stands at this place", where=f"{flush.run.run}:{one.seq}")
        for flush in flushes:
            self._keep(flush)

    def _keep(self, flush: Flush) -> None:
        run = flush.run.run
        self.runs.setdefault(run, flush.run)
        have = self.sealed.setdefault(run, [])
        new = [one for one in flush.entries if one.seq >= len(have)]
        if flush.entries and not new:
            return
        have.extend(new)
        kept = flush.kept()
        if kept.frame:
            self.contents.setdefault(run, []).append(Blob(flush.key, kept.frame))
        if kept.spans:
            self.spans.append((run, Blob(flush.key, kept.spans)))
        for digest, content in kept.drafts:
            self.drafts[run, digest] = Blob(flush.key, content), time.time()

    async def run(self, run: str) -> RunRow | None:
        return self.runs.get(run)

    async def entries(self, run: str) -> Sequence[Sealed]:
        return list(self.sealed.get(run, ()))

    async def frames(self, run: str) -> Sequence[Blob]:
        return list(self.contents.get(run, ()))

    async def draft(self, run: str, digest: str) -> Blob | None:
        found = self.drafts.get((run, digest))
        return found[0] if found else None

    async def thread(self, tenant: str, thread: str, caller: str, limit: int) -> Sequence[RunRow]:
        wanted = (tenant, thread, caller)
        rows = [row for row in self.runs.values() if (row.tenant, row.thread, row.caller) == wanted]
        return sorted(rows, key=lambda row: row.started, reverse=True)[:limit]

    async def keys(self) -> Sequence[str]:
        return sorted({blob.key for blobs in self.contents.values() for blob in blobs})

    async def forget_drafts(self, older_than: float) -> int:
        old = [key for key, (_, at) in self.drafts.items() if at <= time.time() - older_than]
        for key in old:
            del self.drafts[key]
        return len(old)
