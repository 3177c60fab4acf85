"""One child process: started, spoken to, ended."""

import asyncio
import contextlib
import itertools
import os
import socket
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson

from fiel.infra.hosts import far
from fiel.infra.hosts.frames import Header, Sender, unpack
from fiel.infra.hosts.port import GraphBroken, HostGone, Json
from fiel.infra.hosts.wire import dumps

Frame = tuple[Header, bytes]
Store = Callable[[Any, list[Any]], Awaitable[list[Any]]]
"""Does store operations for the caller whom `call` was given."""

GRACE = 5.0
"""Seconds that a graph has to stop when it is cancelled, before its process is ended."""


class ChildProcess:
    """The connection to a running child. Once it is gone it stays gone."""

    def __init__(
        self, process: asyncio.subprocess.Process, reader: asyncio.StreamReader, sender: Sender, store: Store
    ) -> None:
        self._process = process
        self._reader = reader
        self._sender = sender
        self._store = store
        self._calls: dict[int, asyncio.Queue[Frame | None]] = {}
        self._callers: dict[int, Any] = {}
        self._numbers = itertools.count(1)
        self._helping: set[asyncio.Task[None]] = set()
        self._reading: asyncio.Task[None] | None = None
        self.gone = False

    @classmethod
    async def start(
        cls, setup: Json, env: Mapping[str, str], folder: str, store: Store, patience: float
    ) -> "ChildProcess":
        """Start and load. Raises GraphBroken where a graph does not load, or not within `patience` seconds."""
        ours, theirs = socket.socketpair()
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "fiel.infra.hosts.inside", str(theirs.fileno())),
                pass_fds=(theirs.fileno(),),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=sys.stderr.fileno() if _has_descriptor(sys.stderr) else asyncio.subprocess.DEVNULL,
                env=environment(env),
                cwd=folder,
                start_new_session=True,
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        reader, writer = await asyncio.open_connection(sock=ours, limit=2**22)
        child = cls(process, reader, Sender(writer), store)
        child._sender.send({}, dumps(setup))
        try:
            async with asyncio.timeout(patience):
                await child._ready()
        except TimeoutError:
            await child.end()
            names = ", ".join(graph[0] for graph in setup["graphs"])
            raise GraphBroken(f"loading takes longer than {patience:g} s", where=names) from None
        except BaseException:
            await child.end()
            raise
        return child

    async def _ready(self) -> None:
        try:
            header, _ = await unpack(self._reader)
        except EOFError:
            status = await self._process.wait()
            raise GraphBroken(f"the process of the graphs ended with status {status} while it loaded them") from None
        for public in header["ready"].values():
            raise GraphBroken(public["what"], where=public["where"], hint=public["hint"])
        self._reading = asyncio.create_task(self._read())

    # Calls

    def call(self, what: str, given: Any, caller: Any) -> int:
        """Begin a call; its frames come from `frame`. Raises HostGone."""
        if self.gone:
            raise _gone()
        number = next(self._numbers)
        self._calls[number] = asyncio.Queue()
        self._callers[number] = caller
        self._sender.send({"call": number, "do": what}, dumps(given))
        return number

    async def frame(self, call: int) -> Frame:
        """The next frame of a call. Raises what the call raised, or HostGone."""
        found = await self._calls[call].get()
        if found is None:
            raise _gone()
        if "error" in found[0]:
            raise far.error_in(found[0]["error"])
        return found

    def read(self, call: int, size: int) -> None:
        """So many bytes of a call's events have been taken: as many may follow."""
        self._sender.send({"call": call, "ack": size})

    async def finish(self, call: int, *, cancel: bool) -> None:
        """Forget a call. One that is cancelled has stopped when this returns, or its process has."""
        try:
            if cancel and not self.gone:
                self._sender.send({"call": call, "cancel": True})
                async with asyncio.timeout(GRACE):
                    await self._stopped(self._calls[call])
        except TimeoutError:
            await self.end()
        finally:
            self._calls.pop(call, None)
            self._callers.pop(call, None)

    async def _stopped(self, queue: "asyncio.Queue[Frame | None]") -> None:
        while (found := await queue.get()) is not None:
            if not found[0].keys().isdisjoint(("cancelled", "error", "end", "done")):
                return

    # The connection

    async def _read(self) -> None:
        """Hand frames to their calls until the child is gone, and then say so to all of them."""
        try:
            while True:
                header, body = await unpack(self._reader)
                if "store" in header:
                    self._help(header, body)
                elif (queue := self._calls.get(header["call"])) is not None:
                    queue.put_nowait((header, body))
        except EOFError:
            pass
        finally:
            self.gone = True
            for queue in self._calls.values():
                queue.put_nowait(None)

    def _help(self, header: Header, body: bytes) -> None:
        task = asyncio.create_task(self._answer(header, orjson.loads(body)))
        self._helping.add(task)
        task.add_done_callback(self._helping.discard)

    async def _answer(self, header: Header, ops: list[Any]) -> None:
        try:
            answer: Json = {"results": await self._store(self._callers.get(header["call"]), ops)}
        except Exception as error:  # the edge: the graph that asked is told
            answer = {"error": far.error_out(error)}
        self._sender.send({"answer": header["store"]}, dumps(answer))

    async def end(self) -> None:
        """End the process, and wait until it has ended."""
        self.gone = True
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()
        if self._reading is not None:
            await self._reading
        for task in list(self._helping):
            task.cancel()
        await self._sender.close()

    @property
    def pid(self) -> int:
        return self._process.pid


def environment(more: Mapping[str, str]) -> dict[str, str]:
    """What the child sees of our environment: nothing of fiel's own settings, keys and addresses among them."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("FIEL_")}
    return {**ours, **more}


def _has_descriptor(stream: Any) -> bool:
    try:
        return isinstance(stream.fileno(), int)
    except (AttributeError, OSError, ValueError):
        return False


def _gone() -> HostGone:
    return HostGone("the process that ran the graph is gone", hint="Run it again: it goes on from its last checkpoint")
