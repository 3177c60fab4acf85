"""One connection in a thread of its own, for statements that commit themselves.

What the event loop pays for such a statement is two hand-overs between threads, whatever its parameters weigh; through
a connection of the loop it would make and convert them, and be woken for each piece that the socket takes.
"""

import asyncio
import contextlib
import os
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

import psycopg

from fiel.infra.database.errors import pass_on
from fiel.infra.database.layout import RUNTIME

ADOPT = f"SET ROLE {RUNTIME}; SET standard_conforming_strings = on; SET search_path = public"
"""Makes a connection one of the runtime role, whoever logged in."""
PATIENCE = 2.0
"""Seconds that `close` leaves a statement; then its socket is shut."""


Values = Callable[[], Sequence[Any]]
"""Makes the parameters of a statement, in the thread."""


@dataclass(frozen=True, slots=True)
class _Job:
    statement: str
    values: Values
    loop: asyncio.AbstractEventLoop
    future: "asyncio.Future[None]"

    def settle(self, error: Exception | None) -> None:
        """Tell whoever waits. A loop that is closed has nobody who does."""
        with contextlib.suppress(RuntimeError):
            self.loop.call_soon_threadsafe(self._settle, error)

    def _settle(self, error: Exception | None) -> None:
        if self.future.done():
            return
        if error is None:
            self.future.set_result(None)
        else:
            self.future.set_exception(error)


class Aside:
    """Runs statements in the order in which they are given, one after another."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._connection: psycopg.Connection[Any] | None = None

    async def execute(self, statement: str, values: Values) -> None:
        """Run a statement without a caller and outside a transaction: it commits itself, in one round trip.

        A connection that a restart has cut is noticed by the first statement only. Raises DatabaseUnavailable where the
        server fails; it is then unknown whether the statement was committed, as it is after a cancellation.
        """
        loop = asyncio.get_running_loop()
        job = _Job(statement, values, loop, loop.create_future())
        self._jobs.put(job)
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="fiel-aside", daemon=True)
            self._thread.start()
        await job.future

    async def close(self) -> None:
        """Finish what was given, and end the thread; a statement that the server does not answer is cut off."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self._jobs.put(None)
        await asyncio.to_thread(thread.join, PATIENCE)
        while thread.is_alive():
            self._cut()
            await asyncio.to_thread(thread.join, 0.1)

    def _cut(self) -> None:
        connection = self._connection
        if connection is None:
            return  # it is still connecting, which has a time limit of its own
        with (
            contextlib.suppress(OSError, psycopg.Error),
            socket.socket(fileno=os.dup(connection.fileno())) as shared,
        ):
            shared.shutdown(socket.SHUT_RDWR)

    def _work(self) -> None:
        try:
            while (job := self._jobs.get()) is not None:
                job.settle(self._failure(job))
        finally:
            self._drop()

    def _failure(self, job: _Job) -> Exception | None:
        """Do it; what went wrong."""
        try:
            self._run(job)
        except Exception as error:
            return error
        return None

    def _run(self, job: _Job) -> None:
        try:
            if self._connection is None:
                self._connection = self._connect()
            self._connection.execute(job.statement.encode(), job.values(), prepare=True)
        except psycopg.Error as error:
            lost = self._connection is None or self._connection.closed
            if lost:
                self._drop()
            pass_on(error, self._url, lost=lost)

    def _connect(self) -> psycopg.Connection[Any]:
        connection = psycopg.connect(self._url, autocommit=True, connect_timeout=10)
        try:
            connection.execute(ADOPT)
        except psycopg.Error:
            connection.close()
            raise
        return connection

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
