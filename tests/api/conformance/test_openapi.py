"""Schemathesis over /openapi.json of a running service: no 5xx, and nothing but what the document says."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langgraph_sdk import get_client

from tests.api.conformance import servers
from tests.langgraph_dev import ROOT

MANY = 16
CONFIG = """
[[operations]]
include-name = "GET /store/items"
checks.negative_data_rejection.enabled = false  # one label in a query is a list of one, whatever it looks like
"""
EXCLUDED = (
    "positive_data_acceptance",  # what a schema cannot say is refused too: no such time zone, nothing to change
    "unsupported_method",  # /threads/search is /threads/{id} to a PATCH: 422 says so, where 405 is expected
    "allow_header_conformance",  # the framework names the methods of the first route of a path only
)
BOUND = 240
"""Seconds."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(BOUND + 120)]


async def fill(url: str) -> dict[str, Any]:
    """Things to ask for."""
    async with get_client(url=url, api_key=None) as client:

        async def ran() -> tuple[str, str]:
            thread = (await client.threads.create())["thread_id"]
            run = await client.runs.create(thread, "chain", input={})
            await client.runs.join(thread, run["run_id"])
            return thread, run["run_id"]

        runs = [await ran() for _ in range(MANY)]
        assistants = [(await client.assistants.create("chain"))["assistant_id"] for _ in range(MANY)]
        crons: list[Any] = [await client.crons.create("chain", schedule="0 0 1 1 *", input={}) for _ in range(MANY)]
    return {"runs": runs, "assistants": assistants, "crons": [cron["cron_id"] for cron in crons]}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with servers.ours(tmp_path_factory.mktemp("ours")) as address:
        yield address


def test_answers_are_what_the_document_says(url: str, tmp_path: Path) -> None:
    (tmp_path / "there.json").write_text(json.dumps(asyncio.run(fill(url))), encoding="utf-8")
    (tmp_path / "schemathesis.toml").write_text(CONFIG, encoding="utf-8")
    command = [str(Path(sys.executable).with_name("schemathesis")), "run", f"{url}/openapi.json", "--no-color"]
    command += ["--phases", "examples,coverage,fuzzing", "--max-examples", "40", "--seed", "7", "--workers", "2"]
    command += ["--exclude-checks", ",".join(EXCLUDED), "--request-timeout", "20"]
    environment = {
        **os.environ,
        "SCHEMATHESIS_HOOKS": "tests.api.conformance.fuzzing",
        "CONFORMANCE_THERE": str(tmp_path / "there.json"),
        "PYTHONPATH": str(ROOT),
        "NO_PROXY": "127.0.0.1",
    }
    ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=BOUND)
    assert ran.returncode == 0, f"{ran.stdout[-8000:]}\n{ran.stderr[-2000:]}"
    assert "cases" in ran.stdout
