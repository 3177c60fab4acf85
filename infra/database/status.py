"""What `fiel db status` tells: versions, and which migrations are applied and pending."""

from typing import Any

import psycopg

from fiel.infra.database.errors import DatabaseMisfit, place, unavailable
from fiel.infra.database.migrate import Migration, applied, known, pending


def database_status(url: str) -> dict[str, Any]:
    """Facts about the database at `url`, as JSON values: `current` says whether this fiel can use it as it is.

    `problem` is empty, or why not (newer database, edited migration). Raises DatabaseUnavailable.
    """
    try:
        with psycopg.connect(url, autocommit=True, connect_timeout=10) as connection:
            row = connection.execute(
                "SELECT extversion FROM pg_extension WHERE extname = 'vector'",
            ).fetchone()
            done = applied(connection)
            server = connection.info.parameter_status("server_version")
    except psycopg.Error as error:
        raise unavailable(error, url) from error
    problem = ""
    todo: tuple[Migration, ...] = ()
    try:
        todo = pending(done, known())
    except DatabaseMisfit as misfit:
        problem = str(misfit)
    return {
        "database": place(url),
        "server": server,
        "pgvector": row[0] if row else None,
        "applied": [f"{entry.number:04}_{entry.name}" for entry in done],
        "pending": [f"{migration.number:04}_{migration.name}" for migration in todo],
        "problem": problem,
        "current": not todo and not problem and row is not None,
    }
