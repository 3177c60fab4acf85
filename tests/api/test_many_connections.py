"""`fiel serve` as it is: thousands of connections that say nothing, and bodies that are too large, at the same time."""

import asyncio
import resource
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from tests.api.conformance.servers import started
from tests.api.test_runs_stop import until

IDLE = 2_000
AT_ONCE = 8
BODY = 50 * 2**20
MIB = 2**20


@pytest.fixture
def many_files() -> Iterator[None]:
    """This process may hold as many connections as it opens."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < IDLE * 2:
        pytest.skip(f"this machine allows {hard} open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, IDLE * 2), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, int]]:
    with started(tmp_path) as running:
        yield running


def memory(process: int, what: str = "VmRSS") -> float:
    """MiB that a process holds (VmRSS), or has held at most (VmHWM)."""
    lines = Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(f"{what}:"))) / 1024


def files(process: int) -> int:
    return len(list(Path(f"/proc/{process}/fd").iterdir()))


async def works(web: httpx.AsyncClient) -> None:
    """A run is answered by a connection of its own."""
    answer = await web.post("/runs/wait", json={"assistant_id": "chain", "input": {}})
    assert answer.status_code == 200, answer.text


Held = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def idle(url: str, number: int) -> Held:
    """A connection that has asked something, has begun to, or has not."""
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    if number % 4 == 1:
        writer.write(b"POST /runs/wait HTTP/1.1\r\nHost: 127.0.0.1\r\n")
    if number % 4 == 2:
        writer.write(b"GET /ok HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
    return reader, writer


@pytest.mark.timeout(400)
async def test_connections_that_are_idle_cost_little_and_keep_nobody_out(
    server: tuple[str, int], many_files: None
) -> None:
    url, process = server
    async with httpx.AsyncClient(base_url=url, timeout=120, trust_env=False) as web:
        await works(web)
        before, opened = memory(process), files(process)
        held: list[Held] = []
        for start in range(0, IDLE, 100):
            held += await asyncio.gather(*(idle(url, number) for number in range(start, start + 100)))
        assert len(held) == IDLE
        async with httpx.AsyncClient(base_url=url, timeout=120, trust_env=False) as another:
            for _ in range(5):
                await works(another)
        # All of them are held at the same time: none was closed to make room.
        assert files(process) >= opened + IDLE
        assert memory(process) - before < 100, "MiB"
        for _, writer in held:
            writer.transport.abort()

        async def closed() -> bool:
            return files(process) < opened + 50

        await until(closed, 60)
        await works(web)


async def pieces() -> AsyncIterator[bytes]:
    yield b'{"assistant_id": "'
    for _ in range(BODY // MIB):
        yield b"x" * MIB
    yield b'"}'


@pytest.mark.timeout(400)
async def test_bodies_of_fifty_megabytes_are_refused_and_not_kept(server: tuple[str, int]) -> None:
    url, process = server
    whole = b"x" * BODY
    async with httpx.AsyncClient(base_url=url, timeout=120, trust_env=False) as web:
        await works(web)
        before = memory(process)

        async def send(number: int) -> int:
            content = whole if number % 2 else pieces()
            return (await web.post("/runs/wait", content=content)).status_code

        assert await asyncio.gather(*(send(number) for number in range(AT_ONCE))) == [413] * AT_ONCE
        assert memory(process, "VmHWM") - before < AT_ONCE * 50 / 2, "MiB"
        await works(web)
