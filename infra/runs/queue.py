"""The queue: procrastinate in a schema of its own. Its jobs carry ids only and are hints; the rows say what is true.

The owner of the database installs the schema and brings it up to date (`fiel db migrate`, the embedded start); the
runtime role works with it.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import datetime
from importlib.metadata import version
from importlib.resources import files
from typing import Any

import procrastinate
import psycopg
from procrastinate.schema import SchemaManager
from psycopg import AsyncConnection
from psycopg.pq import TransactionStatus

SCHEMA = "fiel_queue"
RUNTIME = "fiel_runtime"
QUEUE = "runs"
TASK = "run"
HOOKS = "webhooks"
"""Queue and task of webhooks: a receiver that hangs keeps no run waiting."""
ATTEMPTS = 6
PAUSE = 4
"""A webhook is tried again after 4 seconds, 16, 64, …"""
_NUMBERED = re.compile(r"(\d\d)\.(\d\d)\.(\d\d)_\d\d_\w+\.sql")

_FUNCTIONS = """
SELECT format('%%I.%%I(%%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid))
  FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = %s
"""


def install(connection: "psycopg.Connection[Any]") -> bool:
    """Make the queue's schema, or bring it to the installed version of procrastinate; False where nothing was to do.

    The caller holds the lock of migrations. Commits by itself.
    """
    wanted, present = version("procrastinate"), _present(connection)
    if present == wanted:
        return False
    with connection.transaction():
        connection.execute("SET LOCAL ROLE fiel_owner")
        if present is None:
            connection.execute(f"CREATE SCHEMA {SCHEMA}")
        connection.execute(f"SET LOCAL search_path = {SCHEMA}")
        for text in [SchemaManager.get_schema()] if present is None else _upgrades(present):
            connection.execute(text.encode())
        _open_to_runtime(connection)
        connection.execute(f"COMMENT ON SCHEMA {SCHEMA} IS 'procrastinate {wanted}'")
    return True


def current(connection: "psycopg.Connection[Any]") -> bool:
    """Whether the queue is there, as this version of procrastinate wants it."""
    return _present(connection) == version("procrastinate")


def _present(connection: "psycopg.Connection[Any]") -> str | None:
    """The version whose schema is installed; None where there is none."""
    row = connection.execute(
        "SELECT obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname = %s", (SCHEMA,)
    ).fetchone()
    return str(row[0]).removeprefix("procrastinate ") if row else None


def _upgrades(since: str) -> list[str]:
    """procrastinate's own migrations after the version `since`, in order."""
    folder = files("procrastinate.sql").joinpath("migrations")
    least = tuple(int(part) for part in since.split(".")[:3])
    names = sorted(item.name for item in folder.iterdir())
    later = [name for name in names if (match := _NUMBERED.fullmatch(name)) and tuple(map(int, match.groups())) > least]
    return [folder.joinpath(name).read_text(encoding="utf-8") for name in later]


def _open_to_runtime(connection: "psycopg.Connection[Any]") -> None:
    """Let the runtime role work with the queue. Functions find their tables whatever the caller's search path is."""
    for (signature,) in connection.execute(_FUNCTIONS, (SCHEMA,)).fetchall():
        connection.execute(f"ALTER FUNCTION {signature} SET search_path = {SCHEMA}".encode())
    connection.execute(f"GRANT USAGE ON SCHEMA {SCHEMA} TO {RUNTIME}")
    connection.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {SCHEMA} TO {RUNTIME}")
    connection.execute(f"GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA {SCHEMA} TO {RUNTIME}")


Work = Callable[[str, str, str], Awaitable[None]]
"""`work(thread_id, tenant, owner)`: begin the thread's next run here, if one is to begin."""


class Queue:
    """The jobs of runs: one for each run that cannot start at once where it was created."""

    def __init__(self, url: str, *, size: int = 3) -> None:
        connector = procrastinate.PsycopgConnector(
            conninfo=url,
            kwargs={"connect_timeout": 10},
            min_size=1,
            max_size=size,
            timeout=10.0,
            configure=_adopt,
            name="fiel queue",
        )
        self.app = procrastinate.App(connector=connector)

    async def open(self) -> None:
        """Connect. Raises procrastinate's ConnectorException where nothing answers."""
        await self.app.open_async()

    async def close(self) -> None:
        await self.app.close_async()

    def register(self, work: Work) -> None:
        """Say what a job of this process does."""

        async def run(thread_id: str, tenant: str, owner: str) -> None:
            await work(thread_id, tenant, owner)

        # A job is lost with nothing: whatever breaks it, another process looks, or this one later.
        self.app.task(name=TASK, queue=QUEUE, retry=procrastinate.RetryStrategy(wait=1))(run)

    def register_webhooks(self, deliver: Work) -> None:
        """Say what a webhook's job does: `deliver(run_id, tenant, owner)`. It is tried again with growing pauses."""

        async def webhook(run_id: str, tenant: str, owner: str) -> None:
            await deliver(run_id, tenant, owner)

        again = procrastinate.RetryStrategy(max_attempts=ATTEMPTS, exponential_wait=PAUSE)
        self.app.task(name=HOOKS, queue=HOOKS, retry=again)(webhook)

    async def defer(
        self,
        connection: AsyncConnection[Any],
        job: Mapping[str, str],
        *,
        not_before: datetime | None = None,
        task: str = TASK,
        queue: str = QUEUE,
    ) -> None:
        """Enqueue a look at a thread, or a webhook, in the caller's transaction.

        There is no row without its job, and no job without its row.
        """
        assert connection.info.transaction_status == TransactionStatus.INTRANS  # noqa: S101
        await connection.execute(f"SELECT set_config('search_path', '{SCHEMA}', true)".encode())
        deferrer = self.app.configure_task(task, queue=queue, schedule_at=not_before, connection=connection)
        await deferrer.defer_async(**job)
        await connection.execute(b"SELECT set_config('search_path', 'public', true)")

    async def serve(self, queue: str, lease: float) -> None:
        """Work on jobs until the connection breaks or the task is cancelled."""
        await self.app.run_worker_async(
            queues=[queue],
            concurrency=4,
            listen_notify=queue == QUEUE,
            install_signal_handlers=False,
            delete_jobs="always",
            fetch_job_polling_interval=2.0,
            update_heartbeat_interval=lease / 6,
            stalled_worker_timeout=lease,
            shutdown_graceful_timeout=2.0,
        )

    async def retry_stalled(self, lease: float) -> int:
        """Give the jobs of workers that are gone to others; how many there were."""
        manager = self.app.job_manager
        stalled = list(await manager.get_stalled_jobs(seconds_since_heartbeat=lease))
        for job in stalled:
            with suppress(procrastinate.exceptions.ConnectorException):  # another process was faster
                await manager.retry_job(job)
        return len(stalled)


async def _adopt(connection: AsyncConnection[Any]) -> None:
    await connection.execute(f"SET ROLE {RUNTIME}; SET search_path = {SCHEMA}")
    await connection.commit()
