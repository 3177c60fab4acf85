"""Nobody learns of, reads, changes or counts what is another's: on every endpoint, over two tenants and many users.

What is another's looks exactly like what is not there. Two walls hold that up, the predicates of the queries and row
security; each is taken away in turn, and the other must do alone. With both away the same probes must find the hole.
"""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fiel.infra.api.routes import assistants, crons, state, store, threads
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

pytestmark = pytest.mark.slow

USERS: tuple[tuple[str, str, tuple[Role, ...]], ...] = (
    ("one", "ann", ("reader",)),
    ("one", "bob", ("administrator", "curator")),
    ("one", "eve", ("developer", "auditor")),
    ("two", "ann", ("administrator", "developer", "auditor", "curator")),
    ("two", "bob", ("reader",)),
)
"""The same names in both tenants; roles open nothing of another's."""


@dataclass(frozen=True, slots=True)
class Things:
    """Names of what one user has."""

    assistant: str = field(default_factory=lambda: str(uuid4()))
    thread: str = field(default_factory=lambda: str(uuid4()))
    checkpoint: str = field(default_factory=lambda: str(uuid4()))
    cron: str = field(default_factory=lambda: str(uuid4()))
    item: str = field(default_factory=lambda: uuid4().hex)

    def hide(self, text: str) -> str:
        """`text` with the names taken out, so that two answers can be compared."""
        for name in ("assistant", "thread", "checkpoint", "cron", "item"):
            text = text.replace(getattr(self, name), name.upper())
        return text


@dataclass(frozen=True, slots=True)
class User:
    """A user with something of each kind, and their connection."""

    web: httpx.AsyncClient
    mark: str
    """Stands in everything that is theirs."""
    things: Things


World = tuple[User, ...]
Call = Callable[[httpx.AsyncClient, Things], Awaitable[httpx.Response]]


def _call(method: str, path: str, body: Any = None, **query: Any) -> Call:
    """A request; `{thread}` and the like stand for the names of things, in the path and in the body."""

    def fill(value: Any, things: Things) -> Any:
        if isinstance(value, dict):
            return {key: fill(one, things) for key, one in value.items()}
        if isinstance(value, list):
            return [fill(one, things) for one in value]
        named = isinstance(value, str) and re.fullmatch(r"\{(\w+)\}", value)
        return getattr(things, named[1]) if named else value

    async def send(web: httpx.AsyncClient, things: Things) -> httpx.Response:
        url = re.sub(r"\{(\w+)\}", lambda name: getattr(things, name[1]), path)
        return await web.request(method, url, json=fill(body, things), params=fill(query, things))

    return send


ABOUT_ONE: dict[tuple[str, str], list[Call]] = {
    ("GET", "/assistants/{assistant_id}"): [_call("GET", "/assistants/{assistant}")],
    ("PATCH", "/assistants/{assistant_id}"): [_call("PATCH", "/assistants/{assistant}", {"name": "mine"})],
    ("DELETE", "/assistants/{assistant_id}"): [
        _call("DELETE", "/assistants/{assistant}"),
        _call("DELETE", "/assistants/{assistant}", delete_threads=True),
    ],
    ("POST", "/assistants/{assistant_id}/versions"): [_call("POST", "/assistants/{assistant}/versions", {})],
    ("POST", "/assistants/{assistant_id}/latest"): [_call("POST", "/assistants/{assistant}/latest", {"version": 1})],
    ("GET", "/assistants/{assistant_id}/graph"): [_call("GET", "/assistants/{assistant}/graph")],
    ("GET", "/assistants/{assistant_id}/schemas"): [_call("GET", "/assistants/{assistant}/schemas")],
    ("GET", "/assistants/{assistant_id}/subgraphs"): [_call("GET", "/assistants/{assistant}/subgraphs")],
    ("GET", "/assistants/{assistant_id}/subgraphs/{namespace}"): [
        _call("GET", "/assistants/{assistant}/subgraphs/inner")
    ],
    ("GET", "/threads/{thread_id}"): [_call("GET", "/threads/{thread}", include="ttl")],
    ("PATCH", "/threads/{thread_id}"): [_call("PATCH", "/threads/{thread}", {"metadata": {"x": 1}})],
    ("DELETE", "/threads/{thread_id}"): [_call("DELETE", "/threads/{thread}")],
    ("POST", "/threads/{thread_id}/copy"): [_call("POST", "/threads/{thread}/copy")],
    ("POST", "/threads/prune"): [
        _call("POST", "/threads/prune", {"thread_ids": ["{thread}"]}),
        _call("POST", "/threads/prune", {"thread_ids": ["{thread}"], "strategy": "keep_latest"}),
    ],
    ("POST", "/threads/search"): [
        _call("POST", "/threads/search", {"ids": ["{thread}"]}),
        _call("POST", "/threads/search", {"metadata": {"assistant_id": "{assistant}"}}),
    ],
    ("GET", "/threads/{thread_id}/state"): [_call("GET", "/threads/{thread}/state", subgraphs=True)],
    ("POST", "/threads/{thread_id}/state"): [
        _call("POST", "/threads/{thread}/state", {"values": {"steps": ["x"]}, "as_node": "b"}),
        _call("POST", "/threads/{thread}/state", {"values": {}, "as_node": "a", "checkpoint_id": "{checkpoint}"}),
    ],
    ("GET", "/threads/{thread_id}/state/{checkpoint_id}"): [_call("GET", "/threads/{thread}/state/{checkpoint}")],
    ("POST", "/threads/{thread_id}/state/checkpoint"): [
        _call("POST", "/threads/{thread}/state/checkpoint", {"checkpoint": {"checkpoint_id": "{checkpoint}"}})
    ],
    ("GET", "/threads/{thread_id}/storage"): [_call("GET", "/threads/{thread}/storage")],
    ("GET", "/threads/{thread_id}/history"): [_call("GET", "/threads/{thread}/history")],
    ("POST", "/threads/{thread_id}/history"): [
        _call("POST", "/threads/{thread}/history", {"before": "{checkpoint}"}),
        _call("POST", "/threads/{thread}/history", {"checkpoint": {"checkpoint_id": "{checkpoint}"}}),
    ],
    ("POST", "/threads/{thread_id}/runs/crons"): [
        _call("POST", "/threads/{thread}/runs/crons", {"assistant_id": "chain", "schedule": "@daily"})
    ],
    ("POST", "/runs/crons"): [_call("POST", "/runs/crons", {"assistant_id": "{assistant}", "schedule": "@daily"})],
    ("GET", "/runs/crons/{cron_id}"): [_call("GET", "/runs/crons/{cron}")],
    ("PATCH", "/runs/crons/{cron_id}"): [_call("PATCH", "/runs/crons/{cron}", {"enabled": False})],
    ("DELETE", "/runs/crons/{cron_id}"): [_call("DELETE", "/runs/crons/{cron}")],
    ("POST", "/runs/crons/search"): [
        _call("POST", "/runs/crons/search", {"thread_id": "{thread}"}),
        _call("POST", "/runs/crons/search", {"assistant_id": "{assistant}"}),
    ],
    ("POST", "/runs/crons/count"): [
        _call("POST", "/runs/crons/count", {"thread_id": "{thread}"}),
        _call("POST", "/runs/crons/count", {"assistant_id": "{assistant}"}),
    ],
    ("GET", "/store/items"): [_call("GET", "/store/items", namespace="{item}", key="k")],
    ("DELETE", "/store/items"): [_call("DELETE", "/store/items", {"namespace": ["{item}"], "key": "k"})],
    ("POST", "/store/items/search"): [
        _call("POST", "/store/items/search", {"namespace_prefix": ["{item}"]}),
        _call("POST", "/store/items/search", {"namespace_prefix": ["{item}"], "filter": {"n": {"$gt": 0}}}),
    ],
    ("POST", "/store/namespaces"): [_call("POST", "/store/namespaces", {"prefix": ["{item}"]})],
}
"""Requests about a thing by its name: to another user they must say what they say of a name that nobody has."""

ABOUT_ALL: dict[tuple[str, str], Call] = {
    ("POST", "/assistants/search"): _call("POST", "/assistants/search", {"limit": 1000}),
    ("POST", "/assistants/count"): _call("POST", "/assistants/count", {}),
    ("POST", "/threads/search"): _call("POST", "/threads/search", {"limit": 1000}),
    ("POST", "/threads/search values"): _call("POST", "/threads/search", {"values": {"topic": "tea"}, "limit": 1000}),
    ("POST", "/threads/count"): _call("POST", "/threads/count", {}),
    ("POST", "/threads/count values"): _call("POST", "/threads/count", {"values": {"topic": "tea"}}),
    ("POST", "/runs/crons/search"): _call("POST", "/runs/crons/search", {"limit": 1000}),
    ("POST", "/runs/crons/count"): _call("POST", "/runs/crons/count", {}),
    ("POST", "/store/items/search"): _call("POST", "/store/items/search", {"limit": 1000}),
    ("POST", "/store/namespaces"): _call("POST", "/store/namespaces", {}),
    ("GET", "/threads/{thread_id}/history"): _call("GET", "/threads/{thread}/history"),
}
"""Requests about all that a user has."""

TAKING: dict[tuple[str, str], tuple[Call, Call]] = {
    ("POST", "/assistants"): (
        _call("POST", "/assistants", {"assistant_id": "{assistant}", "graph_id": "chain"}),
        _call("DELETE", "/assistants/{assistant}"),
    ),
    ("POST", "/assistants do_nothing"): (
        _call("POST", "/assistants", {"assistant_id": "{assistant}", "graph_id": "chain", "if_exists": "do_nothing"}),
        _call("DELETE", "/assistants/{assistant}"),
    ),
    ("POST", "/threads"): (
        _call("POST", "/threads", {"thread_id": "{thread}", "metadata": {"graph_id": "chain"}}),
        _call("DELETE", "/threads/{thread}"),
    ),
    ("POST", "/threads do_nothing"): (
        _call("POST", "/threads", {"thread_id": "{thread}", "if_exists": "do_nothing"}),
        _call("DELETE", "/threads/{thread}"),
    ),
    ("PUT", "/store/items"): (
        _call("PUT", "/store/items", {"namespace": ["{item}"], "key": "k", "value": {"n": 5}}),
        _call("DELETE", "/store/items", {"namespace": ["{item}"], "key": "k"}),
    ),
}
"""Making something under a name that another has, and taking it away again: both must work, for oneself."""


def test_no_endpoint_is_forgotten() -> None:
    """Every endpoint of these routers stands in one of the tables above."""
    routers = (assistants.router, crons.router, state.router, store.router, threads.router)
    served = {
        (method, route.path)  # type: ignore[attr-defined]
        for router in routers
        for route in router.routes
        for method in route.methods  # type: ignore[attr-defined]
    }
    assert len(served) > 30
    assert served - set(ABOUT_ONE) - set(ABOUT_ALL) - set(TAKING) == set()


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
    item = uuid4().hex
    await post("/store/items", {"namespace": [item], "key": "k", "value": {"mark": mark, "n": 1}, "ttl": 60}, "PUT")
    things = Things(
        assistant=assistant["assistant_id"],
        thread=thread["thread_id"],
        checkpoint=history[0]["checkpoint"]["checkpoint_id"],
        cron=cron["cron_id"],
        item=item,
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
    assert (answer.status_code, victim.things.hide(answer.text)) == (nothing.status_code, ghost.hide(nothing.text))


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
        assert not any(getattr(victim.things, name) in text for name in ("assistant", "thread", "cron", "item"))
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


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
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
