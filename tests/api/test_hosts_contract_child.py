"""The contract of graph hosts, on a graph of another project in a child process."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from fiel.infra.hosts.child import open_child
from fiel.infra.hosts.manifest import load
from fiel.infra.ledger.keys import key_of
from tests.conftest import Urls

pytest.register_assert_rewrite("tests.api.hosts_contract")

from tests.api.hosts_contract import *  # noqa: E402, F403
from tests.api.hosts_contract import Served  # noqa: E402

SMALL = Path(__file__).parents[1] / "projects" / "small" / "langgraph.json"

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(shared_urls: Urls) -> AsyncIterator[Served]:
    async with open_child(load(SMALL), shared_urls.runtime, shared_urls.owner, key_of(b"k" * 32)) as host:
        nodes = ["one", "two", "three"]
        yield Served(host, "plain", {"count": 0}, nodes, "steps", {"note": "edited"}, "one")
