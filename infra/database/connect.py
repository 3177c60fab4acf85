"""`Database`: the pool of the runtime role, and the two ways to a transaction: for a caller, or for the system."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Any

import psycopg
from psycopg import AsyncConnection
from psycopg.pq import TransactionStatus
from psycopg.rows import DictRow
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout

from fiel.infra.database.aside import ADOPT, Aside, Values
from fiel.infra.database.errors import DatabaseMisfit, pass_on, place, unavailable
from fiel.infra.database.layout import RUNTIME
from fiel.infra.database.migrate import APPLIED, Applied, known, pending
from fiel.infra.database.piped import Bound, bound, piped
from fiel.tools.errors import DatabaseUnavailable
from fiel.tools.principal import Principal

LEAST_SERVER = 150000
LEAST_PGVECTOR = (0, 8)

_IDENTITY = """
SELECT r.rolname, r.rolsuper, r.rolbypassrls,
       EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                WHERE n.nspname = 'fiel' AND c.relowner = r.oid),
       (SELECT extversion FROM pg_extension WHERE extname = 'vector'),
       to_regclass('fiel.migrations') IS NOT NULL
  FROM pg_roles r WHERE r.rolname = current_user
"""


def _literal(text: str) -> str:
    """`text` as an SQL string constant (standard_conforming_strings is on: `_adopt` sets it)."""
    if "\0" in text:
        raise ValueError("a name with a NUL character cannot reach PostgreSQL")
    return "'" + text.replace("'", "''") + "'"


@lru_cache(maxsize=4096)
def _prelude(principal: Principal) -> str:
    """BEGIN and the caller in one message to the server, so in one round trip."""
    names = ", ".join(_literal(name) for name in principal.grants)
    caller = f"{_literal(principal.tenant)}, {_literal(principal.id)}, ARRAY[{names}]::text[]"
    return f"BEGIN; SELECT fiel.act_as({caller})"


Statement = tuple[bytes, Sequence[Any]]
"""Text with parameters $1, $2, …, and their values."""

Settings = tuple[tuple[str, str], ...]
"""Names and values of PostgreSQL's settings."""


@lru_cache(maxsize=4096)
def _acting(principal: Principal, settings: Settings) -> Bound:
    """What begins a pipeline of a caller, under settings."""
    more = [f"set_config({_literal(name)}, {_literal(value)}, true)" for name, value in settings]
    text = ", ".join(("SELECT fiel.act_as($1, $2, $3::text[])", *more))
    return bound(text.encode(), (principal.tenant, principal.id, list(principal.grants)))


class Database:
    """Connections of the runtime role to one migrated database.

    Every transaction is either `acting` for a caller, whom row-level security then knows, or `system`, which sees no
    protected row. Connections are opened on demand, up to `size`, and replaced when the server has restarted.
    """

    def __init__(self, url: str, *, size: int = 16, timeout: float = 10.0) -> None:
        """`url`: a libpq connection string or URL. `timeout`: longest wait for a connection, in seconds."""
        self.url = url
        self._size = size
        self._timeout = timeout
        self._pool: AsyncConnectionPool[AsyncConnection[Any]] | None = None
        self._aside = Aside(url)

    async def open(self) -> None:
        """Connect and check. Raises DatabaseUnavailable where nothing answers, DatabaseMisfit where it does not fit."""
        await self._verify()
        pool: AsyncConnectionPool[AsyncConnection[Any]] = AsyncConnectionPool(
            self.url,
            kwargs={"autocommit": True, "connect_timeout": 10},
            min_size=1,
            max_size=self._size,
            timeout=self._timeout,
            configure=_adopt,
            open=False,
            name="fiel",
        )
        try:
            await pool.open(wait=True, timeout=self._timeout)
        except PoolTimeout as error:
            await pool.close()
            raise unavailable(error, self.url) from error
        self._pool = pool

    async def close(self) -> None:
        """Give the connections back. Closing twice is fine."""
        pool, self._pool = self._pool, None
        await self._aside.close()
        if pool is not None:
            await pool.close()

    async def __aenter__(self) -> "Database":
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @asynccontextmanager
    async def acting(self, principal: Principal) -> AsyncIterator[AsyncConnection[Any]]:
        """A transaction for `principal`: committed at the end, rolled back where the block raises.

        Nothing of the caller outlives it. Raises DatabaseUnavailable where the server fails before or in it.
        """
        async with self._transaction(_prelude(principal)) as connection:
            yield connection

    async def read(
        self, principal: Principal, statements: Sequence[Statement], settings: Settings = ()
    ) -> list[list[DictRow]]:
        """The rows of each statement, run for `principal` in one transaction and one round trip, under `settings`.

        Statements are prepared. The pipeline's single sync makes one implicit transaction of them all, so the caller is
        forgotten with it. What only reads may be asked
        again: a connection that a restart has cut is replaced. Raises as `acting` does.
        """
        asked = [_acting(principal, settings), *(bound(text, values) for text, values in statements)]
        deadline = time.monotonic() + self._timeout
        while True:
            async with self._borrowed(deadline) as connection:
                try:
                    return (await piped(connection, asked))[1:]
                except psycopg.Error as error:
                    if not connection.closed or time.monotonic() > deadline:
                        pass_on(error, self.url, lost=connection.closed)
            await asyncio.sleep(0.02)

    async def write(
        self, principal: Principal, statements: Sequence[tuple[bytes, Sequence[Any]]]
    ) -> list[list[DictRow]]:
        """As `read`, for statements that change something: they are asked once.

        After DatabaseUnavailable it is unknown whether they were committed.
        """
        asked = [_acting(principal, ()), *(bound(text, values) for text, values in statements)]
        async with self._borrowed(time.monotonic() + self._timeout) as connection:
            try:
                return (await piped(connection, asked))[1:]
            except psycopg.Error as error:
                pass_on(error, self.url, lost=connection.closed)

    @asynccontextmanager
    async def system(self) -> AsyncIterator[AsyncConnection[Any]]:
        """A transaction without a caller; as `acting` otherwise."""
        async with self._transaction("BEGIN") as connection:
            yield connection

    @asynccontextmanager
    async def single(self) -> AsyncIterator[AsyncConnection[Any]]:
        """A connection without a caller and outside a transaction: each statement commits itself, in one round trip.

        A connection that a restart has cut is noticed by the first statement only. Raises as `system` does.
        """
        async with self._borrowed(time.monotonic() + self._timeout) as connection:
            try:
                yield connection
            except psycopg.Error as error:
                pass_on(error, self.url, lost=connection.closed)

    async def aside(self, statement: str, values: Values) -> None:
        """Run a statement that commits itself and gives no rows, on a connection in a thread; see `Aside.execute`."""
        if self._pool is None:
            raise DatabaseUnavailable("the database is not open", where=place(self.url))
        await self._aside.execute(statement, values)

    @asynccontextmanager
    async def _borrowed(self, deadline: float) -> AsyncIterator[AsyncConnection[Any]]:
        """A connection of the pool, waited for until `deadline` on the monotonic clock."""
        pool = self._pool
        if pool is None:
            raise DatabaseUnavailable("the database is not open", where=place(self.url))
        try:
            connection = await pool.getconn(max(0.0, deadline - time.monotonic()))
        except (PoolTimeout, PoolClosed) as error:
            raise unavailable(error, self.url) from error
        try:
            yield connection
        finally:
            await _give_back(pool, connection)

    @asynccontextmanager
    async def _transaction(self, prelude: str) -> AsyncIterator[AsyncConnection[Any]]:
        pool = self._pool
        if pool is None:
            raise DatabaseUnavailable("the database is not open", where=place(self.url))
        connection = await self._begin(pool, prelude)
        try:
            yield connection
            if connection.info.transaction_status == TransactionStatus.INERROR:
                # COMMIT would roll back without a word.
                raise psycopg.errors.InFailedSqlTransaction("a statement had failed: nothing is committed")
            await connection.execute("COMMIT")
        except psycopg.Error as error:
            pass_on(error, self.url, lost=connection.closed)
        finally:
            await _give_back(pool, connection)

    async def _begin(self, pool: AsyncConnectionPool[AsyncConnection[Any]], prelude: str) -> AsyncConnection[Any]:
        """A connection on which `prelude` has run. A connection that a restart has cut is noticed here and replaced."""
        deadline = time.monotonic() + self._timeout
        while True:
            try:
                connection = await pool.getconn(max(0.0, deadline - time.monotonic()))
            except (PoolTimeout, PoolClosed) as error:
                raise unavailable(error, self.url) from error
            try:
                await connection.execute(prelude.encode())
            except psycopg.Error as error:
                await _give_back(pool, connection)
                if not connection.closed or time.monotonic() > deadline:
                    raise unavailable(error, self.url) from error
                await asyncio.sleep(0.02)
            except BaseException:
                await _give_back(pool, connection)
                raise
            else:
                return connection

    async def _verify(self) -> None:
        """Look at the server once, without the pool, so that the first error is the server's own."""
        try:
            async with await AsyncConnection.connect(self.url, autocommit=True, connect_timeout=10) as connection:
                version = connection.info.server_version
                if version < LEAST_SERVER:
                    raise DatabaseMisfit(
                        f"PostgreSQL {version // 10000} is too old",
                        where=place(self.url),
                        hint=f"fiel needs PostgreSQL {LEAST_SERVER // 10000} or later",
                    )
                await _adopt(connection)
                row = await (await connection.execute(_IDENTITY)).fetchone()
                _check_identity(row or ("", True, True, True, None, False), self.url)
                rows = await (await connection.execute(APPLIED)).fetchall()
        except psycopg.OperationalError as error:
            raise unavailable(error, self.url) from error
        _check_schema([Applied(*row) for row in rows], self.url)


async def _give_back(pool: AsyncConnectionPool[AsyncConnection[Any]], connection: AsyncConnection[Any]) -> None:
    """Return a connection to the pool, out of its transaction; a broken one is replaced there."""
    try:
        if connection.info.transaction_status in (TransactionStatus.INTRANS, TransactionStatus.INERROR):
            await connection.execute("ROLLBACK")
    except psycopg.Error:
        await connection.close()
    finally:
        await pool.putconn(connection)


async def _adopt(connection: AsyncConnection[Any]) -> None:
    """Make a new connection one of the runtime role, whoever logged in."""
    try:
        await connection.execute(ADOPT)
    except psycopg.errors.InvalidParameterValue as error:
        raise _not_migrated(connection.info.dsn) from error
    except psycopg.errors.InsufficientPrivilege as error:
        raise DatabaseMisfit(
            f"{connection.info.user} may not act as {RUNTIME}",
            where=place(connection.info.dsn),
            hint=f'As the owner of the database: GRANT {RUNTIME} TO "{connection.info.user}"',
        ) from error


def _check_identity(row: tuple[Any, ...], url: str) -> None:
    role, superuser, bypasses, owns, pgvector, migrated = row
    if superuser or bypasses or owns:
        raise DatabaseMisfit(
            f"the role {role} must not be a superuser, bypass row security or own tables of fiel",
            where=place(url),
            hint=f"ALTER ROLE {RUNTIME} NOSUPERUSER NOBYPASSRLS, and let fiel_owner own the schema fiel",
        )
    if pgvector is None:
        raise DatabaseMisfit(
            "the extension vector is missing", where=place(url), hint="Install pgvector and run `fiel db migrate`"
        )
    if tuple(int(part) for part in re.findall(r"\d+", str(pgvector))[:2]) < LEAST_PGVECTOR:
        raise DatabaseMisfit(
            f"pgvector {pgvector} is too old",
            where=place(url),
            hint="fiel needs pgvector 0.8 or later: ALTER EXTENSION vector UPDATE",
        )
    if not migrated:
        raise _not_migrated(url)


def _check_schema(applied: list[Applied], url: str) -> None:
    todo = pending(applied, known())
    if todo:
        raise _not_migrated(url, f"migration {todo[0].number:04}_{todo[0].name} is not applied")


def _not_migrated(url: str, what: str = "the database has no schema of fiel") -> DatabaseMisfit:
    return DatabaseMisfit(
        what, where=place(url), hint="Run `fiel db migrate` with FIEL_DATABASE_OWNER_URL (or FIEL_DATABASE_URL)"
    )
