"""Both servers are asked once, and what they did is printed at the end."""

import asyncio
import logging
import warnings
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.api.conformance import checks, servers
from tests.api.conformance.check import CHECKS, ask_all
from tests.api.conformance.differences import ORACLE
from tests.api.conformance.report import ORACLE_NAME, OURS_NAME, Columns, lines

BOUND = 240.0
"""Seconds that asking both servers may take."""
COLUMNS = pytest.StashKey[Columns]()
checks.load()


async def _ask(oracle: str, ours: str) -> Columns:
    """What both did. The oracle gets a second chance where a busy machine may have been too slow for it."""
    every = list(CHECKS.values())
    first, second = await asyncio.gather(ask_all(oracle, every), ask_all(ours, every))
    again = [one for one in every if not first[one.name].passed and one.name not in ORACLE]
    return {ORACLE_NAME: {**first, **await ask_all(oracle, again)}, OURS_NAME: second}


@pytest.fixture(scope="session")
def columns(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Columns]:
    """How every check went on both servers."""
    logging.getLogger("httpx").setLevel(logging.WARNING)
    with ExitStack() as stack, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the client's advice about reconnecting is no outcome
        oracle = stack.enter_context(servers.oracle(tmp_path_factory.mktemp("oracle")))
        ours = stack.enter_context(servers.ours(tmp_path_factory.mktemp("ours")))
        found = asyncio.run(asyncio.wait_for(_ask(oracle, ours), BOUND))
    request.config.stash[COLUMNS] = found
    yield found


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if (found := config.stash.get(COLUMNS, None)) is not None:
        terminalreporter.section("conformance to langgraph-sdk")
        for line in lines(found):
            terminalreporter.write_line(line)
