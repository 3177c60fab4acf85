"""Files and stored documents side by side: what is new, changed, unchanged, gone.

Both come in the order of their keys, so a page of files meets exactly the stored documents between the end of the
page before and its own end; memory is bounded by the page, whatever the number of files.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace

from fiel.infra.corpus.files import Read
from fiel.infra.corpus.sources import Source
from fiel.infra.corpus.store import Place, Store, Stored
from fiel.infra.corpus.walk import Entry

PAGE_FILES = 256
PAGE_BYTES = 16 * 1024 * 1024


@dataclass(slots=True)
class Page:
    """What a page of files comes to."""

    seen: int
    changed: list[Read] = field(default_factory=list)
    """To be parsed."""
    refused: list[Read] = field(default_factory=list)
    unchanged: int = 0
    regrant: list[Stored] = field(default_factory=list)
    """Unchanged, but with other readers, another address or another source than now; `uri` is the new one."""
    gone: list[Stored] = field(default_factory=list)
    """Stored, and no longer there."""


class Sync:
    """Goes through one source."""

    def __init__(self, store: Store, place: Place, source: Source, max_file: int) -> None:
        self._store = store
        self._place = place
        self._source = source
        self._max_file = max_file
        self._blind: list[str] = []

    async def pages(self) -> AsyncIterator[Page]:
        """Pages in order of keys; the last one holds what is gone behind the last file."""
        after, beyond = self._source.around
        entries = self._source.entries()
        while True:
            batch = await asyncio.to_thread(_page, entries)
            last = not batch
            upto = beyond if last else batch[-1].key
            stored = [document async for document in self._between(after, upto)]
            yield await self._compare(batch, stored)
            if last or not self._source.whole:
                return
            after = upto

    async def _between(self, after: str, upto: str) -> AsyncIterator[Stored]:
        while True:
            found = await self._store.stored(self._place, after, upto)
            for document in found:
                yield document
            if not found:
                return
            after = found[-1].key

    async def _compare(self, batch: list[Entry], stored: list[Stored]) -> Page:
        self._blind += [entry.key for entry in batch if entry.blind]
        by_key = {document.key: document for document in stored}
        page = Page(len(batch), gone=await self._gone(stored, {entry.key for entry in batch}))
        for found in await asyncio.to_thread(self._read, batch, by_key):
            document = by_key.get(found.entry.key)
            if found.error is not None:
                page.refused.append(found)
            elif document is None or (document.sha256, document.recipe) != (found.sha256, self._store.recipe):
                page.changed.append(found)
            else:
                page.unchanged += 1
                if (document.acl, document.uri, document.source) != (
                    self._place.acl,
                    found.entry.uri,
                    self._place.source,
                ):
                    page.regrant.append(replace(document, uri=found.entry.uri))
        return page

    def _read(self, batch: list[Entry], stored: dict[str, Stored]) -> list[Read]:
        """Each file of the page; the bytes of unchanged ones are let go at once."""
        result = []
        for entry in batch:
            found = self._source.read(entry, self._max_file)
            document = stored.get(entry.key)
            if document is not None and (document.sha256, document.recipe) == (found.sha256, self._store.recipe):
                found = Read(entry, found.sha256, b"", found.error)
            result.append(found)
        return result

    async def _gone(self, stored: list[Stored], seen: set[str]) -> list[Stored]:
        """Documents without a file. One below a folder that cannot be looked into is not known to be gone."""
        blind = tuple(self._blind)
        missing = [found for found in stored if found.key not in seen and not (blind and found.key.startswith(blind))]
        # A file may have come to be since its folder was listed: the next sync takes it in as it is then.
        return await asyncio.to_thread(lambda: [found for found in missing if not self._source.holds(found.key)])


def _page(entries: Iterator[Entry]) -> list[Entry]:
    """The next files, bounded in number and bytes; empty at the end."""
    page: list[Entry] = []
    size = 0
    for entry in entries:
        page.append(entry)
        size += entry.size
        if len(page) >= PAGE_FILES or size >= PAGE_BYTES:
            break
    return page
