"""Which documents stood behind the texts of a run: passages of its own, and those of the turns that it leans on."""

from collections.abc import Iterator, Mapping
from typing import Any

from fiel.infra.ledger.keys import KeyUnavailable
from fiel.infra.ledger.store import Store
from fiel.infra.ledger.subjects import Keys
from fiel.infra.replay.record import NotReplayable, Record, load
from fiel.infra.telemetry.trace import RunNotFound


def documents_of(record: Record) -> Iterator[str]:
    """Every document of which a passage stood in the state of the run, or of those that it resumes."""
    for passages in _values(record, "passages"):
        yield from (passage["document"] for passage in passages)


async def documents_before(store: Store, keys: Keys, record: Record) -> frozenset[str] | None:
    """Documents behind earlier turns of the thread, whose answers a question leans on.

    None where the record of such a turn cannot be read any more: then nobody knows what its answer came from. Raises
    DatabaseUnavailable.
    """
    own = {record.row.run, *record.origin.lineage}
    turns = {turn["run"] for turns in _values(record, "turns") for turn in turns if turn["outcome"]}
    found: set[str] = set()
    for run in sorted(turns - own):
        try:
            before = await load(store, keys, run, record.row.tenant)
        except (RunNotFound, NotReplayable, KeyUnavailable):
            return None
        found.update(documents_of(before))
    return frozenset(found)


def _values(record: Record, channel: str) -> Iterator[list[Mapping[str, Any]]]:
    """What the channel held, each value once."""
    line = (*record.origin.entries, *record.entries)
    parts = (part for one in line for part in (one.entry.reads, one.entry.writes))
    for digest in dict.fromkeys(part[channel] for part in parts if channel in part):
        yield record.value(digest) or []
