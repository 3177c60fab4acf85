"""What PostgreSQL says, in words that help: psycopg's errors become errors of fiel."""

from typing import NoReturn

import psycopg
from psycopg.conninfo import conninfo_to_dict

from fiel.tools.errors import DatabaseUnavailable, FielError

_DOWN = ("08", "53", "57", "58", "XX")
"""SQLSTATE classes that speak of the server, not of the statement: connection, resources, operator, system, bugs."""


class DatabaseMisfit(FielError):
    """The database answers, but it is not one that this version of fiel can use."""

    code = "database_misfit"
    exit_status = 3


def place(url: str) -> str:
    """Where a database is, for messages: user, host, port and name, never the password."""
    try:
        parts = conninfo_to_dict(url)
    except psycopg.Error:
        return "database address"
    host = parts.get("host") or parts.get("hostaddr") or "local socket"
    port = f":{parts['port']}" if parts.get("port") else ""
    return f"{parts.get('user') or '(default user)'}@{host}{port}/{parts.get('dbname') or ''}"


def speaks_of_server(error: psycopg.Error) -> bool:
    """Whether the server (and not the statement) is what failed."""
    if isinstance(error, psycopg.errors.DeadlockDetected | psycopg.errors.SerializationFailure):
        return False
    state = error.sqlstate
    return isinstance(error, psycopg.OperationalError) if state is None else state[:2] in _DOWN


def pass_on(error: psycopg.Error, url: str, *, lost: bool = False) -> NoReturn:
    """Raise `error` as whoever asked the database at `url` shall see it.

    That is DatabaseUnavailable where the connection is `lost` or the server failed, and `error` itself otherwise.
    """
    if lost or speaks_of_server(error):
        raise unavailable(error, url) from error
    raise error


def unavailable(error: BaseException, url: str) -> DatabaseUnavailable:
    """`error` of connecting to or talking with the database at `url`, with advice."""
    text = str(error).strip().splitlines()
    first = text[-1].strip() if text else type(error).__name__
    return DatabaseUnavailable(f"PostgreSQL is not usable: {first}", where=place(url), hint=_advice(error, url))


def _advice(error: BaseException, url: str) -> str:
    state = getattr(error, "sqlstate", None)
    text = str(error)
    if state in ("28P01", "28000") or "authentication failed" in text or "no password supplied" in text:
        return "Check user and password in FIEL_DATABASE_URL"
    if state == "3D000" or ("database " in text and "does not exist" in text):
        return "Create that database first, or correct its name in FIEL_DATABASE_URL"
    if "role " in text and "does not exist" in text:
        return "Check the user in FIEL_DATABASE_URL"
    if state == "53100":
        return "The server's disk is full: free space there, then try again"
    if "could not translate host name" in text or "failed to resolve host" in text:
        return "Check the host in FIEL_DATABASE_URL"
    if "host=%2F" in url or "host=/" in url:
        return "Check that the server runs"
    return "Check that the server runs and that FIEL_DATABASE_URL is right"
