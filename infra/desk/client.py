"""Asks a running service over its desk, or over the address that FIEL_URL names.

Only the standard library, imported when it is needed: a call is to take as long as the interpreter's start and little
more.
"""

import asyncio
import json
import socket
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from fiel.infra.settings import Settings
from fiel.tools.errors import FielError, SettingsError, Unavailable, UsageError, kinds

if TYPE_CHECKING:
    from http.client import HTTPConnection

ALONE = "none"
"""FIEL_URL=none: ask no service, whatever runs."""
CONNECT = 2.0
"""Seconds for the connection."""
PATIENCE = 600.0
"""Seconds for an answer: each hop of a run has a limit of its own, far below."""
LARGEST = 64 * 2**20
"""Bytes of an answer that are read."""


class ServiceUnavailable(Unavailable):
    """The service does not answer, or not in fiel's shapes."""

    code = "service_unavailable"


class Told(FielError):
    """An error that the service told: its code and words are the service's own."""

    def __init__(self, body: Mapping[str, Any], status: int) -> None:
        what = str(body.get("detail") or f"the service answers with status {status}")
        super().__init__(what, where=str(body.get("where") or ""), hint=str(body.get("hint") or ""))
        self._code = str(body.get("code") or "service_unavailable")
        kind = kinds().get(self._code)
        unknown = 3 if status >= 500 or status == 429 else 1 if status < 404 else 2
        self._exit = kind.exit_status if kind is not None else unknown

    @property
    def code(self) -> str:  # type: ignore[override]
        return self._code

    @property
    def exit_status(self) -> int:  # type: ignore[override]
        return self._exit


@dataclass(frozen=True, slots=True)
class Client:
    """One service. Every call is a connection of its own, so calls may run side by side."""

    socket: str = ""
    """Path of the desk; empty: `url`."""
    url: str = ""
    headers: tuple[tuple[str, str], ...] = ()

    async def get(self, path: str, timeout: float = PATIENCE) -> Any:
        """The JSON value there. Raises Told, ServiceUnavailable."""
        return await asyncio.to_thread(self._call, "GET", path, None, timeout)

    async def send(self, method: str, path: str, body: Mapping[str, Any], timeout: float = PATIENCE) -> Any:
        """What the service answers to a body. Raises Told, ServiceUnavailable."""
        return await asyncio.to_thread(self._call, method, path, body, timeout)

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None, timeout: float) -> Any:
        from http.client import HTTPException

        sent = None if body is None else json.dumps(body).encode()
        headers = {"Accept": "application/json", "Content-Type": "application/json", **dict(self.headers)}
        where = self.url or self.socket
        try:
            with closing(self._connection(timeout)) as connection:
                connection.request(method, path, sent, headers)
                response = connection.getresponse()
                status, data = response.status, response.read(LARGEST + 1)
        except (OSError, HTTPException) as error:
            reason = "did not answer in time" if isinstance(error, TimeoutError) else "does not answer"
            raise ServiceUnavailable(f"the service {reason}", where=where, hint="Is it up? See FIEL_URL") from error
        return _read(status, data, where)

    def _connection(self, timeout: float) -> "HTTPConnection":
        from http.client import HTTPConnection, HTTPSConnection

        if self.socket:
            return _over(self.socket, timeout)
        parts = urlsplit(self.url)
        kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        return kind(parts.hostname or "", parts.port, timeout=timeout)


def _over(path: str, timeout: float) -> "HTTPConnection":
    """A connection over a Unix socket."""
    from http.client import HTTPConnection

    connection = HTTPConnection("localhost", timeout=timeout)
    connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connected.settimeout(CONNECT)
    try:
        connected.connect(path)
    except OSError:
        connected.close()
        raise
    connected.settimeout(timeout)
    connection.sock = connected
    return connection


def _read(status: int, data: bytes, where: str) -> Any:
    try:
        value = json.loads(data) if len(data) <= LARGEST else None
    except ValueError:
        value = None
    if status == 200 and value is not None:
        return value
    if status != 200 and isinstance(value, dict) and "detail" in value:
        raise Told(value, status)
    raise ServiceUnavailable(
        f"what answers is no service of fiel's (status {status})", where=where, hint="See FIEL_URL"
    )


def reach(settings: Settings, as_user: str | None = None, groups: Sequence[str] = ()) -> Client | None:
    """The service to ask; None where this process has to open a house of its own.

    Raises SettingsError, UsageError: who calls a service elsewhere is who its token names.
    """
    if settings.url == ALONE:
        return None
    if settings.url:
        return _elsewhere(settings, as_user, groups)
    from fiel.infra.desk.place import place

    path = str(place(settings))
    with suppress(OSError), closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as trial:
        trial.settimeout(CONNECT)
        trial.connect(path)
        return Client(socket=path, headers=_asking(as_user, groups))
    return None


def _elsewhere(settings: Settings, as_user: str | None, groups: Sequence[str]) -> Client:
    parts = urlsplit(settings.url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/") or parts.query:
        raise SettingsError(
            "the address of the service must be http(s)://host:port",
            where="FIEL_URL",
            hint=f"Write e.g. http://127.0.0.1:8123, or {ALONE}",
        )
    if as_user is not None or groups:
        raise UsageError(
            "a service elsewhere takes nobody's word for who asks: its token says so",
            where="--as",
            hint="Set FIEL_TOKEN to a token of that user, or FIEL_URL=none",
        )
    headers = (("Authorization", f"Bearer {settings.token}"),) if settings.token else ()
    return Client(url=settings.url, headers=headers)


def _asking(as_user: str | None, groups: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Who asks at the desk, in characters that a header can carry."""
    if as_user is None:
        return ()
    named = (("X-Fiel-As", quote(as_user, safe="")),)
    return (*named, ("X-Fiel-Groups", ",".join(quote(group, safe="") for group in groups))) if groups else named
