"""The programs in the documentation run as they stand there; only the address and the token are put in."""

import asyncio
import contextlib
import gc
import io
import json
import re
import warnings
from pathlib import Path
from typing import Any

import pytest
import yaml

from fiel.infra.hosts.own import OwnHost
from tests.api.conftest import Server
from tests.conftest import Urls
from tests.graph.conftest import DRAFT, House, bundles, house  # noqa: F401

ROOT = Path(__file__).parents[2]
ADDRESS, TOKEN = "http://127.0.0.1:8123", "fiel_…"


def blocks(language: str) -> list[tuple[str, str]]:
    """Each block in that language: where it stands, and its text."""
    found = []
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        text = path.read_text(encoding="utf-8")
        for match in re.finditer(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
            found.append((f"{path.name}:{text[: match.start()].count(chr(10)) + 1}", match[1]))
    return found


PYTHON = blocks("python")


@pytest.fixture
def host(house: House) -> OwnHost:  # noqa: F811
    async def made() -> Any:
        return house.graph

    return OwnHost(made)


@pytest.fixture
def database_urls(shared_urls: Urls) -> Urls:
    """One database for this file."""
    return shared_urls


def run(program: str, place: str) -> str:
    """What a program prints."""
    told, names = io.StringIO(), {"__name__": "__main__"}
    with contextlib.redirect_stdout(told), warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # a program's clients end with the program
        exec(compile(program, place, "exec"), names)  # noqa: S102 - our own documents
        names.clear()
        gc.collect()
    return told.getvalue()


async def ran(server: Server, place: str, text: str) -> str:
    assert ADDRESS in text, "what does the program call?"
    program = text.replace(ADDRESS, server.url).replace(TOKEN, await server.token("ann"))
    assert ":8123" not in program
    return await asyncio.to_thread(run, program, place)


@pytest.mark.parametrize(("place", "text"), PYTHON, ids=[place for place, _ in PYTHON])
async def test_a_program_in_the_documentation_runs(server: Server, place: str, text: str) -> None:
    told = await ran(server, place, text)
    answered = DRAFT in told or "retrieve" in told or "values" in told
    made = re.fullmatch(r"[0-9a-f-]{36}\n", told)
    assert answered or made, told


async def test_a_program_that_is_wrong_does_not_run(server: Server) -> None:
    [(place, text)] = [one for one in PYTHON if "responses.create" in one[1]]
    with pytest.raises(Exception, match="no_such_field"):
        await ran(server, place, text.replace("model=", "extra_body={'no_such_field': 1}, model="))
    with pytest.raises(Exception, match="401"):
        await ran(server, place, text.replace(TOKEN, "fiel_wrong"))


def test_there_is_a_program_for_each_client() -> None:
    programs = "\n".join(text for place, text in PYTHON if place.startswith("connect.md"))
    for client in ("OpenAI", "get_sync_client", "get_client", "RemoteGraph", "responses.create", "join_stream"):
        assert client in programs


def test_other_settings_are_well_formed_and_name_the_service() -> None:
    [(_, text)] = [one for one in blocks("yaml") if one[0].startswith("connect.md")]
    [endpoint] = yaml.safe_load(text)["endpoints"]["custom"]
    assert (endpoint["baseURL"], endpoint["titleConvo"]) == (f"{ADDRESS}/v1", False)
    document = (ROOT / "docs/connect.md").read_text(encoding="utf-8")
    assert set(re.findall(r"https?://127\.0\.0\.1[^\s`\")]*", document)) <= {ADDRESS, f"{ADDRESS}/v1"}


@pytest.mark.parametrize("client", ["librechat", "open-webui"])
async def test_what_chat_front_ends_send_is_accepted(http: Any, client: str) -> None:
    """The fields that LibreChat's and Open WebUI's documentation and sources say they send by default."""
    asked = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What does the vault hold?"}]
    sent = {"model": "answer", "messages": asked, "stream": True}
    if client == "librechat":
        sent |= {"temperature": 1, "top_p": 1, "presence_penalty": 0, "frequency_penalty": 0, "user": "65f0"}
        sent |= {"stream_options": {"include_usage": True}}
    async with http("ann") as web, web.stream("POST", "/v1/chat/completions", json=sent) as answer:
        assert answer.status_code == 200, await answer.aread()
        lines = [line.removeprefix("data: ") async for line in answer.aiter_lines() if line.startswith("data: ")]
    assert lines.pop() == "[DONE]"
    text = "".join(choice["delta"].get("content") or "" for line in lines for choice in json.loads(line)["choices"])
    assert DRAFT in text
