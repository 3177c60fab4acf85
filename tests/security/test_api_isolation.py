"""Nobody learns of, reads, changes or counts what is another's: on every endpoint, over two tenants and many users.

What is another's looks exactly like what is not there. Two walls hold that up, the predicates of the queries and row
security; each is taken away in turn, and the other must do alone. With both away the same probes must find the hole.
"""

import contextlib
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any
from uuid import uuid4

import httpx
import orjson
import psycopg
import pytest
import websockets
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.routing import WebSocketRoute

from fiel.infra.api.app import create
from fiel.infra.api.routes import NAMES
from fiel.infra.runs import assistants as assistants_module
from fiel.infra.runs import crons as crons_module
from fiel.infra.runs import items as items_module
from fiel.infra.runs import states as states_module
from fiel.infra.runs import threads as threads_module
from fiel.infra.settings import Settings
from fiel.tools.principal import Role
from fiel.tools.sql import load
from tests.api.conftest import serving
from tests.api.graphs import plain_host
from tests.conftest import Urls
from tests.security.isolated import (
    ABOUT_ALL,
    ABOUT_ONE,
    ELSEWHERE,
    NAMED,
    NAMELESS,
    STREAMS,
    TAKING,
    TENANT,
    Call,
    Things,
    told,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

USERS: tuple[tuple[str, str, tuple[Role, ...]], ...] = (
    ("one", "ann", ("reader",)),
    ("one", "bob", ("administrator", "curator")),
    ("one", "eve", ("developer", "auditor")),
    ("two", "ann", ("administrator", "developer", "auditor", "curator")),
    ("two", "bob", ("reader",)),
)
"""The same names in both tenants; roles open nothing of another's."""


@dataclass(frozen=True, slots=True)
class User:
    """A user with something of each kind, and their connection."""

    web: httpx.AsyncClient
    mark: str
    """Stands in everything that is theirs."""
    things: Things


World = tuple[User, ...]


def test_no_endpoint_is_forgotten() -> None:
    """Every one that the application has, or will have, stands in one of the tables."""
    app = create(Settings(), lambda: contextlib.nullcontext(Any))
    served = {(method.upper(), path) for path, methods in app.openapi()["paths"].items() for method in methods}
    routers = [import_module(f"fiel.infra.api.routes.{name}").router for name in NAMES]
    sockets = [route for router in routers for route in router.routes if isinstance(route, WebSocketRoute)]
    served |= {("WEBSOCKET", route.path) for route in sockets}
    assert len(served) > 95
    told = {*ABOUT_ONE, *ABOUT_ALL, *TAKING, *STREAMS, *TENANT, *ELSEWHERE, *NAMELESS}
    assert served - told == set()
    assert {(method, path) for method, path in told if " " not in path} - served == {("GET", "/docs")}
    assert all((Path(__file__).parent / file).exists() for file in ELSEWHERE.values())


@asynccontextmanager
async def a_world(urls: Urls, home: Path) -> AsyncIterator[World]:
    """A service, and users who each have one of everything."""
    async with plain_host(urls) as host, serving(Settings(home=str(home), rate=0), urls, host) as server:
        users = []
        try:
            for tenant, name, roles in USERS:
                token = await server.token(name, roles, tenant=tenant)
                web = httpx.AsyncClient(base_url=server.url, headers={"Authorization": f"Bearer {token}"}, timeout=30.0)
                users.append(await _settle(web, f"mark-{tenant}-{name}-{uuid4().hex[:8]}"))
            yield tuple(users)
        finally:
            for user in users:
                await user.web.aclose()


async def _settle(web: httpx.AsyncClient, mark: str) -> User:
    """Make one of everything."""

    async def post(path: str, body: Any, method: str = "POST") -> Any:
        answer = await web.request(method, path, json=body)
        assert answer.status_code in (200, 204), answer.text
        return answer.json() if answer.content else None

    assistant = await post("/assistants", {"graph_id": "chain", "name": mark, "metadata": {"mark": mark}})
    steps = [{"updates": [{"values": {"steps": [mark], "topic": "tea"}, "as_node": "a"}]}]
    metadata = {"graph_id": "chain", "mark": mark, "assistant_id": assistant["assistant_id"]}
    thread = await post("/threads", {"metadata": metadata, "supersteps": steps, "ttl": {"ttl": 60}})
    history = (await web.get(f"/threads/{thread['thread_id']}/history")).json()
    body = {"assistant_id": assistant["assistant_id"], "schedule": "@daily", "input": {"topic": mark}}
    cron = await post(f"/threads/{thread['thread_id']}/runs/crons", body)
    await post(f"/threads/{thread['thread_id']}/runs/wait", {"assistant_id": "chain", "input": {"topic": "tea"}})
    (run,) = (await web.get(f"/threads/{thread['thread_id']}/runs")).json()
    item = uuid4().hex
    await post("/store/items", {"namespace": [item], "key": "k", "value": {"mark": mark, "n": 1}, "ttl": 60}, "PUT")
    things = Things(
        assistant=assistant["assistant_id"],
        thread=thread["thread_id"],
        checkpoint=history[0]["checkpoint"]["checkpoint_id"],
        cron=cron["cron_id"],
        item=item,
        run=run["run_id"],
    )
    return User(web, mark, things)


async def everything(user: User) -> list[str]:
    """All that a user has, as they see it."""
    return [(await call(user.web, user.things)).text for call in ABOUT_ALL.values()]


async def probe_one(attacker: User, victim: User, *calls: Call) -> None:
    """What is another's looks like what is not there, and stays as it is."""
    before = await everything(victim)
    for call in calls:
        await _probe(attacker, victim, call)
    assert await everything(victim) == before


async def _probe(attacker: User, victim: User, call: Call) -> None:
    answer = await call(attacker.web, victim.things)
    ghost = Things()
    nothing = await call(attacker.web, ghost)
    assert victim.mark not in answer.text
    assert told(answer, victim.things) == told(nothing, ghost)


async def probe_taking(attacker: User, victim: User, calls: tuple[Call, Call]) -> None:
    """Another's name is free for one's own."""
    before = await everything(victim)
    for call in calls:
        answer = await call(attacker.web, victim.things)
        assert answer.status_code in (200, 204), answer.text
        assert victim.mark not in answer.text
    assert await everything(victim) == before


async def probe_all(attacker: User, victim: User) -> None:
    """Lists and counts hold what is one's own."""
    for text in await everything(attacker):
        assert victim.mark not in text
        assert not any(getattr(victim.things, name) in text for name in NAMED if name != "checkpoint")
    counts = [(await ABOUT_ALL["POST", path](attacker.web, attacker.things)).text for path in _COUNTS]
    assert counts == ["4", "1", "1", "1"], "three assistants are the system's"


_COUNTS = ("/assistants/count", "/threads/count", "/threads/count values", "/runs/crons/count")


async def probe_everything(world: World) -> None:
    """Every probe, on the same name in another tenant, and on another in the same."""
    for attacker, victim in ((world[0], world[3]), (world[1], world[2])):
        await probe_one(attacker, victim, *(call for calls in ABOUT_ONE.values() for call in calls))
        for pair in TAKING.values():
            await probe_taking(attacker, victim, pair)
        await probe_all(attacker, victim)


@pytest.fixture
async def world(database_urls: Urls, tmp_path: Path) -> AsyncIterator[World]:
    async with a_world(database_urls, tmp_path / "home") as made:
        yield made


_people = st.permutations(range(len(USERS))).map(lambda order: order[:2])


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(people=_people, which=st.sampled_from([call for calls in ABOUT_ONE.values() for call in calls]))
async def test_anothers_thing_looks_like_none(world: World, people: list[int], which: Call) -> None:
    await probe_one(world[people[0]], world[people[1]], which)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(people=_people, which=st.sampled_from(list(TAKING.values())))
async def test_anothers_name_is_free(world: World, people: list[int], which: tuple[Call, Call]) -> None:
    await probe_taking(world[people[0]], world[people[1]], which)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(people=_people)
async def test_lists_and_counts_hold_ones_own(world: World, people: list[int]) -> None:
    await probe_all(world[people[0]], world[people[1]])


async def test_the_owner_finds_what_others_do_not(world: World) -> None:
    """So that no probe passes because it asks for nothing."""
    looking = [call for (method, path), calls in ABOUT_ONE.items() for call in calls if method == "GET"]
    endless = ABOUT_ONE["GET", "/threads/{thread_id}/stream"]
    for look in looking:
        if look not in endless:
            answer = await look(world[0].web, world[0].things)
            assert answer.status_code in (200, 422), f"{answer.request.url}: {answer.text}"  # 422: no such subgraph


async def _told(events: AsyncIterator[str]) -> str:
    """What a stream says until a run has ended."""
    said = []
    async for piece in events:
        said.append(piece)
        if '"event":"completed"' in piece:
            return "\n".join(said)
    raise AssertionError("the stream has ended")


async def _sent(web: httpx.AsyncClient, at: str) -> AsyncIterator[str]:
    async with web.stream("POST", f"{at}/stream/events", json={"channels": CHANNELS, "since": 0}) as answer:
        async for line in answer.aiter_lines():
            yield line


async def _socketed(web: httpx.AsyncClient, at: str) -> AsyncIterator[str]:
    address = f"{str(web.base_url).replace('http', 'ws').rstrip('/')}{at}/stream/events"
    headers = {"Authorization": web.headers["authorization"]}
    async with websockets.connect(address, additional_headers=headers) as socket:
        params = {"channels": CHANNELS, "since": 0}
        await socket.send(orjson.dumps({"id": 1, "method": "subscription.subscribe", "params": params}).decode())
        async for piece in socket:
            yield str(piece)


CHANNELS = ["lifecycle", "values", "updates", "custom", "checkpoints"]


@pytest.mark.parametrize("transport", [_sent, _socketed], ids=["events", "socket"])
async def test_a_stream_of_anothers_thread_tells_of_ones_own(world: World, transport: Any) -> None:
    """Under the same name one has a thread of one's own, and hears of nothing else."""
    for attacker, victim in ((world[0], world[3]), (world[1], world[2])):
        before, at = await everything(victim), f"/threads/{victim.things.thread}"
        start = {"id": 1, "method": "run.start", "params": {"assistant_id": "chain", "input": {"topic": attacker.mark}}}
        told = await attacker.web.post(f"{at}/commands", json=start)
        assert told.json()["type"] == "success", told.text
        async with contextlib.aclosing(transport(attacker.web, at)) as events:
            heard = await _told(events)
        assert attacker.mark in heard
        assert victim.mark not in heard and victim.things.run not in heard
        (run,) = (await attacker.web.get(f"{at}/runs")).json()
        assert run["run_id"] == told.json()["result"]["run_id"]
        assert (await attacker.web.delete(at)).status_code == 204
        assert await everything(victim) == before


# The two walls

_PREDICATE = re.compile(r"(\w+\.)?tenant = %\(tenant\)s AND (\w+\.)?owner = %\(owner\)s")
_MODULES = (assistants_module, crons_module, items_module, states_module, threads_module)
TABLES = ("assistants", "assistant_versions", "threads", "thread_runs", "run_events", "crons", "items")


def _without_predicates(package: str, file: str) -> Mapping[str, str]:
    """The queries of a file, for anybody's rows."""
    queries = {name: _PREDICATE.sub("true", query) for name, query in load(package, file).items()}
    assert not any("tenant = %" in query for query in queries.values())
    return MappingProxyType(queries)


def _row_security_off(urls: Urls) -> None:
    with psycopg.connect(urls.owner) as connection:
        connection.execute("SET ROLE fiel_owner")
        for table in TABLES:
            connection.execute(f"ALTER TABLE fiel.{table} DISABLE ROW LEVEL SECURITY")


def _predicates_off(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in _MODULES:
        monkeypatch.setattr(module, "load", _without_predicates)


async def test_row_security_alone_holds(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    _predicates_off(monkeypatch)
    await probe_everything(world)


async def test_predicates_alone_hold(world: World, database_urls: Urls) -> None:
    _row_security_off(database_urls)
    await probe_everything(world)


async def test_without_both_walls_the_probes_find_the_hole(
    world: World, database_urls: Urls, monkeypatch: pytest.MonkeyPatch
) -> None:
    _predicates_off(monkeypatch)
    _row_security_off(database_urls)
    for probe in (
        probe_one(world[0], world[3], ABOUT_ONE["GET", "/assistants/{assistant_id}"][0]),
        probe_one(world[0], world[3], ABOUT_ONE["PATCH", "/assistants/{assistant_id}"][0]),
        probe_one(world[0], world[3], ABOUT_ONE["GET", "/runs/crons/{cron_id}"][0]),
        probe_one(world[0], world[3], ABOUT_ONE["DELETE", "/threads/{thread_id}"][0]),
        probe_all(world[0], world[1]),
    ):
        with pytest.raises(AssertionError):
            await probe


def test_every_table_with_an_owner_has_both_walls(database_urls: Urls) -> None:
    """Whatever names an owner is behind row security, also what the API gets later."""
    with psycopg.connect(database_urls.owner) as connection:
        rows = connection.execute(
            "SELECT c.relname, c.relrowsecurity AND c.relforcerowsecurity"
            "  FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid"
            " WHERE c.relnamespace = 'fiel'::regnamespace AND c.relkind = 'r' AND a.attname = 'owner'"
        ).fetchall()
    assert {name for name, walled in rows if walled} >= set(TABLES)
    assert {name for name, walled in rows if not walled} == {"run_claims", "deadlines"}, "ids only, by design"
