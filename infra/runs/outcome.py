"""How runs end, as those who wait for them are told."""

from dataclasses import dataclass
from typing import Any

import orjson

from fiel.infra.hosts.port import GraphFailed
from fiel.tools.errors import FielError

SENTENCES: dict[str, str] = {
    "worker_lost": "The processes that worked on the run were lost again and again",
    "timeout": "The run took longer than it may",
    "internal": "fiel failed; the log has more under the run's id",
    "host_gone": "The process that ran the graph was lost again and again",
    "database_unavailable": "PostgreSQL did not answer",
}
"""What is said of an error whose own words are not kept, by code."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What `runs/wait` answers."""

    status: str
    body: bytes
    """JSON."""


def told(status: str, error: str | None, values: bytes | None, interrupts: bytes | None) -> Outcome:
    """The outcome of a run that another process worked on, or that ended long ago: what its thread shows."""
    if status in ("error", "timeout"):
        return Outcome(status, failed(shown_code(error or status)))
    body = values or b"{}"
    waiting = [one for several in orjson.loads(interrupts or b"{}").values() for one in several]
    if waiting and isinstance(shown := orjson.loads(body), dict):
        body = orjson.dumps({**shown, "__interrupt__": waiting})
    return Outcome(status, body)


def failed(error: dict[str, str]) -> bytes:
    """The body of a run that failed."""
    return orjson.dumps({"__error__": error})


def shown_code(code: str) -> dict[str, str]:
    """An error of which only the code is left."""
    return {"error": code, "message": SENTENCES.get(code, "The run failed")}


def shown(error: BaseException) -> tuple[str, dict[str, str]]:
    """An error's code, and what the caller of the run is told."""
    if isinstance(error, GraphFailed):
        return error.code, error.shown()
    if isinstance(error, TimeoutError):
        return "timeout", {"error": "TimeoutError", "message": SENTENCES["timeout"]}
    if isinstance(error, FielError):
        return error.code, {"error": type(error).__name__, "message": error.what}
    return "internal", shown_code("internal")


def values_of(state: dict[str, Any]) -> tuple[bytes, bytes, bool]:
    """Values, interrupts by task, and whether the graph has still to go on, of a thread's state.

    `next` alone does not tell: it leaves out tasks that are done while their step is not.
    """
    waiting = {task["id"]: task["interrupts"] for task in state.get("tasks") or () if task.get("interrupts")}
    return orjson.dumps(state.get("values")), orjson.dumps(waiting), bool(state.get("next") or state.get("tasks"))
