"""Processes die with runs in flight; the database is restarted under load. Nothing is lost, stuck or done twice."""

import asyncio
import json
import os
import random
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from fiel.infra.database.embedded import Embedded
from fiel.infra.database.migrate import migrate
from tests.conftest import Urls

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]
LEASE = 8.0
"""Seconds. A machine that has much else to do holds up a heartbeat for some of them."""
FINAL = {"success", "error", "interrupted", "timeout"}


@dataclass(slots=True)
class Process:
    """A server or a worker that can be killed and started again."""

    kind: str
    asked: dict[str, Any]
    port: int = 0
    running: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self.running = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.api.process", self.kind, json.dumps({**self.asked, "port": self.port}),
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert self.running.stdout is not None
        line = await asyncio.wait_for(self.running.stdout.readline(), 60)
        self.port = int(line)

    async def kill(self) -> None:
        assert self.running is not None
        self.running.kill()
        await self.running.wait()

    async def stop(self) -> None:
        if self.running is not None and self.running.returncode is None:
            self.running.send_signal(signal.SIGTERM)
            await asyncio.wait_for(self.running.wait(), 30)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@asynccontextmanager
async def processes(asked: dict[str, Any], *kinds: str) -> AsyncIterator[list[Process]]:
    made = [Process(kind, asked) for kind in kinds]
    try:
        await asyncio.gather(*(one.start() for one in made))
        yield made
    finally:
        for one in made:
            if one.running is not None and one.running.returncode is None:
                await one.kill()


def asked_of(urls: Urls, folder: Path, **more: Any) -> dict[str, Any]:
    locks = folder / "locks"
    locks.mkdir(exist_ok=True)
    return {
        "runtime": urls.runtime,
        "owner": urls.owner,
        "home": str(folder / "home"),
        "locks": str(locks),
        "lease": LEASE,
        **more,
    }


@dataclass(slots=True)
class Heard:
    """What a listener heard of one run."""

    thread: str
    run: str
    ids: list[int] = field(default_factory=list)
    ticks: list[tuple[str, int]] = field(default_factory=list)
    joins: int = 0


async def listen(web: httpx.AsyncClient, servers: list[Process], heard: Heard) -> None:
    """Follow a run to its end, whatever breaks."""
    while True:
        base = random.choice(servers).url
        headers = {"Last-Event-ID": str(heard.ids[-1])} if heard.ids else {}
        try:
            place = f"{base}/threads/{heard.thread}/runs/{heard.run}"
            async with web.stream("GET", f"{place}/stream", headers=headers) as one:
                heard.joins += 1
                if one.status_code == 200:
                    await take(one, heard)
            status = (await web.get(place)).json()
        except httpx.TransportError:
            await asyncio.sleep(0.1)
            continue
        if status.get("status") in FINAL:
            return


async def take(answer: httpx.Response, heard: Heard) -> None:
    event, data = "", ""
    async for line in answer.aiter_lines():
        if line.startswith("event: "):
            event = line[7:]
        elif line.startswith("data: "):
            data = line[6:]
        elif line.startswith("id: "):
            heard.ids.append(int(line[4:]))
            if event.partition("|")[0] == "custom":
                value = json.loads(data)
                heard.ticks.append((value["node"], value["tick"]))


async def make_runs(web: httpx.AsyncClient, server: Process, many: int, seconds: float) -> list[Heard]:
    async def one() -> Heard:
        thread = (await web.post(f"{server.url}/threads", json={})).json()["thread_id"]
        body = {"assistant_id": "locked", "input": {"seconds": seconds}, "stream_mode": "custom"}
        made = (await web.post(f"{server.url}/threads/{thread}/runs", json=body)).json()
        return Heard(thread, made["run_id"])

    return list(await asyncio.gather(*(one() for _ in range(many))))


async def check(web: httpx.AsyncClient, server: Process, heard: list[Heard], asked: dict[str, Any]) -> None:
    for one in heard:
        run = (await web.get(f"{server.url}/threads/{one.thread}/runs/{one.run}")).json()
        assert run["status"] == "success", run
        thread = (await web.get(f"{server.url}/threads/{one.thread}")).json()
        assert (thread["status"], thread["values"]["done"]) == ("idle", ["one", "two", "three"])
        assert one.ids == list(range(1, len(one.ids) + 1)), "a gap, or something twice"
        assert set(one.ticks) == {(node, tick) for node in ("one", "two", "three") for tick in range(5)}
    assert overlaps(Path(asked["locks"])) == []


def overlaps(locks: Path) -> list[Path]:
    return list(locks.glob("overlap-*"))


@pytest.mark.parametrize("attempt", range(3))
async def test_a_server_and_a_worker_are_killed_with_a_hundred_runs_in_flight(
    database_urls: Urls, tmp_path: Path, attempt: int
) -> None:
    asked = asked_of(database_urls, tmp_path)
    limits = httpx.Limits(max_connections=400)
    async with (
        processes(asked, "serve", "serve", "work") as (first, second, worker),
        httpx.AsyncClient(timeout=60, limits=limits) as web,
    ):
        made = await asyncio.gather(make_runs(web, first, 50, 8.0), make_runs(web, second, 50, 8.0))
        heard = [*made[0], *made[1]]
        listeners = [asyncio.create_task(listen(web, [first, second], one)) for one in heard]
        async with asyncio.timeout(90):
            while sum(one.joins for one in heard) < 80:  # noqa: ASYNC110 - on a busy machine nobody may have joined yet
                await asyncio.sleep(0.05)
        await asyncio.sleep(random.uniform(0.1, 2.0))
        await first.kill()
        await asyncio.sleep(random.uniform(0.2, 1.5))
        await worker.kill()
        await asyncio.gather(first.start(), worker.start())
        await asyncio.wait_for(asyncio.gather(*listeners), 150)
        assert max(one.joins for one in heard) > 1, "nobody had to join again: the kill came too late"
        await check(web, second, heard, asked)


async def test_a_process_that_is_told_to_stop_hands_its_runs_over(database_urls: Urls, tmp_path: Path) -> None:
    asked = asked_of(database_urls, tmp_path, drain=0.5)
    async with (
        processes(asked, "serve", "serve") as (first, second),
        httpx.AsyncClient(timeout=60, limits=httpx.Limits(max_connections=100)) as web,
    ):
        heard = await make_runs(web, first, 20, 6.0)
        listeners = [asyncio.create_task(listen(web, [second], one)) for one in heard]
        await asyncio.sleep(1.0)
        began = time.monotonic()
        await first.stop()
        await asyncio.wait_for(asyncio.gather(*listeners), 60)
        assert time.monotonic() - began < 30, "they were not handed over but found by the sweep"
        await check(web, second, heard, asked)


async def test_the_database_is_restarted_under_load(tmp_path: Path) -> None:
    home = tmp_path / "database"
    with Embedded(home) as server:
        await asyncio.to_thread(migrate, server.owner_url)
        urls = Urls(server.url, server.owner_url)
        asked = asked_of(urls, tmp_path, lease=15.0, timeout=0.4)
        async with (
            processes(asked, "serve") as (api,),
            httpx.AsyncClient(timeout=60, limits=httpx.Limits(max_connections=100)) as web,
        ):
            heard = await make_runs(web, api, 20, 4.0)
            listeners = [asyncio.create_task(listen(web, [api], one)) for one in heard]
            await asyncio.sleep(1.0)
            refused = await restarted(web, api, home)
            assert refused and all(answer.headers.get("retry-after") for answer in refused)
            await asyncio.wait_for(asyncio.gather(*listeners), 90)
            await check(web, api, heard, asked)
            again = await make_runs(web, api, 5, 0.2)
            await asyncio.wait_for(asyncio.gather(*(listen(web, [api], one) for one in again)), 30)
            await check(web, api, again, asked)


async def restarted(web: httpx.AsyncClient, api: Process, home: Path) -> list[httpx.Response]:
    """Restart PostgreSQL while requests come; the answers of those that were refused."""
    refused: list[httpx.Response] = []
    stop = asyncio.Event()

    async def ask() -> None:
        while not stop.is_set():
            answer = await web.post(f"{api.url}/threads", json={})
            if answer.status_code != 200:
                assert answer.status_code == 503, answer.text
                refused.append(answer)
            await asyncio.sleep(0.01)

    asking = [asyncio.create_task(ask()) for _ in range(5)]
    await asyncio.to_thread(restart, home)
    await asyncio.sleep(3.0)
    stop.set()
    await asyncio.gather(*asking)
    return refused


def restart(home: Path) -> None:
    """Crash the server, and again as soon as it is there: its keeper starts it each time."""
    before = 0
    for _ in range(3):
        pid = before
        while pid == before:
            time.sleep(0.05)
            with suppress(OSError, StopIteration, IndexError, ValueError):
                pid = int(next(home.rglob("postmaster.pid")).read_text().splitlines()[0])
        os.kill(pid, signal.SIGKILL)
        before = pid
