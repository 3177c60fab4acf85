"""Schemathesis over /openapi.json of a running service: no 5xx, and nothing but what the document says."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
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
OWN = "^/(users|groups|grants|audit|lineage|reviews|fiel|v1|runs/.run_id./feedback|threads/.thread_id./(state|runs))"
"""What fiel's own graph alone has, and what it answers otherwise than other graphs."""
TEXT = "The vault holds a xylophone. It is opened on Mondays. The office is in the north wing of the old mill."
BOUND = 1_200
"""Seconds, on a machine that has much else to do."""

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
    there = {"runs": runs, "assistant_id": assistants, "cron_id": [cron["cron_id"] for cron in crons]}
    return {**there, "model": ["chat", "chain"]}


async def fill_own(url: str) -> dict[str, Any]:
    """The same, of fiel's own graph."""
    names = [f"name-{number}" for number in range(MANY)]
    async with get_client(url=url, api_key=None) as client, httpx.AsyncClient(base_url=url, trust_env=False) as web:
        runs = []
        for _ in range(4):
            thread = (await client.threads.create())["thread_id"]
            asked = {"messages": [{"role": "user", "content": "What does the vault hold?"}]}
            run = await client.runs.create(thread, "answer", input=asked)
            await client.runs.join(thread, run["run_id"])
            runs.append((thread, run["run_id"]))
        for name in names:
            assert (await web.put(f"/users/{name}", json={})).status_code == 200
            assert (await web.put(f"/groups/{name}", json={"add": [name]})).status_code == 200
        assert (await web.get(f"/lineage/runs/{runs[0][1]}")).json()["outcome"] == "answered"
    return {"runs": runs, "user": names, "group": names, "name": ["default", "strict"], "model": ["answer", "answer"]}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with servers.ours(tmp_path_factory.mktemp("ours")) as address:
        yield address


@pytest.fixture(scope="module")
def own_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with servers.own(tmp_path_factory.mktemp("own"), TEXT) as address:
        yield address


def test_answers_are_what_the_document_says(url: str, tmp_path: Path) -> None:
    schemathesis(url, asyncio.run(fill(url)), tmp_path, "--max-examples", "20")


def test_answers_of_fiels_own_graph_are_what_the_document_says(own_url: str, tmp_path: Path) -> None:
    there = asyncio.run(fill_own(own_url))
    schemathesis(own_url, there, tmp_path, "--include-path-regex", OWN, "--max-examples", "10")


def schemathesis(url: str, there: dict[str, Any], folder: Path, *more: str) -> None:
    """Run it, the same requests in the same order each time."""
    (folder / "there.json").write_text(json.dumps(there), encoding="utf-8")
    (folder / "schemathesis.toml").write_text(CONFIG, encoding="utf-8")
    command = [str(Path(sys.executable).with_name("schemathesis")), "run", f"{url}/openapi.json", "--no-color", *more]
    command += ["--phases", "examples,coverage,fuzzing", "--generation-deterministic", "--workers", "1"]
    command += ["--exclude-checks", ",".join(EXCLUDED), "--request-timeout", "120"]
    environment = {
        **os.environ,
        "SCHEMATHESIS_HOOKS": "tests.api.conformance.fuzzing",
        "CONFORMANCE_THERE": str(folder / "there.json"),
        "PYTHONPATH": str(ROOT),
        "NO_PROXY": "127.0.0.1",
    }
    ran = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=BOUND)
    assert ran.returncode == 0, f"{ran.stdout[-8000:]}\n{ran.stderr[-2000:]}"
    assert "cases" in ran.stdout
