"""Sealing when things go wrong: a sealer that is killed, a clock that jumps back, a disk that is full."""

import asyncio
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from fiel.infra.database.connect import Database
from fiel.infra.desk import audit
from fiel.infra.ledger import sealing
from fiel.infra.ledger.postgres import PostgresStore
from fiel.infra.ledger.sealing import Sealing
from fiel.infra.ledger.store import Flush
from fiel.infra.settings import Settings
from tests.conftest import Urls
from tests.contract.test_ledger_audit import ADMIN, flush
from tests.unit.test_ledger_faults import graph, recorder


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=str(tmp_path))


async def seals(url: str) -> None:
    """What the killed process does: seals without a pause."""
    async with Database(url, size=2) as database:
        mine = Sealing(database.system)
        print("ready", flush=True)
        while True:
            await mine.seal()


def started(url: str) -> "subprocess.Popen[str]":
    code = "import asyncio, sys; from tests.contract import test_sealing_faults as t; asyncio.run(t.seals(sys.argv[1]))"
    command = [sys.executable, "-c", code, url]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])


@pytest.mark.faults
@pytest.mark.timeout(300)
async def test_a_sealer_that_is_killed_anywhere_leaves_a_chain_that_holds(
    database: Database, database_urls: Urls, settings: Settings
) -> None:
    store, runs, chance = PostgresStore(database.system, database.aside), 0, random.Random(7)
    for _ in range(6):
        process = started(database_urls.runtime)
        assert process.stdout is not None
        with process.stdout:
            assert await asyncio.to_thread(process.stdout.readline) == "ready\n"
            until = time.monotonic() + chance.uniform(0.05, 0.5)
            while time.monotonic() < until:
                await store.append([flush(str(uuid4())) for _ in range(5)])
                runs += 5
            process.kill()
            assert await asyncio.to_thread(process.wait) == -signal.SIGKILL
    value = await audit.verify(settings, database, ADMIN)
    assert (value["broken"], value["unsealed"], value["entries"]) == ([], 0, runs * 3)
    assert value["head"]["seal"] > 6


async def test_a_clock_that_jumps_back_breaks_nothing(
    database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, now = PostgresStore(database.system), time.time_ns()
    clock = iter(now - jump * 3_600_000_000_000 for jump in range(1000))
    for _ in range(3):
        await store.append([flush(str(uuid4()))])
        monkeypatch.setattr(time, "time_ns", lambda: next(clock))
        value = await audit.verify(settings, database, ADMIN)
        monkeypatch.undo()
        assert (value["broken"], value["unsealed"]) == ([], 0)
    async with database.system() as connection:
        rows = await (await connection.execute("SELECT body FROM fiel.seals ORDER BY number")).fetchall()
    assert len(rows) == 3


class Full(PostgresStore):
    """A database whose disk is full until there is space again."""

    full = True

    async def _append(self, flushes: Sequence[Flush]) -> None:
        if self.full:
            async with self._connection():
                raise psycopg.errors.DiskFull("could not extend file: No space left on device")
        await super()._append(flushes)


async def test_on_a_full_disk_the_answer_is_withheld_and_recorded_once_there_is_space(
    database: Database, settings: Settings
) -> None:
    ledger = recorder(database, patience=0.3)
    ledger.store = store = Full(database.system, database.aside)
    ledger.writer.store = store
    run, state = uuid4(), dict[str, Any]()
    state = await graph(ledger).ainvoke({"question": "q"}, {"run_id": run})
    assert (state["outcome"], state.get("answer")) == ("unavailable", "")
    assert await store.run(str(run)) is None
    store.full = False
    assert await ledger.close()
    assert [b'"withheld"' in one.body for one in await store.entries(str(run))] == [False, False, False, True]
    value = await audit.verify(settings, database, ADMIN)
    assert (value["broken"], value["entries"]) == ([], 4)


async def test_what_cannot_be_sealed_is_an_alarm_and_what_nobody_sealed_meanwhile_is_not(
    database: Database, database_urls: Urls, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sealing, "AGAIN", 0.3)
    await PostgresStore(database.system).append([flush(str(uuid4()))])
    own = await psycopg.AsyncConnection.connect(database_urls.owner, autocommit=True)
    async with own:
        await own.execute("ALTER TABLE fiel.unsealed NO FORCE ROW LEVEL SECURITY")
        await own.execute("UPDATE fiel.unsealed SET at = at - interval '90 seconds'")
        lock = (7241339104,)
        await own.execute("SELECT pg_advisory_lock(%s)", lock)  # another process that seals and hangs
        watch = Sealing(database.system)
        task = asyncio.create_task(watch.run())
        try:
            await until(lambda: "entries wait for their seal for 9" in caplog.text)
            caplog.clear()
            await own.execute("SELECT pg_advisory_unlock(%s)", lock)
            await until(lambda: watch.age < 10)
            assert "entries wait" not in caplog.text
        finally:
            task.cancel()
        await PostgresStore(database.system).append([flush(str(uuid4()))])
        await own.execute("UPDATE fiel.unsealed SET at = at - interval '90 seconds'")
        monkeypatch.setattr(sealing, "AGAIN", 60.0)
        task = asyncio.create_task(Sealing(database.system).run())
        try:
            for _ in range(500):
                row = await (await own.execute("SELECT count(*) FROM fiel.unsealed")).fetchone()
                if row == (0,):
                    break
                await asyncio.sleep(0.02)
            assert row == (0,)
            assert "entries wait" not in caplog.text
        finally:
            task.cancel()


async def until(holds: Callable[[], bool]) -> None:
    for _ in range(1000):
        if holds():
            return
        await asyncio.sleep(0.02)
    pytest.fail("it never came")
