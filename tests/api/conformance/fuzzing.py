"""What Schemathesis loads: in three of four requests, ids of things that are there take the place of made-up ones.

Without it nearly every request ends with *there is no such thing*, and nothing behind that is reached.
"""

import json
import os
import zlib
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import schemathesis

THERE: dict[str, Any] = json.loads(Path(os.environ["CONFORMANCE_THERE"]).read_text(encoding="utf-8"))
"""By parameter of an address, several values each; `runs`: pairs of a thread and a run of it."""
NAMES = frozenset(("model", "user", "group", "name", "run"))
"""Parameters that are no ids: any text takes their place."""
SOON = 0.5
"""Longest delay of a run in seconds: nobody waits for a year."""


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Put into the request what is there."""
    given = case.path_parameters or {}
    if not case.path.startswith("/threads/{thread_id}/stream"):
        _fill_path(given, case.method, zlib.crc32(repr((case.path, case.method, given, case.body)).encode()))
    elif _is_id(given.get("thread_id")):
        given["thread_id"] = str(uuid4())  # the stream of a thread that is there has no end
    for body in case.body if isinstance(case.body, list) else [case.body]:
        if isinstance(body, dict):
            _fill_body(body)


def _fill_path(given: dict[str, Any], method: str, number: int) -> None:
    if number % 4 == 0:
        return
    thread, run = _one(THERE["runs"], number, method)
    there = {"thread_id": thread, "run_id": run, "run": run}
    there |= {name: _one(several, number, method) for name, several in THERE.items() if name != "runs"}
    for name in given.keys() & there.keys():
        if name in NAMES or _is_id(given[name]):
            given[name] = there[name]


def _one(several: list[Any], number: int, method: str) -> Any:
    """The first half is for looking at, the second for deleting."""
    half = len(several) // 2
    return several[number % half + (half if method == "DELETE" else 0)]


def _is_id(value: Any) -> bool:
    try:
        return str(UUID(str(value))) == value
    except ValueError:
        return False


def _fill_body(body: dict[str, Any]) -> None:
    graph = THERE["model"][0]
    for name in ("assistant_id", "graph_id", "model"):
        value = body.get(name)
        if isinstance(value, str) and 0 < len(value) <= 500 and not _is_id(value):
            body[name] = graph
    delay = body.get("after_seconds")
    if isinstance(delay, float | int) and SOON < delay < 366 * 24 * 3600:
        body["after_seconds"] = SOON
