"""Front ends in Chromium, against `fiel serve`: three pages, each over a library that people use.

`stream` is `useStream` of the LangGraph SDK (as in Agent Chat UI), `events` the newer `useStream` of @langchain/react,
`assistant` is assistant-ui.
"""

import asyncio
import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import HERE, PATIENCE, Service
from tests.graph.conftest import House

pytestmark = [pytest.mark.browser, pytest.mark.timeout(150)]


@pytest.fixture
def drive(node: str, chromium: str, pages: str) -> Any:
    """`await drive("chat", "stream", service)`: one scenario on one page; fails with what the page showed."""

    async def run(scenario: str, page: str, service: Service, **more: Any) -> None:
        asked = {"url": service.url, "token": service.token, "assistant": service.assistant, "hold": str(service.hold)}
        asked |= {"page": f"{pages}/{page}.html", "chromium": chromium, **more}
        process = await asyncio.create_subprocess_exec(
            node, str(HERE / "drive/run.mjs"), scenario, json.dumps(asked), stdout=-1, stderr=asyncio.subprocess.STDOUT
        )
        try:
            told, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
        except TimeoutError:
            process.kill()
            raise
        assert process.returncode == 0, told.decode()

    return run


@pytest.mark.parametrize("page", ["stream", "events", "assistant"])
async def test_a_question_is_answered_word_by_word(drive: Any, hosted: Service, page: str) -> None:
    await drive("chat", page, hosted)


@pytest.mark.parametrize("page", ["stream", "events"])
async def test_a_page_loaded_again_sees_its_run_go_on(drive: Any, hosted: Service, page: str) -> None:
    await drive("reload", page, hosted)


@pytest.mark.parametrize("page", ["stream", "events", "assistant"])
async def test_a_question_is_edited_and_the_thread_forks(drive: Any, hosted: Service, page: str) -> None:
    await drive("fork", page, hosted, branches=page == "stream")


@pytest.mark.parametrize("page", ["stream", "events", "assistant"])
async def test_an_interrupt_is_answered(drive: Any, hosted: Service, page: str) -> None:
    await drive("interrupt", page, hosted, forgets=page == "assistant")


@pytest.mark.parametrize("page", ["stream", "events", "assistant"])
async def test_fiels_own_answer_is_shown_when_it_is_released(
    drive: Any, own: Any, own_house: House, tmp_path: Path, page: str
) -> None:
    own_house.models.faults["chat"] = partial(there, tmp_path / "write")
    await drive("own", page, await own(), forgets=page == "assistant")


async def test_a_developer_forks_fiels_own_graph(drive: Any, own: Any) -> None:
    await drive("developer", "stream", await own(roles=("developer",)))


async def test_a_reader_may_not_fork_fiels_own_graph(drive: Any, own: Any) -> None:
    await drive("forbidden", "stream", await own())


async def there(file: Path) -> None:
    """Return when there is such a file."""
    while not file.exists():  # noqa: ASYNC110, ASYNC240
        await asyncio.sleep(0.02)
