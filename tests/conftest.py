"""Fixtures of the database: one server a session, one fresh migrated database a test.

The server is the embedded one, or the one at FIEL_TEST_DATABASE_URL (a superuser or a role with CREATEDB and
CREATEROLE): the same tests run on both.
"""

import os
import shutil
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from fiel.infra.database.connect import Database
from fiel.infra.database.embedded import Embedded
from fiel.infra.database.migrate import migrate
from fiel.infra.models import quiet_threads

quiet_threads()  # before any model: threads that spin take the cores from the tests beside them

ROOM = 4 * 2**30
"""Bytes that must be free in memory for the databases of a session to lie there."""


@dataclass(frozen=True, slots=True)
class Urls:
    """Addresses of one test database."""

    runtime: str
    owner: str


@dataclass(frozen=True, slots=True)
class Postgres:
    """The server of the session."""

    runtime: str
    """Address of some database as the runtime role, or as whoever FIEL_TEST_DATABASE_URL names."""
    owner: str
    """Address of a database as a role that may create databases."""
    superuser: str | None
    """Address of a database as a superuser, where one may log in."""

    def urls(self, name: str) -> Urls:
        return Urls(make_conninfo(self.runtime, dbname=name), make_conninfo(self.owner, dbname=name))

    def create(self, template: str = "template1") -> str:
        """A new database; its name."""
        name = f"fiel_test_{uuid.uuid4().hex[:12]}"
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY")
        self._run(statement.format(sql.Identifier(name), sql.Identifier(template)))
        return name

    def drop(self, name: str) -> None:
        """Raises what the server says after a few tries."""
        for patience in (0.1, 0.5, 2.0, None):
            try:
                return self._run(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
            except psycopg.errors.InsufficientPrivilege:
                # A worker of autovacuum is in it, which only a superuser may end; it ends by itself.
                if patience is None:
                    raise
                time.sleep(patience)
        return None

    def _run(self, statement: sql.Composed) -> None:
        with psycopg.connect(self.owner, autocommit=True) as connection:
            connection.execute(statement)


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """The server of the session, without schema."""
    external = os.environ.get("FIEL_TEST_DATABASE_URL", "")
    if external:
        yield Postgres(external, external, external if _is_superuser(external) else None)
        return
    # What a crash would lose is of no use after a test; crashes are tested on servers of their own.
    quick = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
    # A copy of a database takes half as long in memory, where there is enough of it.
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > ROOM
    place = memory if roomy else tmp_path_factory.getbasetemp()
    with (
        tempfile.TemporaryDirectory(prefix="fiel-test-", dir=place) as home,
        Embedded(Path(home), settings=quick, superuser=True) as server,
    ):
        yield Postgres(server.url, server.owner_url, server.layout.url("postgres", "postgres"))


def _is_superuser(url: str) -> bool:
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone()
    return bool(row and row[0])


@pytest.fixture(scope="session")
def template(postgres: Postgres) -> Iterator[str]:
    """Name of a migrated database to copy from."""
    name = postgres.create()
    try:
        migrate(postgres.urls(name).owner)
        yield name
    finally:
        postgres.drop(name)


@pytest.fixture
def database_urls(postgres: Postgres, template: str) -> Iterator[Urls]:
    """Addresses (runtime role, owner) of a fresh migrated database of this test alone."""
    name = postgres.create(template)
    try:
        yield postgres.urls(name)
    finally:
        postgres.drop(name)


@pytest.fixture(scope="module")
def shared_urls(postgres: Postgres, template: str) -> Iterator[Urls]:
    """Addresses of a migrated database that the tests of one module share, for those that leave no trace in it."""
    name = postgres.create(template)
    try:
        yield postgres.urls(name)
    finally:
        postgres.drop(name)


@pytest.fixture
async def database(database_urls: Urls) -> AsyncIterator[Database]:
    """An open `Database` on a fresh migrated database of this test alone."""
    async with Database(database_urls.runtime, size=8, timeout=10.0) as opened:
        yield opened
