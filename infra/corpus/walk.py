"""Files below a path, in the byte order of their keys, one folder's listing in memory at a time.

A key is the absolute `file:` address of a file, percent-encoded: what a document is recognised by. The order lets a
sync go through files and stored documents side by side, like a merge, whatever their number. What is shown of a file
is the same address made readable: `file:///srv/docs/año nuevo.md`. However a file was named, alone or by a folder above
it, from wherever, it has that one address, and no other file has it.
"""

# ruff: noqa: PTH100, PTH116, PTH120 - names are kept as the system gives them, not normalised

import errno
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from fiel.tools.errors import DocumentPath

_UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]|%(?=[0-9A-Fa-f]{2})"
)
_HINT = "Ingest the file that it points to"


@dataclass(frozen=True, slots=True)
class Root:
    """A path as it was named: a file, or a folder with all below it."""

    path: str
    """Absolute."""
    key: str
    folder: bool

    @property
    def uri(self) -> str:
        """How addresses of its documents begin."""
        return "file://" + shown(self.path).rstrip("/")

    @property
    def span(self) -> tuple[str, str]:
        """Least key that it covers, and the least one beyond."""
        return (f"{self.key}/", f"{self.key}0") if self.folder else (self.key, f"{self.key}\x01")

    @property
    def around(self) -> tuple[str, str]:
        """A string before every key that it covers, with no other document's key between, and the last possible key."""
        return (f"{self.key}/", f"{self.key}/\x7f") if self.folder else (_just_before(self.key), self.key)


@dataclass(frozen=True, slots=True)
class Entry:
    """A file found, or a place that cannot be looked into."""

    path: str
    key: str
    uri: str
    size: int = 0
    error: DocumentPath | None = None
    blind: bool = False
    """A folder that cannot be listed (its key ends with a slash): what was stored from below it stays."""


def root(path: str | os.PathLike[str]) -> Root:
    """Raises DocumentPath for a path that is missing, loops, or is neither a file nor a folder."""
    if not os.fspath(path):
        raise DocumentPath("a path is empty", hint="Name a file or a folder; . is the working folder")
    absolute = os.path.abspath(os.fspath(path))
    try:
        kind = os.stat(absolute).st_mode
    except (OSError, ValueError) as error:
        raise refusal(error, os.fspath(path)) from error
    if not (stat.S_ISDIR(kind) or stat.S_ISREG(kind)):
        raise DocumentPath("it is neither a file nor a folder", where=shown(os.fspath(path)))
    key = "file://" + quote(os.fsencode(absolute).rstrip(b"/"))
    return Root(absolute, key, stat.S_ISDIR(kind))


def walk(start: Root) -> Iterator[Entry]:
    """Files of `start`. Hidden ones (a leading dot) and lock files of Office (`~$`) are passed over.

    Links are not followed: one that stays inside the folder is passed over, since its target is found anyway; one
    that loops, breaks or leads out is an error, so that a link cannot slip in what the caller did not mean to share.
    """
    if not start.folder:
        yield Entry(start.path, start.key, start.uri, _size(start.path))
        return
    real = os.path.realpath(start.path)
    stack = [iter(_listing(start.path, start.key, start.uri))]
    while stack:
        found = next(stack[-1], None)
        if found is None:
            stack.pop()
            continue
        entry, kind = found
        if kind == "folder":
            stack.append(iter(_listing(entry.path, entry.key, entry.uri)))
        elif kind == "link":
            error = _link_error(entry.path, real)
            if error is not None:
                yield Entry(entry.path, entry.key, entry.uri, error=error)
        else:
            yield entry


def _listing(path: str, key: str, uri: str) -> list[tuple[Entry, str]]:
    """What lies in one folder, sorted as the keys below it sort: a folder's name counts with its slash."""
    found: list[tuple[str, Entry, str]] = []
    try:
        with os.scandir(path) as items:
            for item in items:
                if not item.name.startswith((".", "~$")):
                    found.append(_seen(item, key, uri))
    except OSError as error:
        entry = Entry(path, f"{key}/", uri, error=refusal(error, uri), blind=True)
        return [(entry, "error")]
    found.sort(key=lambda triple: triple[0])
    return [(entry, kind) for _, entry, kind in found]


def _seen(item: "os.DirEntry[str]", key: str, uri: str) -> tuple[str, Entry, str]:
    name = quote(os.fsencode(item.name))
    place, address = f"{key}/{name}", f"{uri}/{shown(item.name)}"
    try:
        if item.is_symlink():
            return name, Entry(item.path, place, address), "link"
        if item.is_dir(follow_symlinks=False):
            return f"{name}/", Entry(item.path, place, address), "folder"
        info = item.stat(follow_symlinks=False)
    except OSError as error:
        return name, Entry(item.path, place, address, error=refusal(error, address)), "error"
    if not stat.S_ISREG(info.st_mode):
        special = DocumentPath("it is no regular file (a pipe, socket or device)", where=address)
        return name, Entry(item.path, place, address, error=special), "error"
    return name, Entry(item.path, place, address, info.st_size), "file"


def _link_error(path: str, real_root: str) -> DocumentPath | None:
    try:
        folder = stat.S_ISDIR(os.stat(path).st_mode)
    except OSError as error:
        return refusal(error, shown(path))
    target = os.path.realpath(path)
    if folder and (os.path.realpath(os.path.dirname(path)) + "/").startswith(target.rstrip("/") + "/"):
        return DocumentPath("it is a symbolic link loop: it leads back to a folder above it", where=shown(path))
    if target != real_root and not target.startswith(real_root.rstrip("/") + "/"):
        return DocumentPath("it is a symbolic link that leads out of the folder", where=shown(path), hint=_HINT)
    return None


def refusal(error: OSError | ValueError, where: str) -> DocumentPath:
    """What the system says about a path, in words."""
    where = shown(where)
    number = getattr(error, "errno", None)
    if number in (errno.ENOENT, errno.ENOTDIR):
        return DocumentPath("there is no such file or folder", where=where)
    if number == errno.ELOOP:
        return DocumentPath("it is a symbolic link loop", where=where, hint=_HINT)
    if number in (errno.EACCES, errno.EPERM):
        return DocumentPath("permission denied", where=where, hint="Let the user that runs fiel read it")
    return DocumentPath(f"it cannot be read: {getattr(error, 'strerror', None) or error}", where=where)


def shown(name: str) -> str:
    """A path as text that can be printed, another text for every path.

    Bytes that are no UTF-8, control characters and marks that turn the direction of text are percent-encoded (`%0A`),
    and so is a `%` that would read as such a code.
    """
    text = os.fsencode(name).decode("utf-8", "surrogateescape")
    return _UNPRINTABLE.sub(lambda found: quote(found[0].encode("utf-8", "surrogateescape"), safe=""), text)


def _just_before(key: str) -> str:
    """Keys are printable ASCII, so no key lies between this and `key`."""
    return key[:-1] + chr(ord(key[-1]) - 1) + "\x7f" * 8


def _size(path: str) -> int:
    return Path(path).stat().st_size
