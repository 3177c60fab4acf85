"""Supervises the MLflow server that `up` and `demo` start: a child process that ends with them, one a home folder."""

import asyncio
import json
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Self

import httpx

from fiel.infra.database.layout import FileLock, Layout, private
from fiel.infra.telemetry.mlflow import MlflowUnavailable

LIMIT = 300.0
"""Seconds that a start may take: the first one creates some sixty tables, on a loaded machine."""
STOP = 10.0


class MlflowServer:
    """A client of the home folder's MLflow server: starts it, or joins the one that another process has started."""

    def __init__(self, home: Path, backend: str, *, port: int = 0) -> None:
        """`backend`: the tracking store, as SQLAlchemy addresses it; `port`: 0 for any free one."""
        layout = Layout(home.expanduser().absolute())
        self._home, self._run = layout.home, layout.run
        self._backend = backend
        self._port = port
        self._child: subprocess.Popen[bytes] | None = None
        self._url = ""

    @property
    def url(self) -> str:
        """Where it listens, once it has started."""
        return self._url

    @property
    def log(self) -> Path:
        return self._run / "mlflow.log"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> str:
        """Returns the address when `/health` answers. Raises MlflowUnavailable."""
        for folder in (self._home, self._run):
            private(folder) if not folder.exists() else None
        lock = FileLock(self._run / "mlflow.lock")
        deadline = time.monotonic() + LIMIT
        try:
            while True:
                if self._child is None and lock.attempt():
                    self._launch(lock)
                if await self._healthy():
                    return self._url
                self._check(deadline)
                await asyncio.sleep(0.1)
        except BaseException:
            await self.stop()
            raise
        finally:
            lock.close()

    async def watch(self, stop: asyncio.Event) -> None:
        """Start it again whenever it has gone, at the same port, until `stop` is set."""
        while not stop.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), 2.0)
            if stop.is_set() or (self._child is not None and self._child.poll() is None):
                continue
            if self._child is None and await self._healthy():
                continue
            self._forget()
            with suppress(MlflowUnavailable):
                await self.start()

    async def stop(self) -> None:
        """End the server, if it was started here. Stopping twice is fine."""
        child, self._child = self._child, None
        if child is None:
            return
        assert child.stdin is not None  # noqa: S101 - it was asked for
        child.stdin.close()
        end = time.monotonic() + STOP
        while child.poll() is None:
            if time.monotonic() > end:
                child.kill()
            await asyncio.sleep(0.05)

    def _forget(self) -> None:
        """The child has ended by itself."""
        child, self._child = self._child, None
        if child is not None and child.stdin is not None:
            child.stdin.close()

    def _launch(self, lock: FileLock) -> None:
        artifacts = self._home / "mlflow"
        artifacts.mkdir(exist_ok=True)
        status = self._run / "mlflow.json"
        status.unlink(missing_ok=True)
        with self.log.open("ab") as log:
            # The child holds the lock for as long as it lives.
            child = subprocess.Popen(
                [sys.executable, "-P", "-m", "fiel.infra.telemetry.mlflow_child"],
                stdin=subprocess.PIPE, stdout=log, stderr=log, cwd=str(artifacts),
                start_new_session=True, pass_fds=(lock.descriptor,),
            )  # fmt: skip
        wishes = {"backend": self._backend, "artifacts": str(artifacts), "port": self._port, "status": str(status)}
        assert child.stdin is not None  # noqa: S101 - it was asked for
        child.stdin.write(json.dumps(wishes).encode() + b"\n")
        child.stdin.flush()
        self._child = child

    async def _healthy(self) -> bool:
        """Whether the server that the status file names answers as one that is healthy."""
        try:
            port = int(json.loads((self._run / "mlflow.json").read_text(encoding="utf-8"))["port"])
        except (OSError, ValueError, KeyError):
            return False
        url = f"http://127.0.0.1:{port}"
        try:
            async with httpx.AsyncClient(trust_env=False, timeout=5.0) as client:
                answer = await client.get(f"{url}/health")
        except httpx.HTTPError:
            return False
        if answer.status_code != 200:
            return False
        self._url, self._port = url, port
        return True

    def _check(self, deadline: float) -> None:
        if self._child is not None and self._child.poll() is not None:
            status = self._child.returncode
            self._forget()
            raise MlflowUnavailable(
                f"the MLflow server ended with status {status}: {self._last_words()}",
                hint=f"The log says more: {self.log}",
            )
        if time.monotonic() > deadline:
            raise MlflowUnavailable(
                f"the MLflow server was not ready within {LIMIT:g} s", hint=f"The log says more: {self.log}"
            )

    def _last_words(self) -> str:
        with suppress(OSError):
            lines = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            return lines[-1][:300] if lines else "no word"
        return "no word"
