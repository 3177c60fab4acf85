"""Where the desk of a home folder is: a Unix socket that only the owner of the folder can reach.

Whoever can open it could also read the keys that lie beside it, so it needs no credential of its own.
"""

import logging
import socket
from dataclasses import dataclass
from pathlib import Path

from fiel.infra.database.layout import FileLock, Layout, private
from fiel.infra.settings import Settings
from fiel.tools.errors import DatabaseUnavailable

NAME = "desk.sock"
_LOG = logging.getLogger("fiel.desk")


def place(settings: Settings) -> Path:
    """Path of the socket, whether or not anybody listens there."""
    return Layout(settings.folder).sockets / NAME


@dataclass(frozen=True, slots=True)
class Desk:
    """An open desk."""

    path: str
    socket: socket.socket
    _lock: FileLock

    def close(self) -> None:
        """Listen no longer, and let another process open the desk."""
        Path(self.path).unlink(missing_ok=True)
        self.socket.close()
        self._lock.close()


def open_desk(settings: Settings) -> Desk | None:
    """Listen at the desk; None where another process of the same home does, or the home cannot be written.

    The lock says who listens: a socket that a killed process left behind is nobody's. A service does without a desk in
    a container whose files are read-only.
    """
    layout = Layout(settings.folder)
    try:
        private(layout.run, layout.home)
        if layout.sockets != layout.run:
            private(layout.sockets)
        lock = FileLock(layout.lock("desk"))
    except DatabaseUnavailable as error:
        _LOG.warning("the command line cannot ask this service: %s", error)
        return None
    if not lock.attempt():
        lock.close()
        return None
    path = place(settings)
    path.unlink(missing_ok=True)
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    bound.bind(str(path))
    path.chmod(0o600)
    bound.listen(128)
    bound.setblocking(False)
    return Desk(str(path), bound, lock)
