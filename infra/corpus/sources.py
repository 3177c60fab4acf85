"""Where documents come from: the port that a sync goes through, and files as the one adapter so far.

A connector (a wiki, a drive, a table) is another adapter: it lists entries in the byte order of their keys, reads one,
and says whether one is still there. Comparing, embedding, writing and deleting are the same for all.
"""

# ruff: noqa: PTH113, PTH114, PTH118 - paths are bytes here: a name need not be UTF-8

import os
from collections.abc import Iterator, Sequence
from typing import Protocol
from urllib.parse import unquote_to_bytes

from fiel.infra.corpus.files import Read, read
from fiel.infra.corpus.walk import Entry, Root, root, walk


class Source(Protocol):
    """One place with documents. Its methods may block; a sync calls them in a thread."""

    @property
    def uri(self) -> str:
        """Its address: a source of the same address is the same source."""
        ...

    @property
    def span(self) -> tuple[str, str]:
        """Least key that it covers, and the least one beyond: what is stored between them is its business."""
        ...

    @property
    def around(self) -> tuple[str, str]:
        """A string before all its keys, and one that is not before any."""
        ...

    @property
    def whole(self) -> bool:
        """Whether what `entries` leaves out is gone. False for a single document."""
        ...

    def entries(self) -> Iterator[Entry]:
        """What is there, ascending by key. What cannot be looked at is an entry with an error."""
        ...

    def read(self, entry: Entry, most: int) -> Read:
        """The document of `entry`, at most `most` bytes. Never raises: what cannot be read says why."""
        ...

    def holds(self, key: str) -> bool:
        """Whether there is a document at `key` now; asked before one that was not listed is taken for deleted."""
        ...


class FileSource:
    """A file, or a folder with all below it."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Raises DocumentPath for a path that is missing, loops, or is neither a file nor a folder."""
        self._root: Root = root(path)

    @property
    def uri(self) -> str:
        return self._root.key

    @property
    def span(self) -> tuple[str, str]:
        return self._root.span

    @property
    def around(self) -> tuple[str, str]:
        return self._root.around

    @property
    def whole(self) -> bool:
        return self._root.folder

    def entries(self) -> Iterator[Entry]:
        return walk(self._root)

    def read(self, entry: Entry, most: int) -> Read:
        return read(entry, most, follow=not self._root.folder)

    def holds(self, key: str) -> bool:
        path = self._reached(key)
        return path is not None and os.path.isfile(path)

    def covers(self, other: "FileSource") -> bool:
        """Whether what `other` finds is found here as well."""
        return self.whole and other.uri.startswith(f"{self.uri}/") and self._reached(other.uri) is not None

    def _reached(self, key: str) -> bytes | None:
        """The path of `key`, if the walk comes there: it passes over hidden files and links."""
        path = os.fsencode(self._root.path)
        for part in unquote_to_bytes(key[len(self._root.key) + 1 :]).split(b"/"):
            path = os.path.join(path, part)
            if part.startswith((b".", b"~$")) or os.path.islink(path):
                return None
        return path


def file_sources(paths: Sequence[str | os.PathLike[str]]) -> list[FileSource]:
    """A source for each path, but each file once: what lies below another path is found there. Raises DocumentPath."""
    found = list({source.uri: source for source in map(FileSource, paths)}.values())
    return [one for one in found if not any(other.covers(one) for other in found if other is not one)]
