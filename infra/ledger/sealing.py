"""Sealing: what runs and acts have committed enters the chain of its tenant, every 100 ms, by whichever process looks.

Taking what waits and writing the seal is one transaction, one sealer at a time: a sealer that is killed leaves both or
neither, and the next one seals what waits. Heads of the chains are signed now and then, and kept in the database and
in a second place, so that a chain that was cut or made anew is found out.
"""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from psycopg import AsyncConnection

from fiel.infra.ledger.elsewhere import Elsewhere, Spread
from fiel.infra.ledger.heads import Signer
from fiel.infra.ledger.postgres import Aside, PostgresStore
from fiel.infra.ledger.store import Flush
from fiel.infra.ledger.verify import merkle
from fiel.tools.canonical import canonical, digest
from fiel.tools.errors import FielError
from fiel.tools.sql import load

_LOG = logging.getLogger("fiel.ledger")
EVERY = 0.1
"""Seconds between seals."""
SIGNED = 60.0
"""Seconds between signed heads."""
LATE = 10.0
"""Seconds for which something may wait before it is an alarm."""
AGAIN = 1.0
"""Seconds for which that must go on: what was written while nobody sealed is late, and sealed at the first look."""
MOST = 10_000
"""Leaves that are sealed at once."""
System = Callable[[], AbstractAsyncContextManager[AsyncConnection[Any]]]


class Sealing:
    """Seals and signs for one database. `signer`: None where this process has no signing key."""

    def __init__(self, system: System, signer: Signer | None = None, places: Sequence[Elsewhere] = ()) -> None:
        """`places`: where signed heads are kept too."""
        self._system = system
        self._spread = Spread(places)
        self._signer = signer
        self._sql = load(__package__, "sealing.sql")
        self.age = 0.0
        """Seconds for which the oldest unsealed entry waits, when this process looked last."""

    async def run(self) -> None:
        """Until cancelled."""
        pause, signed, late, told = EVERY, time.monotonic(), 0.0, 0.0
        while True:
            await asyncio.sleep(pause)
            try:
                await self.seal()
                if time.monotonic() - signed > SIGNED:
                    signed = time.monotonic()
                    await self.sign()
                pause = EVERY
            except FielError as error:
                _LOG.warning("nothing is sealed: %s", error)
                pause = min(pause * 2, 5.0)
            except Exception:
                _LOG.exception("nothing is sealed")
                pause = 5.0
            now = time.monotonic()
            late = (late or now) if self.age > LATE else 0.0
            if late and now - late > AGAIN and now - told > LATE:
                told = now
                _LOG.error("entries wait for their seal for %.0f s", self.age)

    async def seal(self, wait: bool = False) -> int:
        """Seal what waits; how many leaves. None where another process does, unless its end is to be waited for.

        Raises DatabaseUnavailable.
        """
        async with self._system() as connection:
            count, self.age = await self._waiting(connection)
            if not count:
                return 0
            lock = await (await connection.execute(self._sql["wait" if wait else "lock"])).fetchone()
            if not (lock and lock[0]):
                return 0
            taken = await (await connection.execute(self._sql["take"], (MOST,))).fetchall()
            leaves: dict[str, list[bytes]] = defaultdict(list)
            for _, tenant, leaf in sorted(taken):
                leaves[tenant].append(bytes(leaf))
            for tenant, own in sorted(leaves.items()):
                await self._add(connection, tenant, own)
        return len(taken)

    async def drain(self) -> None:
        """Seal everything that waits now."""
        while await self.seal():
            pass

    async def sign(self) -> int:
        """Sign the heads that are new; how many. Raises DatabaseUnavailable, HeadsUnwritten."""
        if self._signer is None:
            return 0
        heads = []
        async with self._system() as connection:
            new = await (await connection.execute(self._sql["unsigned"])).fetchall()
            for tenant, number in new:
                row = await (await connection.execute(self._sql["tip"], (tenant,))).fetchone()
                if row is None or row[0] != number:  # a seal came between: next time
                    continue
                head = self._signer.sign(tenant, number, bytes(row[1]))
                await connection.execute(self._sql["head"], (tenant, number, head.body, head.signature))
                heads.append(head)
        for head in heads:  # once they are committed: the file never knows of one that the database lost
            await asyncio.to_thread(self._signer.keep, head)
        await self._spread.keep(heads)
        return len(heads)

    async def _waiting(self, connection: AsyncConnection[Any]) -> tuple[int, float]:
        row = await (await connection.execute(self._sql["age"])).fetchone()
        return row or (0, 0.0)

    async def _add(self, connection: AsyncConnection[Any], tenant: str, leaves: list[bytes]) -> None:
        row = await (await connection.execute(self._sql["tip"], (tenant,))).fetchone()
        number, prev = (row[0] + 1, bytes(row[1]).hex()) if row else (1, "")
        facts = {
            "v": 1,
            "tenant": tenant,
            "number": number,
            "prev": prev,
            "root": merkle(leaves).hex(),
            "count": len(leaves),
            "at": time.time_ns() // 1000,
        }
        body = canonical(facts)
        values = (tenant, number, bytes.fromhex(digest(body)), body, b"".join(leaves))
        await connection.execute(self._sql["seal"], values)


class ChainedStore(PostgresStore):
    """A store whose flushes are in the chain of their tenant before anybody is told that they are committed."""

    def __init__(self, system: System, aside: Aside | None = None) -> None:
        super().__init__(system, aside)
        self._sealing = Sealing(system)

    async def append(self, flushes: Sequence[Flush]) -> None:
        await super().append(flushes)
        while await self._sealing.seal(wait=True) == MOST:
            pass
