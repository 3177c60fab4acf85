"""Reading one file whole, and noticing when it changes meanwhile."""

import hashlib
import os
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass

from fiel.infra.corpus.walk import Entry, refusal
from fiel.tools.errors import DocumentChanged, DocumentPath, InvalidDocument
from fiel.tools.parse.any import too_large

ATTEMPTS = 3
PAUSE = 0.2
"""Seconds before a file that changed is read again."""
_FRESH_NS = 2_000_000_000
"""A file modified so recently may change again within one tick of the file system's clock: it is read twice."""


@dataclass(frozen=True, slots=True)
class Read:
    """One file as read: its digest and bytes, or why not."""

    entry: Entry
    sha256: bytes = b""
    data: bytes = b""
    error: InvalidDocument | None = None


def read(entry: Entry, max_file: int, *, follow: bool) -> Read:
    """The file of `entry`. `follow`: the path itself may be a link (it was named by the caller)."""
    if entry.error is not None:
        return Read(entry, error=entry.error)
    try:
        for attempt in range(ATTEMPTS):
            if attempt:
                time.sleep(PAUSE)
            data = _stable(entry, max_file, follow)
            if data is not None:
                return Read(entry, hashlib.sha256(data).digest(), data)
    except OSError as error:
        return Read(entry, error=refusal(error, entry.uri))
    except InvalidDocument as error:
        return Read(entry, error=error)
    changed = DocumentChanged("it changes while it is read", where=entry.uri, hint="Ingest it when it is complete")
    return Read(entry, error=changed)


def _stable(entry: Entry, max_file: int, follow: bool) -> bytes | None:
    """The bytes, or None where the file changed between the first look and the last."""
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (0 if follow else os.O_NOFOLLOW)
    descriptor = os.open(entry.path, flags)
    with open(descriptor, "rb", buffering=0) as file:  # noqa: PTH123 - the descriptor is looked at as well
        before = os.fstat(descriptor)
        if not stat.S_ISREG(before.st_mode):
            raise DocumentPath("it is no regular file (a pipe, socket or device)", where=entry.uri)
        if before.st_size > max_file:
            raise too_large(entry.uri, max_file)
        data = _all(file.read, before.st_size)
        if time.time_ns() - before.st_mtime_ns < _FRESH_NS:
            file.seek(0)
            if _all(file.read, before.st_size) != data:
                return None
        after = os.fstat(descriptor)
    same = (before.st_size, before.st_mtime_ns, before.st_ctime_ns) == (
        after.st_size,
        after.st_mtime_ns,
        after.st_ctime_ns,
    )
    return data if same and len(data) == before.st_size else None


def _all(read_some: Callable[[int], bytes | None], size: int) -> bytes:
    """At most `size` bytes and one more, which betrays growth."""
    parts: list[bytes] = []
    left = size + 1
    while left > 0:
        part = read_some(left)
        if not part:
            break
        parts.append(part)
        left -= len(part)
    return b"".join(parts)
