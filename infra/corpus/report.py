"""What an ingest did, and how it goes on."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from fiel.tools.errors import FielError

MOST_ERRORS = 1000
"""Errors that are listed one by one; further ones are counted."""


@dataclass(slots=True)
class Progress:
    """Counts while an ingest runs. One object for the whole run: a callback reads it, only ingest writes it."""

    waiting: bool = False
    """Another ingest of the same folder is under way; this one begins when it is done."""
    walked: bool = False
    """All files have been seen: `seen` is final."""
    seen: int = 0
    """Files found."""
    done: int = 0
    """Files that are stored, unchanged or refused."""
    chunks: int = 0
    """Chunks of the documents parsed so far."""
    chunks_done: int = 0
    """Chunks whose vectors are known."""
    current: str = ""
    """A document that is being worked on."""


OnProgress = Callable[[Progress], None]


@dataclass(slots=True)
class Report:
    """The result of one ingest; `as_dict` is the JSON of the command line."""

    collection: str
    readers: tuple[str, ...] = ()
    """Grants that the documents carry."""
    added: int = 0
    updated: int = 0
    deleted: int = 0
    unchanged: int = 0
    regranted: int = 0
    """Documents of which only the readers changed; they count as unchanged too."""
    embedded: int = 0
    """Texts whose vectors were computed now."""
    reused: int = 0
    """Chunks whose vectors were known already."""
    dropped: int = 0
    """Chunks that are no longer searched, without those that stand in a new version unchanged."""
    seconds: float = 0.0
    failed: int = 0
    errors: list[dict[str, str]] = field(default_factory=list)

    def fail(self, uri: str, error: FielError) -> None:
        """One document was refused; the others go on."""
        self.failed += 1
        if len(self.errors) < MOST_ERRORS:
            self.errors.append({"uri": uri, "code": error.code, "what": error.what, "hint": error.hint})

    @property
    def curators_only(self) -> bool:
        """Nobody but curators and administrators can read what was ingested."""
        return all(name.startswith("role:") and name[5:] in ("curator", "administrator") for name in self.readers)

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "collection": self.collection,
            "documents": {
                "added": self.added,
                "updated": self.updated,
                "deleted": self.deleted,
                "unchanged": self.unchanged,
                "regranted": self.regranted,
                "failed": self.failed,
            },
            "chunks": {"embedded": self.embedded, "reused": self.reused, "deleted": self.dropped},
            "seconds": round(self.seconds, 3),
            "readers": list(self.readers),
            "curators_only": self.curators_only,
            "errors": self.errors,
        }


class Watched:
    """Progress, told to whoever wants to know."""

    def __init__(self, callback: OnProgress | None) -> None:
        self.counts = Progress()
        self._callback = callback

    def tell(self) -> None:
        if self._callback is not None:
            self._callback(self.counts)

    def waits(self) -> None:
        self.counts.waiting = True
        self.tell()

    def goes_on(self) -> None:
        self.counts.waiting = False
        self.tell()

    def done(self, number: int = 1) -> None:
        self.counts.done += number
        self.tell()
