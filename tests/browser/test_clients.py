"""The JavaScript clients that people use, in Node: LangGraph's SDK and OpenAI's."""

import asyncio
import json
import os
from typing import Any

import pytest

from tests.browser.conftest import HERE, PATIENCE, Service

pytestmark = pytest.mark.browser


@pytest.fixture
def node_test(node: str) -> Any:
    """`await node_test("runs", service)`: one file of Node's tests; fails with what it printed."""

    async def run(name: str, service: Service) -> None:
        told = {"url": service.url, "token": service.token, "assistant": service.assistant, "hold": str(service.hold)}
        process = await asyncio.create_subprocess_exec(
            *(node, "--test", "--test-reporter=spec", str(HERE / f"clients/{name}.test.mjs")),
            env={**os.environ, "SERVICE": json.dumps(told)},
            stdout=-1,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            output, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
        except TimeoutError:
            process.kill()
            raise
        text = output.decode()
        assert process.returncode == 0, text
        assert "pass 0" not in text, "no test ran"

    return run


@pytest.mark.parametrize("name", ["things", "runs"])
async def test_the_langgraph_sdk(node_test: Any, hosted: Service, name: str) -> None:
    await node_test(name, hosted)


async def test_the_openai_client(node_test: Any, own: Any) -> None:
    await node_test("openai", await own())
