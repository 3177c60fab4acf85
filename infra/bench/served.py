"""Servers of the benchmark `api`, each a process of its own on loopback: fiel, and LangGraph's development server."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from fiel.infra.bench import three

GRAPH = "three"
START = 120.0
"""Seconds in which a server must answer."""
STOP = 30.0


@dataclass(frozen=True, slots=True)
class Server:
    """A server that answers."""

    url: str
    pid: int

    def memory(self) -> dict[str, float]:
        """Resident memory of the server's process and of those that it started, MiB."""
        found = {f"{_name(pid)}": _resident(pid) for pid in _tree(self.pid)}
        return found | {"all": round(sum(found.values()), 1)}


def project(folder: Path) -> Path:
    """A `langgraph.json` that serves the three nodes."""
    folder.mkdir(parents=True)
    shutil.copy(three.__file__, folder / "three.py")
    manifest = folder / "langgraph.json"
    manifest.write_text(json.dumps({"dependencies": ["."], "graphs": {GRAPH: "./three.py:graph"}}), encoding="utf-8")
    return manifest


@asynccontextmanager
async def fiel(manifest: Path, home: Path) -> AsyncIterator[Server]:
    """`fiel serve` over the database of a home, without authentication and without a limit of requests."""
    port = free_port()
    command = [sys.executable, "-m", "fiel.infra.cli", "serve", "--graphs", str(manifest), "--port", str(port)]
    environ = {"FIEL_HOME": str(home), "FIEL_AUTH": "none", "FIEL_RATE": "0"}
    async with _serving(command, environ, port, "/ready", manifest.parent / "fiel.log") as server:
        yield server


@asynccontextmanager
async def langgraph_dev(manifest: Path, environment: Path, at_once: int) -> AsyncIterator[Server]:
    """`langgraph dev` of a virtual environment, with as many jobs at once as the benchmark has callers."""
    port = free_port()
    command = [str(environment / "bin/langgraph"), "dev", "--config", str(manifest), "--host", "127.0.0.1"]
    command += ["--port", str(port), "--no-browser", "--no-reload", "--allow-blocking"]
    command += ["--n-jobs-per-worker", str(at_once)]
    environ = {"LANGSMITH_TRACING": "false"}
    async with _serving(command, environ, port, "/ok", manifest.parent / "dev.log") as server:
        yield server


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


@asynccontextmanager
async def _serving(
    command: list[str], environ: Mapping[str, str], port: int, ready: str, log: Path
) -> AsyncIterator[Server]:
    """The command while it answers; its output goes to `log`, whose end is told where it does not start."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("FIEL_")}
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            *command, stdout=out, stderr=out, cwd=log.parent, env={**inherited, **environ}, start_new_session=True
        )
    try:
        server = Server(f"http://127.0.0.1:{port}", process.pid)
        await _answers(server.url + ready, process, log)
        yield server
    finally:
        await _stop(process)


async def _answers(url: str, process: asyncio.subprocess.Process, log: Path) -> None:
    async with httpx.AsyncClient(timeout=5.0) as client, asyncio.timeout(START):
        while process.returncode is None:
            with contextlib.suppress(httpx.TransportError):
                if (await client.get(url)).status_code == 200:
                    return
            await asyncio.sleep(0.1)
    raise RuntimeError(f"it ended with status {process.returncode}: …{await asyncio.to_thread(_end, log)}")


def _end(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")[-2000:]


async def _stop(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
    try:
        await asyncio.wait_for(process.wait(), STOP)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


def _tree(pid: int) -> list[int]:
    """A process and those below it."""
    below = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    return [pid, *(one for child in below for one in _tree(int(child)))]


def _name(pid: int) -> str:
    words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    return "graphs" if "fiel.infra.hosts.inside" in words else "server"


def _resident(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return round(int(line.split()[1]) / 1024, 1)
    return 0.0
