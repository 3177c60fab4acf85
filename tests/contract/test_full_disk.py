"""A disk that is really full, under the data or under the log of the server: answers are withheld until there is room.

Nothing is released unrecorded, and the service goes on by itself once there is room.
"""

import asyncio
import contextlib
import os
from collections import Counter
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from fiel.infra.database.connect import Database
from fiel.infra.database.embedded import Embedded
from fiel.infra.database.layout import Layout
from fiel.infra.database.migrate import migrate
from fiel.infra.desk import audit
from fiel.infra.settings import Settings
from fiel.tools.principal import local_administrator
from tests.disks import fill, small_disk
from tests.unit.test_ledger_faults import graph, recorder

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]
ADMIN = local_administrator("acme")
MEGABYTES = 220


class Service:
    """A graph that is recorded in the database of a home, and what became of its runs."""

    def __init__(self, database: Database) -> None:
        self.ledger = recorder(database, patience=0.5)
        self.graph = graph(self.ledger)
        self.runs: dict[str, str] = {}

    async def ask(self) -> str:
        run = str(uuid4())
        state = await self.graph.ainvoke({"question": os.urandom(2000).hex()}, {"run_id": run})
        assert bool(state["answer"]) is (state["outcome"] == "answered")
        self.runs[run] = state["outcome"]
        return self.runs[run]

    async def until(self, outcome: str, tries: int) -> None:
        for _ in range(tries):
            if await self.ask() == outcome:
                return
        pytest.fail(f"no run was {outcome}: {Counter(self.runs.values())}")


def swell(url: str) -> None:
    """Write into the log of the server, and into no table, until it ends over the full disk."""
    with contextlib.suppress(psycopg.OperationalError), psycopg.connect(url, autocommit=True) as connection:
        for _ in range(20):
            connection.execute("SELECT pg_logical_emit_message(true, 'x', repeat(md5(random()::text), 100000))")
        pytest.fail("the server took it all")


@pytest.mark.parametrize("what", ["data", "log"])
async def test_on_a_full_disk_nothing_is_released_and_with_room_the_service_goes_on(tmp_path: Path, what: str) -> None:
    with small_disk(tmp_path / "disk", MEGABYTES) as disk:
        home = disk / "home"
        settings = Settings(home=str(home))
        async with Embedded(home) as server:
            await asyncio.to_thread(migrate, server.owner_url)
            async with Database(server.url, timeout=5.0) as database:
                service = Service(database)
                assert await service.ask() == "answered"
                filler = await asyncio.to_thread(fill, disk)
                if what == "log":
                    await asyncio.to_thread(swell, server.owner_url)
                await service.until("unavailable", 300)
                assert [await service.ask() for _ in range(2)] == ["unavailable"] * 2
                filler.unlink()
                await service.until("answered", 120)
                assert await service.ledger.close()
                assert service.ledger.writer.lost == 0
                for run, outcome in service.runs.items():
                    bodies = [one.body for one in await service.ledger.store.entries(run)]
                    assert (b'"withheld"' in bodies[-1]) is (outcome == "unavailable"), run
                value = await audit.verify(settings, database, ADMIN)
    assert (value["broken"], value["unsealed"]) == ([], 0)
    assert value["entries"] == sum(3 + (outcome == "unavailable") for outcome in service.runs.values())


async def test_whoever_leaves_while_the_disk_is_full_leaves_no_process(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", MEGABYTES) as disk:
        home = disk / "home"
        async with Embedded(home) as server:
            await asyncio.to_thread(fill, disk)
            await asyncio.to_thread(swell, server.owner_url)
            for _ in range(600):
                if '"full"' in Layout(home).status.read_text():
                    break
                await asyncio.sleep(0.1)
            else:
                pytest.fail("the keeper does not wait for room")
        assert not server._kept()
