"""Logs: one JSON object a line on standard error, with the ids of request and run, and no text of users.

Messages of loggers that fiel does not know, and the texts of all exceptions, may hold what a user wrote: they are left
out; an exception is told by its class and the places it went through.
"""

import asyncio
import json
import logging
import sys
import time
import traceback
from contextvars import ContextVar
from typing import Any

REQUEST: ContextVar[str] = ContextVar("request_id", default="")
RUN: ContextVar[str] = ContextVar("run_id", default="")
TRUSTED = ("fiel", "uvicorn", "procrastinate", "psycopg.pool")
"""Loggers, with those below them, whose messages carry ids, codes and addresses of services only."""
EXTRA = (
    *("method", "route", "status", "ms", "caller", "tenant", "code", "why"),
    *("run_id", "thread_id", "cron", "review", "feedback", "act"),
)
"""Attributes of a record that are told: what `extra` may name."""


class JsonFormatter(logging.Formatter):
    """A record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _message(record),
        }
        if REQUEST.get():
            line["request_id"] = REQUEST.get()
        if RUN.get():
            line["run_id"] = RUN.get()
        line |= {name: getattr(record, name) for name in EXTRA if getattr(record, name, None) is not None}
        if record.exc_info and record.exc_info[1] is not None:
            line["error"] = told(record.exc_info[1])
        return json.dumps(line, ensure_ascii=False, default=str)


def _message(record: logging.LogRecord) -> str:
    if any(record.name == name or record.name.startswith(f"{name}.") for name in TRUSTED):
        return record.getMessage()
    return f"(withheld: {record.pathname.rpartition('site-packages/')[2]}:{record.lineno})"


def told(error: BaseException) -> dict[str, Any]:
    """An exception without its text: its class, its causes' and the places it went through."""
    frames = traceback.extract_tb(error.__traceback__)
    told_of: dict[str, Any] = {
        "class": type(error).__qualname__,
        "at": [f"{frame.filename.rpartition('site-packages/')[2]}:{frame.lineno} {frame.name}" for frame in frames],
    }
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None:
        told_of["cause"] = type(cause).__qualname__
    return told_of


def configure(level: int = logging.INFO) -> None:
    """All logs of this process in this form, on standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("fiel").setLevel(level)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers[:] = []
        logger.propagate = name != "uvicorn.access"
        logger.setLevel(logging.WARNING)
    logging.getLogger("uvicorn.error").addFilter(is_no_farewell)


def is_no_farewell(record: logging.LogRecord) -> bool:
    """Whoever still listens when the service stops is cut off: one line says how many, and none each."""
    return not (record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError))
