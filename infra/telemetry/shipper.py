"""The shipper: takes spans from PostgreSQL to MLflow, in order, at least once; ids are fixed, so twice is once.

One process ships at a time: it holds an advisory lock for the transaction in which it takes rows, sends them, and
deletes them once MLflow has said 200. A row that MLflow refuses is set aside only after another row went through
(before that, the fault may be MLflow's), and is tried again later; it is counted, never dropped.
"""

import asyncio
import contextlib
import gzip
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import AsyncConnection

from fiel.infra.ledger.keys import Cipher, KeyUnavailable
from fiel.infra.ledger.postgres import System
from fiel.infra.ledger.subjects import Keys, OneKey
from fiel.infra.telemetry.assessments import Assessments
from fiel.infra.telemetry.mlflow import Mlflow, Refused
from fiel.infra.telemetry.removals import Removals
from fiel.tools.errors import Unavailable
from fiel.tools.sql import load

_LOG = logging.getLogger("fiel.telemetry")

MAX_BYTES = 4 * 1024 * 1024
"""Serialised spans in one request, before compression."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits to be shipped."""

    pending: int
    refused: int
    """Rows that MLflow would not take. Anything but 0 is an alarm."""
    oldest: float
    """Age of the oldest pending row, in seconds."""


@dataclass(frozen=True, slots=True)
class _Row:
    id: int
    traces: bytes


class Shipper:
    """Ships the spans of one database to one MLflow experiment, and what callers say about their runs.

    Traces of runs that were erased, it takes away from there.
    """

    def __init__(
        self,
        system: System,
        cipher: Cipher,
        mlflow: Mlflow,
        *,
        keys: Keys | None = None,
        poll: float = 0.5,
        longest_pause: float = 30.0,
        again: float = 600.0,
    ) -> None:
        """`poll`: seconds between looks at an empty table; `again`: seconds until refused rows are tried again."""
        self._system = system
        self._keys: Keys = OneKey(cipher) if keys is None else keys
        self._mlflow = mlflow
        self._assessments = Assessments(system, self._keys, mlflow)
        self.removals = Removals(system, mlflow)
        self._sql = load(__package__, "outbox.sql")
        self._poll = poll
        self._longest = longest_pause
        self._again = again

    async def backlog(self) -> Backlog:
        """For monitoring. Raises DatabaseUnavailable."""
        async with self._system() as connection:
            row = await (await connection.execute(self._sql["backlog"])).fetchone()
        return Backlog(row[0], row[1], row[2]) if row else Backlog(0, 0, 0.0)

    async def ship_once(self, limit: int = 256) -> int:
        """Ship at most `limit` rows; returns how many went. 0 too where another process is shipping.

        Raises MlflowUnavailable and DatabaseUnavailable; rows that went are gone all the same.
        """
        failure: Unavailable | None = None
        async with self._system() as connection:
            if not await self._alone(connection):
                return 0
            rows, bad = await self._take(connection, limit)
            shipped: list[int] = []
            refused = dict(bad)
            try:
                await self._send(rows, shipped, refused)
            except Unavailable as error:
                failure = error
            await self._settle(connection, shipped, refused, sure=bool(shipped), bad=bad)
        if failure is not None:
            raise failure
        return len(shipped)

    async def ship_until(self, stop: asyncio.Event, limit: int = 256) -> None:
        """Ship spans, and then feedback, until `stop` is set. MLflow or PostgreSQL being down is waited out."""
        pause, tried = self._poll, -self._again
        while not stop.is_set():
            now = asyncio.get_running_loop().time()
            try:
                if now - tried >= self._again:
                    await self._retry_refused()
                    tried = now
                shipped = await self.ship_once(limit)
                shipped += await self._assessments.ship_once()
                shipped += await self.removals.remove_once()
                pause = self._poll
            except (Unavailable, psycopg.Error) as error:
                _LOG.warning("spans wait: %s", error)
                shipped, pause = 0, min(max(pause, 0.5) * 2, self._longest)
            if not shipped:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), pause)

    async def drain(self, timeout: float) -> bool:
        """Ship what there is, for at most `timeout` seconds; False where something stays."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while (await self.backlog()).pending:
                    with contextlib.suppress(Unavailable):
                        if await self.ship_once():
                            continue
                    await asyncio.sleep(0.1)
                return True
        return False

    async def _alone(self, connection: AsyncConnection[Any]) -> bool:
        row = await (await connection.execute(self._sql["lock"])).fetchone()
        return bool(row and row[0])

    async def _take(self, connection: AsyncConnection[Any], limit: int) -> tuple[list[_Row], dict[int, str]]:
        """The oldest rows, and those among them that cannot be read."""
        await connection.execute(self._sql["forget"])
        cursor = connection.cursor(binary=True)
        await cursor.execute(self._sql["take"], (limit,))
        rows: list[_Row] = []
        bad: dict[int, str] = {}
        size = 0
        for id, run, key, data in await cursor.fetchall():
            try:
                traces = (await self._keys.named(key)).cipher.open("spans", str(run), bytes(data), key)
            except KeyUnavailable as error:
                bad[id] = f"{error.code}: {error.what}"
                continue
            size += len(traces)
            if rows and size > MAX_BYTES:
                break
            rows.append(_Row(id, traces))
        return rows, bad

    async def _send(self, rows: Sequence[_Row], shipped: list[int], refused: dict[int, str]) -> None:
        """Send rows together; where MLflow refuses, halve until the ones that it refuses stand alone."""
        if not rows:
            return
        body = await asyncio.to_thread(gzip.compress, b"".join([row.traces for row in rows]), 1)
        try:
            await self._mlflow.post(body)
        except Refused as error:
            if len(rows) == 1:
                refused[rows[0].id] = str(error)
                return
            middle = len(rows) // 2
            await self._send(rows[:middle], shipped, refused)
            await self._send(rows[middle:], shipped, refused)
        else:
            shipped.extend(row.id for row in rows)

    async def _settle(
        self,
        connection: AsyncConnection[Any],
        shipped: Sequence[int],
        refused: dict[int, str],
        *,
        sure: bool,
        bad: dict[int, str],
    ) -> None:
        """Delete what went; set aside what was refused while others went, and what cannot be read."""
        if shipped:
            await connection.execute(self._sql["shipped"], (list(shipped),))
        for id, why in refused.items():
            if sure or id in bad:
                _LOG.error("MLflow refuses spans, row %d is set aside: %s", id, why)
                await connection.execute(self._sql["refuse"], (why[:500] or "refused", id))

    async def _retry_refused(self) -> None:
        async with self._system() as connection:
            await connection.execute(self._sql["again"])
