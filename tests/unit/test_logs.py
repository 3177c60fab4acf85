"""Logs: whatever a line is given to say of a run is told."""

import ast
import asyncio
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import fiel.infra
from fiel.infra.api.logs import EXTRA, JsonFormatter, is_no_farewell


def _given() -> Iterator[tuple[str, str]]:
    """Where infra's code gives a log line more than its message, and the names that it gives."""
    for path in Path(*fiel.infra.__path__).rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text if "extra={" in text else "")):
            if isinstance(node, ast.keyword) and node.arg == "extra" and isinstance(node.value, ast.Dict):
                for key in node.value.keys:
                    assert isinstance(key, ast.Constant)
                    yield f"{path.name}:{node.value.lineno}", str(key.value)


def test_every_name_that_a_line_is_given_is_told() -> None:
    given = list(_given())
    assert len(given) > 10
    assert [(place, name) for place, name in given if name not in EXTRA] == []


def test_a_line_tells_the_run() -> None:
    record = logging.makeLogRecord({"name": "fiel.runs", "msg": "a run crashed", "run_id": "r-1", "text": "secret"})
    line = json.loads(JsonFormatter().format(record))
    assert (line["run_id"], "text" in line) == ("r-1", False)


def test_who_is_cut_off_when_the_service_stops_gets_no_line_each() -> None:
    told = [asyncio.CancelledError(), ValueError()]
    records = [logging.makeLogRecord({"exc_info": (type(error), error, None)}) for error in told]
    assert [is_no_farewell(record) for record in records] == [False, True]
