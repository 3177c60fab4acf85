"""`langgraph dev` in its own environment, for tests that need it."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).parents[1]
LANGGRAPH = ROOT / ".venv-studio" / "bin" / "langgraph"
START = 300.0
"""Seconds that the server and its first run may take on a loaded machine."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def bare_environment() -> dict[str, str]:
    """The environment without what would change a server's behaviour, and without tracing."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("FIEL_", "LANG"))}
    return {**kept, "LANGSMITH_TRACING": "false", "NO_PROXY": "127.0.0.1"}


@contextmanager
def langgraph_dev(folder: Path, environment: dict[str, str], *more: str) -> Iterator[str]:
    """Address of a running `langgraph dev`; its whole process group is ended afterwards."""
    port = free_port()
    command = [str(LANGGRAPH), "dev", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--no-browser", "--no-reload", "--allow-blocking", *more]
    with served(command, folder, environment, f"http://127.0.0.1:{port}") as url:
        yield url


@contextmanager
def served(command: list[str], folder: Path, environment: dict[str, str], url: str) -> Iterator[str]:
    """Address of a server that a command starts; its whole process group is ended afterwards."""
    log = folder / "server.log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=output, stderr=output, start_new_session=True
        )
        try:
            until_ready(url, server, log)
            yield url
        finally:
            end(server)


def until_ready(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START
    while time.monotonic() < deadline:
        if server.poll() is not None:
            break
        try:
            if httpx.get(f"{url}/ok", trust_env=False, timeout=5.0).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.5)
    pytest.fail(f"the server does not start:\n{log.read_text(errors='replace')[-4000:]}")


def end(server: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGINT, signal.SIGKILL):
        if server.poll() is None:
            os.killpg(server.pid, number)
            try:
                server.wait(timeout=30)
            except subprocess.TimeoutExpired:
                continue
    server.wait(timeout=30)
