"""What belongs to a tenant: people, grants, the ledger, lineage, reviews.

To another tenant, with whatever roles, and to readers of the same tenant who have no part in it, it looks like what is
not there, and stays as it is.
"""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import httpx
import numpy as np
import pytest

from fiel.infra.callers import KEY, RUN
from fiel.infra.corpus.bulk import Bulk
from fiel.infra.ledger.sealing import Sealing
from fiel.infra.ledger.subjects import SubjectKeys
from fiel.infra.lineage.index import Indexing
from fiel.infra.runs.reviews import KeptReviews
from fiel.infra.runs.sealed import Sealer
from fiel.infra.settings import Settings
from fiel.tools.principal import ROLES, Principal, local_administrator
from fiel.tools.review import Case
from fiel.tools.search.memory import Stored
from fiel.tools.search.postgres import PostgresSearch
from tests.api.conftest import Server, serving
from tests.api.graphs import plain_host
from tests.conftest import Urls
from tests.lineage import Runs
from tests.replay_support import recorded_in
from tests.security.isolated import OF_EACH, TENANT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

OWNER = Principal("one", "ann", frozenset({"red"}), frozenset({"reader"}))


@dataclass(frozen=True, slots=True)
class Names:
    """What can be named of a tenant; by default what nobody has."""

    user: str
    group: str
    collection: str
    document: str
    uri: str
    run: str
    review: str

    @classmethod
    def fresh(cls) -> "Names":
        ids = [str(uuid4()) for _ in range(3)]
        words = [f"{kind}-{uuid4().hex[:12]}" for kind in ("user", "group", "collection", "uri")]
        return cls(words[0], words[1], words[2], ids[0], f"{words[3]}.md", ids[1], ids[2])

    def fill(self, value: Any) -> Any:
        """`{user}` and the like, replaced."""
        if isinstance(value, dict):
            return {key: self.fill(one) for key, one in value.items()}
        if isinstance(value, list):
            return [self.fill(one) for one in value]
        return value.format(**self.every()) if isinstance(value, str) else value

    def every(self) -> dict[str, str]:
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def hide(self, text: str) -> str:
        """`text` without these names, and without what differs from one answer to the next."""
        for name, value in self.every().items():
            text = text.replace(value, name.upper())
        text = re.sub(r"\d{4}-\d\d-\d\dT[0-9:.+Z-]+", "TIME", text)
        return re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "ID", text)


@dataclass(frozen=True, slots=True)
class Ask:
    """One request about something that has a name."""

    method: str
    path: str
    query: Mapping[str, str] | None = None
    body: Any = None

    async def __call__(self, web: httpx.AsyncClient, names: Names) -> httpx.Response:
        query, body = names.fill(dict(self.query or {})), names.fill(self.body)
        return await web.request(self.method, names.fill(self.path), params=query, json=body)


DECISION = {"decision": "approve", "digest": "0" * 64}
NAMING: dict[tuple[str, str], list[Ask]] = {
    ("GET", "/users/{user}"): [Ask("GET", "/users/{user}")],
    ("PUT", "/users/{user}"): [Ask("PUT", "/users/{user}", body={"groups": ["{group}"]})],
    ("DELETE", "/users/{user}"): [Ask("DELETE", "/users/{user}")],
    ("GET", "/groups/{group}"): [Ask("GET", "/groups/{group}")],
    ("PUT", "/groups/{group}"): [
        Ask("PUT", "/groups/{group}", body={"add": ["{user}"]}),
        Ask("PUT", "/groups/{group}", body={"remove": ["{user}"]}),
    ],
    ("DELETE", "/groups/{group}"): [Ask("DELETE", "/groups/{group}")],
    ("PUT", "/grants"): [
        Ask("PUT", "/grants", body={"target": target, "to": "everyone"}) for target in ("{document}", "{collection}")
    ],
    ("DELETE", "/grants"): [
        Ask("DELETE", "/grants", {"target": target, "to": "user:{user}"}) for target in ("{document}", "{collection}")
    ],
    ("GET", "/grants/explain"): [Ask("GET", "/grants/explain", {"user": "{user}", "document": "{document}"})],
    ("GET", "/audit/runs"): [Ask("GET", "/audit/runs", {"caller": "{user}"})],
    ("GET", "/audit/runs/{run_id}"): [Ask("GET", "/audit/runs/{run}")],
    ("POST", "/audit/runs/{run_id}/replay"): [Ask("POST", "/audit/runs/{run}/replay", body={})],
    ("GET", "/audit/acts"): [Ask("GET", "/audit/acts", {"kind": "user_change", "subject": "{user}"})],
    ("POST", "/audit/export"): [Ask("POST", "/audit/export", body={"run": "{run}"})],
    ("POST", "/audit/erasures"): [Ask("POST", "/audit/erasures", body={"subject": "{user}"})],
    ("GET", "/lineage/documents"): [
        Ask("GET", "/lineage/documents", {"document": document}) for document in ("{document}", "{uri}")
    ],
    ("GET", "/lineage/runs/{run_id}"): [Ask("GET", "/lineage/runs/{run}")],
    ("GET", "/fiel/runs/{run}/trace"): [Ask("GET", "/fiel/runs/{run}/trace")],
    ("POST", "/runs/{run_id}/feedback"): [Ask("POST", "/runs/{run}/feedback", body={"score": 1})],
    ("GET", "/reviews/{review_id}"): [Ask("GET", "/reviews/{review}")],
    ("POST", "/reviews/{review_id}"): [Ask("POST", "/reviews/{review}", body=DECISION)],
}
LISTING = {
    ("GET", "/users"): Ask("GET", "/users"),
    ("GET", "/groups"): Ask("GET", "/groups"),
    ("GET", "/audit/runs"): Ask("GET", "/audit/runs"),
    ("GET", "/audit/acts"): Ask("GET", "/audit/acts"),
    ("GET", "/audit/verify"): Ask("GET", "/audit/verify"),
    ("POST", "/audit/export"): Ask("POST", "/audit/export", body={}),
    ("GET", "/reviews"): Ask("GET", "/reviews", {"status": "any"}),
}
LOOKING = [
    *(Ask("GET", path) for path in ("/users/{user}", "/groups/{group}", "/lineage/runs/{run}", "/reviews/{review}")),
    Ask("GET", "/grants/explain", {"user": "{user}", "document": "{document}"}),
    Ask("GET", "/lineage/documents", {"document": "{document}"}),
    Ask("GET", "/users"),
    Ask("GET", "/groups"),
    Ask("GET", "/audit/runs"),
    Ask("GET", "/reviews", {"status": "any"}),
]
"""How those whose it is see all of it."""


def test_nothing_that_belongs_to_a_tenant_is_forgotten() -> None:
    assert set(TENANT) <= {*NAMING, *LISTING}


async def settled(server: Server) -> Names:
    """A tenant with one of everything."""
    names, database = Names.fresh(), server.service.database
    async with caller(server, "one", "root", ROLES) as root:
        for ask in (Ask("PUT", "/groups/{group}", body={}), *NAMING["PUT", "/users/{user}"]):
            assert (await ask(root, names)).status_code == 200
    facts: dict[str, Any] = {"vector": np.ones(3, dtype=np.float32), "acl": frozenset({"red"}), "model": "m", "end": 5}
    ids = (names.document, str(uuid4()), str(uuid4()))
    one = Stored(*ids, text="xenon", uri=names.uri, language="en", **facts)
    await Bulk(database.acting, local_administrator("one")).put(names.collection, [one])
    keys = SubjectKeys(database.system, server.service.cipher)
    run = await Runs(database, keys).answered(OWNER, [one], [[one]])
    await Sealing(database.system).drain()
    await Indexing(database.system, keys).catch_up()
    return Names(**{**names.every(), "run": run, "review": await reviewed(server, names.collection)})


async def reviewed(server: Server, collection: str) -> str:
    """A review of a run of the owner's."""
    async with caller(server, "one", OWNER.id, ("reader",)) as web:
        thread = (await web.post("/threads", json={})).json()["thread_id"]
        await web.post(f"/threads/{thread}/runs/wait", json={"assistant_id": "chain", "input": {}})
        (run,) = (await web.get(f"/threads/{thread}/runs")).json()
    case = Case(run["run_id"], "output", "0" * 64, "sensitive", "default", collection, "en", {"question": collection})
    kept = KeptReviews(server.service.database, Sealer(server.service.cipher), 1.0)
    review = await kept.ask({"configurable": {KEY: OWNER, RUN: run["run_id"]}}, case)
    assert review is not None
    return review


@asynccontextmanager
async def caller(server: Server, tenant: str, user: str, roles: Any, *groups: str) -> AsyncIterator[httpx.AsyncClient]:
    token = await server.token(user, tuple(roles), groups, tenant)
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=server.url, headers=headers, timeout=60) as web:
        yield web


@pytest.fixture
async def server(database_urls: Urls, tmp_path: Path) -> AsyncIterator[Server]:
    settings = Settings(home=str(tmp_path / "home"), rate=0)
    async with (
        plain_host(database_urls) as host,
        serving(settings, database_urls, host) as opened,
        recorded_in(opened.service.database) as house,
    ):
        database = opened.service.database
        index = PostgresSearch(database.read, model="m", dimensions=3)
        corpus = SimpleNamespace(database=database, index=index)
        parts = {"recorder": house.recorder, "services": house.services, "policies": house.policies, "corpus": corpus}
        opened.service.house = SimpleNamespace(**parts)  # type: ignore[assignment]
        yield opened
        opened.service.house = None


async def seen(web: httpx.AsyncClient, names: Names) -> list[str]:
    """All of it, as its own tenant sees it."""
    answers = [await ask(web, names) for ask in LOOKING]
    assert [answer.status_code for answer in answers] == [200] * len(answers), [one.text for one in answers]
    return [answer.text for answer in answers]


def told_by(answer: httpx.Response, names: Names) -> tuple[int, Any, dict[str, str]]:
    """What an answer says, headers and all, whatever it was called; of an export, which has more seals each time, its
    kinds of lines. The length follows from the body, in which times are not equally long.
    """
    aside = {*OF_EACH, "content-length"}
    headers = {name: names.hide(value) for name, value in answer.headers.items() if name not in aside}
    if answer.request.url.path == "/audit/export":
        return answer.status_code, set(re.findall(r'"t":"(\w+)"', answer.text)), headers
    return answer.status_code, names.hide(answer.text), headers


@pytest.mark.parametrize(
    ("tenant", "roles"),
    [("two", tuple(ROLES)), ("one", ("reader",))],
    ids=["another tenant with every role", "a reader of the same tenant"],
)
async def test_what_is_anothers_looks_like_what_is_not_there(server: Server, tenant: str, roles: Any) -> None:
    names, ghost = await settled(server), Names.fresh()
    async with caller(server, "one", "root", ROLES, "red") as root, caller(server, tenant, "eve", roles) as eve:
        before = await seen(root, names)
        for route, asks in NAMING.items():
            for ask in asks:
                there, absent = await ask(eve, names), await ask(eve, ghost)
                assert told_by(there, names) == told_by(absent, ghost), route
                assert there.status_code < 500, (route, there.text)
        for route, ask in LISTING.items():
            answer = await ask(eve, names)
            named = {value for value in names.every().values() if value in answer.text}
            # The acts of eve's own tenant say what eve has asked for, by the names that eve gave.
            assert not named or (route in OWN_ACTS and tenant == "two"), route
            assert not [word for word in ("xenon", '"root"', '"ann"') if word in answer.text], route
        assert await seen(root, names) == before


OWN_ACTS = {("GET", "/audit/acts"), ("POST", "/audit/export")}
