"""Where the embedded server's things lie, and the locks by which processes agree about it."""

import fcntl
import hashlib
import os
import re
import stat
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from fiel.tools.errors import DatabaseUnavailable

LONGEST_SOCKET = 107
"""Bytes that a Unix socket's path may have on Linux."""
_PLAIN = re.compile(r"[\w/.+@:~ -]+")
"""Paths that libpq and every driver take as they are (a comma would separate two hosts)."""
PORT = 5432
OWNER, RUNTIME, MLFLOW = "fiel_owner", "fiel_runtime", "fiel_mlflow"


@dataclass(frozen=True, slots=True)
class Layout:
    """Paths of one embedded server below `home`; the same in every process that asks."""

    home: Path
    """Absolute."""
    user: int = field(default_factory=os.geteuid)
    """Number of the user whose server this is; the keeper stays with it when it becomes another."""

    @property
    def data(self) -> Path:
        """The data folder; may be a link to another disk."""
        return (self.home / "postgres").resolve()

    @property
    def run(self) -> Path:
        """Locks, log and (where the path is short enough) the socket."""
        return self.home / "run"

    @property
    def sockets(self) -> Path:
        """Folder of the socket: `run`, or one below /tmp named after it where that path is too long or odd."""
        short = len(os.fsencode(self.run / f".s.PGSQL.{PORT}")) <= LONGEST_SOCKET
        if short and _PLAIN.fullmatch(str(self.run)):
            return self.run
        name = hashlib.sha256(os.fsencode(self.run)).hexdigest()[:12]
        return Path("/tmp") / f"fiel-{self.user}-{name}"  # noqa: S108 (mode and owner are checked by `private`)

    @property
    def log(self) -> Path:
        return self.run / "postgres.log"

    @property
    def status(self) -> Path:
        """What the keeper says: JSON with `state` and, where it failed, `what` and `hint`."""
        return self.run / "status.json"

    def lock(self, name: str) -> Path:
        """`clients` (shared: one each client), `start`, `keeper` and `server` (one holder each)."""
        return self.run / f"{name}.lock"

    def url(self, role: str = RUNTIME, database: str = "fiel", *, scheme: str = "postgresql") -> str:
        """Address of `database` for `role`, for libpq and (with a driver in `scheme`) for SQLAlchemy."""
        return f"{scheme}://{role}@/{database}?host={quote(str(self.sockets), safe='')}"


def private(folder: Path, *above: Path) -> None:
    """Make `folder` with mode 0700, or check that it is ours alone; make `above` so where they are missing.

    Raises DatabaseUnavailable.
    """
    try:
        for parent in above:
            with suppress(FileExistsError):
                parent.mkdir(mode=0o700, parents=True)
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700, parents=True)
        state = folder.lstat()
    except OSError as error:
        raise cannot_write(folder, error) from error
    if not stat.S_ISDIR(state.st_mode):
        raise DatabaseUnavailable("not a folder", where=str(folder), hint="Move it away or set another FIEL_HOME")
    if state.st_uid != os.geteuid():
        raise DatabaseUnavailable(
            f"the folder belongs to another user (uid {state.st_uid})",
            where=str(folder),
            hint="Run fiel as that user, or set another FIEL_HOME",
        )
    if stat.S_IMODE(state.st_mode) != 0o700:
        folder.chmod(0o700)


def cannot_write(path: Path, error: OSError) -> DatabaseUnavailable:
    """The error for a folder that cannot be made or written."""
    return DatabaseUnavailable(
        f"cannot write: {error.strerror or error}",
        where=str(path),
        hint="Free space there, make it writable, or set another FIEL_HOME",
    )


class FileLock:
    """A `flock` on a file. The kernel gives it back when the last process that holds it ends, however it ends."""

    def __init__(self, path: Path) -> None:
        try:
            self._descriptor: int | None = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise cannot_write(path, error) from error

    @property
    def descriptor(self) -> int:
        if self._descriptor is None:
            raise ValueError("the lock is closed")
        return self._descriptor

    def attempt(self, *, shared: bool = False) -> bool:
        """Take the lock (or change to the other kind) if that is possible now."""
        try:
            fcntl.flock(self.descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def wait(self) -> None:
        """Block until the lock is held alone."""
        fcntl.flock(self.descriptor, fcntl.LOCK_EX)

    def release(self) -> None:
        fcntl.flock(self.descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the file: gives the lock back unless another process has inherited it."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)
