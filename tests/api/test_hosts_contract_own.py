"""The contract of graph hosts, on fiel's own graph over PostgreSQL."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from fiel.graphs.answer.graph import NAME, build
from fiel.infra.hosts.own import OwnHost
from fiel.infra.ledger.keys import Cipher, key_of
from fiel.infra.threads import open_saver
from tests.conftest import Urls
from tests.graph.conftest import House, bundles, house  # noqa: F401

pytest.register_assert_rewrite("tests.api.hosts_contract")

from tests.api.hosts_contract import *  # noqa: E402, F403
from tests.api.hosts_contract import Served  # noqa: E402

HOPS = ["guard_input", "rewrite", "retrieve", "rerank", "guard_context", "generate", "judge", "guard_output", "release"]
ASKED = {"messages": [{"role": "user", "content": "What does the vault hold?"}]}


@pytest.fixture
async def served(shared_urls: Urls, house: House) -> AsyncIterator[Served]:  # noqa: F811
    async with open_saver(shared_urls.runtime, shared_urls.owner, Cipher(key_of(b"k" * 32))) as saver:
        graph = build(house.services, saver)

        async def made() -> Any:
            return graph

        yield Served(OwnHost(made), NAME, ASKED, HOPS, "answer", {"language": "es"}, "guard_input")
