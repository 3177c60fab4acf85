"""The migration runner: numbered SQL files, forward only, each in one transaction, safe when two processes start."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import cast

import psycopg

from fiel.infra.database.errors import DatabaseMisfit, place, speaks_of_server, unavailable
from fiel.infra.runs.queue import current, install
from fiel.tools.canonical import digest

_FILE = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")
_LOCK = 0x6669656C  # "fiel" in ASCII: key of the advisory lock that one migrating process holds


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered file."""

    number: int
    name: str
    sql: str

    @property
    def sha256(self) -> str:
        """Checksum of the text with Unix line ends, so that a checkout on Windows compares equal."""
        return digest(self.sql.replace("\r\n", "\n").encode())


@dataclass(frozen=True, slots=True)
class Applied:
    """A row of `fiel.migrations`."""

    number: int
    name: str
    sha256: str


def read(entries: Iterable[tuple[str, str]]) -> tuple[Migration, ...]:
    """Migrations from (file name, text), in order. Raises ValueError unless the numbers are 1, 2, 3, …"""
    found = []
    for file, text in entries:
        match = _FILE.fullmatch(file)
        if not match:
            raise ValueError(f"{file}: a migration is named NNNN_name.sql")
        found.append(Migration(int(match[1]), match[2], text))
    found.sort(key=lambda migration: migration.number)
    if [migration.number for migration in found] != list(range(1, len(found) + 1)):
        raise ValueError(f"migrations are not numbered 1 to {len(found)}: {[m.number for m in found]}")
    return tuple(found)


@cache
def known() -> tuple[Migration, ...]:
    """The migrations that this version of fiel carries."""
    folder = files("fiel.infra.database").joinpath("migrations")
    return read((item.name, item.read_text(encoding="utf-8")) for item in folder.iterdir() if item.name.endswith("sql"))


def pending(applied: Iterable[Applied], migrations: tuple[Migration, ...]) -> tuple[Migration, ...]:
    """What is still to be applied. Raises DatabaseMisfit for a newer database or an edited migration."""
    done = {row.number: row for row in applied}
    for number, row in sorted(done.items()):
        if number > len(migrations):
            raise DatabaseMisfit(
                f"the database is newer than this fiel: it has migration {number:04}_{row.name}",
                hint="Install the version of fiel that wrote it, or a later one",
            )
        if row.sha256 != migrations[number - 1].sha256:
            raise DatabaseMisfit(
                f"migration {number:04}_{row.name} was applied with another text than this fiel has",
                hint="Restore the file: an applied migration never changes; write a new one",
            )
    return tuple(migration for migration in migrations if migration.number not in done)


APPLIED = "SELECT number, name, sha256 FROM fiel.migrations ORDER BY number"


def applied(connection: "psycopg.Connection[tuple[object, ...]]") -> tuple[Applied, ...]:
    """Rows of `fiel.migrations`; none where there is no such table yet."""
    exists = connection.execute("SELECT to_regclass('fiel.migrations') IS NOT NULL").fetchone()
    if not exists or not exists[0]:
        return ()
    rows = connection.execute(APPLIED).fetchall()
    return tuple(Applied(cast("int", number), str(name), str(sha256)) for number, name, sha256 in rows)


def migrate(owner_url: str, migrations: tuple[Migration, ...] | None = None) -> tuple[str, ...]:
    """Bring the database up to date; names of what was applied now.

    Blocks while another process migrates. Raises DatabaseUnavailable where the server does not answer or refuses,
    DatabaseMisfit where the database does not fit this version or lacks pgvector.
    """
    migrations = known() if migrations is None else migrations
    try:
        with psycopg.connect(owner_url, autocommit=True, connect_timeout=10) as connection:
            if not pending(applied(connection), migrations) and _queue_is_there(connection, migrations):
                return ()
            connection.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
            todo = pending(applied(connection), migrations)
            for migration in todo:
                _apply(connection, migration)
            if not _queue_is_there(connection, migrations):
                install(connection)
            return tuple(f"{migration.number:04}_{migration.name}" for migration in todo)
    except psycopg.Error as error:
        if speaks_of_server(error) or isinstance(error, psycopg.OperationalError):
            raise unavailable(error, owner_url) from error
        raise _misfit(error, owner_url) from error


def _queue_is_there(connection: "psycopg.Connection[tuple[object, ...]]", migrations: tuple[Migration, ...]) -> bool:
    """Whether the queue's own schema is as it must be; older databases, as tests make them, have none."""
    return len(migrations) < len(known()) or current(connection)


def _apply(connection: "psycopg.Connection[tuple[object, ...]]", migration: Migration) -> None:
    with connection.transaction():
        if migration.number > 1:
            connection.execute("SET LOCAL ROLE fiel_owner")
        connection.execute(migration.sql.encode())
        connection.execute(
            "INSERT INTO fiel.migrations (number, name, sha256) VALUES (%s, %s, %s)",
            (migration.number, migration.name, migration.sha256),
        )


def _misfit(error: psycopg.Error, url: str) -> DatabaseMisfit:
    first = (str(error).strip().splitlines() or [type(error).__name__])[0]
    if isinstance(error, psycopg.errors.FeatureNotSupported | psycopg.errors.UndefinedFile) and "vector" in str(error):
        hint = "Install pgvector 0.8 or later on that server"
    elif isinstance(error, psycopg.errors.InsufficientPrivilege):
        hint = (
            "FIEL_DATABASE_OWNER_URL must name a superuser, or a role that owns the database and may create roles, "
            "with the extension vector and the roles fiel_owner and fiel_runtime created beforehand where it may not"
        )
    else:
        hint = "The transaction was rolled back: nothing of this migration was applied"
    return DatabaseMisfit(f"the database cannot be migrated: {first}", where=place(url), hint=hint)
