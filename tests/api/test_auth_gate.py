"""`@auth.on` handlers on real routes: they refuse, change what is written, and narrow what is seen."""

import os
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient

from fiel.infra.api.auth.custom import AuthRefused, Place
from fiel.infra.api.auth.gate import ACTIONS, OPEN, carries, narrowed
from fiel.infra.settings import Settings
from tests.api.conftest import Server, serving
from tests.api.graphs import PlainHost, plain_host
from tests.conftest import Urls

HANDLERS = """
    from langgraph_sdk import Auth
    auth = Auth()

    @auth.authenticate
    async def who(authorization: str):
        team, _, name = authorization.split()[1].partition("-")
        return {"identity": "everybody", "team": team, "name": name}

    @auth.on
    async def deny(ctx, value): return False

    @auth.on.threads.create
    async def create(ctx, value):
        value.setdefault("metadata", {})["team"] = ctx.user["team"]

    @auth.on.threads
    async def threads(ctx, value):
        return {"team": ctx.user["team"]}

    @auth.on.threads.delete
    async def delete(ctx, value):
        assert ctx.user["name"] == "boss", "only the boss deletes"
        return {"team": ctx.user["team"]}

    @auth.on.store
    async def store(ctx, value):
        value["namespace"] = [ctx.user["team"], *(value.get("namespace") or [])]
"""


@pytest.fixture
def database_urls(shared_urls: Urls) -> Urls:
    """One database for this file."""
    return shared_urls


@pytest.fixture
async def host(database_urls: Urls) -> AsyncIterator[PlainHost]:
    async with plain_host(database_urls) as opened:
        yield opened


@pytest.fixture
async def server(service_settings: Settings, database_urls: Urls, host: Any, tmp_path: Path) -> AsyncIterator[Server]:
    """A server with the handlers above. Everybody has one name, so nothing but the handlers keeps teams apart."""
    (tmp_path / "mine.py").write_text(textwrap.dedent(HANDLERS))
    place = Place("mine.py:auth", tmp_path, os.environ)
    async with serving(service_settings, database_urls, host, custom=place) as started:
        yield started


def client_of(server: Server, token: str) -> LangGraphClient:
    return get_client(url=server.url, api_key=None, headers={"Authorization": f"Bearer {token}"})


async def test_what_a_handler_writes_into_metadata_is_what_is_stored(server: Server) -> None:
    async with client_of(server, "red-ann") as red:
        made = await red.threads.create(metadata={"topic": "x"})
        assert (await red.threads.get(made["thread_id"]))["metadata"] == {"topic": "x", "team": "red"}


async def test_a_filter_hides_what_does_not_carry_it(server: Server) -> None:
    async with client_of(server, "green-ann") as green, client_of(server, "blue-bob") as blue:
        made = (await green.threads.create())["thread_id"]
        for attempt in (
            lambda: blue.threads.get(made),
            lambda: blue.threads.update(made, metadata={"a": 1}),
            lambda: blue.threads.copy(made),
            lambda: blue.threads.get_state(made),
            lambda: blue.threads.get_history(made),
        ):
            with pytest.raises(httpx.HTTPStatusError) as refused:
                await attempt()  # type: ignore[no-untyped-call]
            assert refused.value.response.status_code == 404
        assert [one["thread_id"] for one in await green.threads.search()] == [made]
        assert await blue.threads.search() == []
        assert (await green.threads.count(), await blue.threads.count()) == (1, 0)
        with pytest.raises(httpx.HTTPStatusError) as refused:
            await blue.threads.search(metadata={"team": "green"})
        assert refused.value.response.status_code == 403


async def test_the_most_specific_handler_stands_before_the_general_one(server: Server) -> None:
    async with client_of(server, "pink-ann") as ann, client_of(server, "pink-boss") as boss:
        made = (await ann.threads.create())["thread_id"]
        with pytest.raises(httpx.HTTPStatusError) as refused:
            await ann.threads.delete(made)
        assert refused.value.response.status_code == 403
        assert refused.value.response.json()["detail"] == "only the boss deletes"
        await boss.threads.delete(made)


async def test_what_no_handler_allows_is_refused_and_the_system_routes_are_not_asked_about(server: Server) -> None:
    async with client_of(server, "red-ann") as red:
        with pytest.raises(httpx.HTTPStatusError) as refused:
            await red.assistants.search()
        assert refused.value.response.status_code == 403
        assert (await red.http.get("/info"))["version"]


async def test_a_handler_moves_store_items_into_a_namespace_of_its_own(server: Server) -> None:
    async with client_of(server, "grey-ann") as grey, client_of(server, "teal-bob") as teal:
        await grey.store.put_item(["notes"], "a", {"text": "grey"})
        assert (await grey.store.get_item(["notes"], "a"))["namespace"] == ["grey", "notes"]
        assert not await teal.store.get_item(["notes"], "a")


async def test_a_token_of_fiel_has_the_rights_that_stand_in_it(server: Server) -> None:
    async with client_of(server, await server.token("carl")) as carl:
        assert isinstance(await carl.assistants.search(), list)


def test_every_route_has_a_name_that_handlers_know(server: Server) -> None:
    routes = {f"{verb.upper()} {path}" for path, item in server.app.openapi()["paths"].items() for verb in item}
    assert routes - set(ACTIONS) - OPEN == set()


@pytest.mark.parametrize(
    ("metadata", "wanted", "holds"),
    [
        ({"a": 1}, {}, True),
        ({"a": 1, "b": 2}, {"a": 1}, True),
        ({"a": 1}, {"a": {"$eq": 1}}, True),
        ({"a": 2}, {"a": 1}, False),
        ({}, {"a": None}, False),
        ({"a": ["x", "y"]}, {"a": {"$contains": "x"}}, True),
        ({"a": ["x", "y"]}, {"a": {"$contains": ["x", "z"]}}, False),
        ({"a": "xyz"}, {"a": {"$contains": "x"}}, False),
        ({"a": {"b": 1}}, {"a": {"b": 1}}, True),
    ],
)
def test_filters(metadata: dict[str, Any], wanted: dict[str, Any], holds: bool) -> None:
    assert carries(metadata, wanted) is holds


def test_a_filter_never_widens_a_search() -> None:
    assert narrowed({"a": 1}, {"b": {"$contains": "x"}}) == {"a": 1, "b": ["x"]}
    for wanted in ({"a": 2}, {"a": {"$ne": 1}}, {"a": {"$eq": 1, "$or": []}}):
        with pytest.raises(AuthRefused):
            narrowed({"a": 1}, wanted)
