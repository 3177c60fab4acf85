"""Events on their way to a data catalogue: kept in PostgreSQL, sent from there at least once. Nothing waits for them.

The official client sends. One process sends at a time; an event that the catalogue does not take is tried again later,
and holds up no other.
"""

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import orjson

from fiel.infra.database.connect import Database
from fiel.infra.ledger.postgres import System
from fiel.infra.lineage.openlineage import Changed, Ingest, of_ingest
from fiel.tools.principal import Principal
from fiel.tools.sql import load

if TYPE_CHECKING:
    from openlineage.client.transport.http import HttpTransport

_LOG = logging.getLogger("fiel.lineage")
LONGEST = 3600.0
"""Longest pause between two tries of an event, in seconds."""
TIMEOUT = 10.0
"""Seconds that the catalogue may take for one event."""
UNTOLD = ("400", "413", "422")
"""Statuses of a catalogue that is there and does not want this event; any other problem is one of all events."""


async def put(connection: Any, events: Sequence[bytes]) -> None:
    """Keep events in the caller's transaction: they are sent if it is committed."""
    if events:
        await connection.execute(load(__package__, "catalogue.sql")["put"], {"events": list(events)})


@dataclass(frozen=True, slots=True)
class IngestTold:
    """Tells of ingests. What cannot be told stops no ingest."""

    database: Database

    @asynccontextmanager
    async def telling(self, by: Principal, collection: str, source: str) -> AsyncIterator[None]:
        """Tell that a sync of a source begins, and how it has ended: a block that raises has failed."""
        begun = await self._begin(by, collection, source)
        try:
            yield
        except BaseException:
            with suppress(Exception):
                await self._end(by, begun, failed=True)
            raise
        await self._end(by, begun, failed=False)

    async def _begin(self, by: Principal, collection: str, source: str) -> Ingest:
        async with self.database.acting(by) as connection:
            row = await (await connection.execute(load(__package__, "catalogue.sql")["now"])).fetchone()
            assert row is not None  # noqa: S101 - the statement always returns one
            ingest = Ingest(str(uuid.uuid4()), by.tenant, collection, source, row[0])
            await put(connection, await asyncio.to_thread(of_ingest, ingest))
        return ingest

    async def _end(self, by: Principal, ingest: Ingest, *, failed: bool) -> None:
        sql = load(__package__, "catalogue.sql")
        values = {"collection": ingest.collection, "source": ingest.source, "began": ingest.began}
        async with self.database.acting(by) as connection:
            rows = await (await connection.execute(sql["changed"], values)).fetchall()
            count = await (await connection.execute(sql["documents"], values)).fetchone()
            now = await (await connection.execute(sql["now"])).fetchone()
            assert count is not None and now is not None  # noqa: S101 - the statements always return one
            whole = replace(ingest, changed=[Changed(*row) for row in rows], documents=count[0])
            await put(connection, await asyncio.to_thread(of_ingest, whole, ended=now[0], failed=failed))


class Sending:
    """Sends the events of one database to one catalogue."""

    def __init__(self, system: System, url: str, key: str = "", *, pause: float = 2.0) -> None:
        """`url`: base address of the catalogue; `pause`: seconds until a second try, each time twice as long."""
        self._system = system
        self._url = url.rstrip("/") + "/"
        self._key = key
        self._pause = pause
        self._sql = load(__package__, "catalogue.sql")
        self._transport: HttpTransport | None = None

    async def send_once(self, most: int = 64) -> int:
        """Send at most so many events; how many went. 0 too where another process sends. Raises DatabaseUnavailable."""
        gone: list[int] = []
        async with self._system() as connection:
            lock = await (await connection.execute(self._sql["lock"])).fetchone()
            if not (lock and lock[0]):
                return 0
            for id, event, tries in await (await connection.execute(self._sql["take"], {"most": most})).fetchall():
                problem = await asyncio.to_thread(self._send, orjson.loads(bytes(event)))
                if not problem:
                    gone.append(id)
                    continue
                _LOG.warning("a lineage event waits", extra={"code": problem})
                seconds = min(self._pause * 2 ** min(tries, 20), LONGEST)
                await connection.execute(self._sql["later"], {"id": id, "seconds": seconds, "problem": problem})
                if problem not in UNTOLD:
                    break  # the next one would fare no better
            if gone:
                await connection.execute(self._sql["sent"], {"ids": gone})
        return len(gone)

    def _send(self, event: dict[str, Any]) -> str:
        """Why the catalogue did not take it; empty: it did."""
        from requests import RequestException

        try:
            answer = self._client().emit(event)  # type: ignore[arg-type] # it takes an event that is a mapping already
        except RequestException as error:
            return type(error).__name__ if error.response is None else str(error.response.status_code)
        return "" if answer.status_code < 300 else str(answer.status_code)

    def _client(self) -> "HttpTransport":
        from openlineage.client.transport.http import ApiKeyTokenProvider, HttpConfig, HttpTransport, TokenProvider
        from requests import Session

        if self._transport is None:
            session = Session()
            session.trust_env = False
            session.max_redirects = 0  # a redirected event would arrive as a question, if at all
            auth = ApiKeyTokenProvider({"apiKey": self._key}) if self._key else TokenProvider({})
            config = HttpConfig(self._url, timeout=TIMEOUT, session=session, retry={"total": 0}, auth=auth)
            self._transport = HttpTransport(config)
        return self._transport
