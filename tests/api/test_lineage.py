"""Lineage over HTTP: what the functions say, to whom they say it."""

import uuid
from typing import Any

import numpy as np
import pytest

from fiel.infra.corpus.bulk import Bulk
from fiel.infra.ledger.sealing import Sealing
from fiel.infra.ledger.subjects import SubjectKeys, erase_key
from fiel.infra.lineage.index import Indexing
from fiel.tools.principal import Principal, local_administrator
from fiel.tools.search.memory import Stored
from tests.api.conftest import Server
from tests.lineage import Runs

ANA = Principal("default", "ana", frozenset({"red"}), frozenset({"reader"}))


@pytest.fixture
def runs(server: Server) -> Runs:
    database = server.service.database
    return Runs(database, SubjectKeys(database.system, server.service.cipher))


async def filled(runs: Runs) -> tuple[Stored, list[str]]:
    """A document, and two runs of ana's that cite it."""
    ids = [str(uuid.uuid4()) for _ in range(3)]
    facts: dict[str, Any] = {"vector": np.ones(3, dtype=np.float32), "acl": frozenset({"red"}), "model": "m", "end": 5}
    one = Stored(*ids, text="xenon", uri="x y.md", language="en", **facts)
    await Bulk(runs.database.acting, local_administrator()).put("c", [one])
    made = [await runs.answered(ANA, [one], [[one], [one]]) for _ in range(2)]
    await Sealing(runs.database.system).drain()
    await Indexing(runs.database.system, runs.keys).catch_up()
    return one, made


async def test_both_ways(http: Any, runs: Runs) -> None:
    one, made = await filled(runs)
    async with http("ana", groups=("red",)) as web:
        answer = await web.get("/lineage/documents", params={"document": one.uri, "limit": 1})
        assert answer.status_code == 200, answer.text
        assert answer.headers["x-pagination-next"] == "1"
        (found,) = answer.json()["runs"]
        assert (found["run"] in made, found["sentences"], found["version"]) == (True, [1, 2], one.version)
        both = await web.get("/lineage/documents", params={"document": one.document, "used": "cited"})
        assert {run["run"] for run in both.json()["runs"]} == set(made)
        other = {"document": one.document, "version": str(uuid.uuid4())}
        assert (await web.get("/lineage/documents", params=other)).json()["runs"] == []
        value = (await web.get(f"/lineage/runs/{made[0]}", params={"sentence": 2})).json()
        assert [sentence["text"] for sentence in value["sentences"]] == ["It is said that xenon"]
        assert value["sentences"][0]["sources"][0]["uri"] == one.uri
        for query in ({"document": ""}, {"document": one.uri, "used": "seen"}, {"document": one.uri, "version": "1"}):
            assert (await web.get("/lineage/documents", params=query)).status_code == 422
        for sentence in (0, 3):
            assert (await web.get(f"/lineage/runs/{made[0]}", params={"sentence": sentence})).status_code == 422


@pytest.mark.parametrize("tenant", ["default", "other"])
async def test_what_is_anothers_looks_like_what_is_not_there(http: Any, runs: Runs, tenant: str) -> None:
    one, (run, _) = await filled(runs)
    ghost = str(uuid.uuid4())
    rights = {"roles": ("reader",)} if tenant == "default" else {"roles": ("administrator", "auditor")}
    async with http("eve", tenant=tenant, **rights) as web, http(None) as nobody:
        for path, name in (("/lineage/runs/{}", run), ("/lineage/documents?document={}", one.document)):
            there, absent = [await web.get(path.format(which)) for which in (name, ghost)]
            assert (there.status_code, absent.status_code) == (404, 404)
            assert there.text.replace(name, ghost) == absent.text
            assert (await nobody.get(path.format(name))).status_code == 401


async def test_what_was_erased_is_gone(http: Any, runs: Runs) -> None:
    one, (run, _) = await filled(runs)
    async with runs.database.system() as connection:
        await erase_key(connection, "default", "ana")
    async with http("aud", roles=("auditor",), groups=("red",)) as web:
        answer = await web.get(f"/lineage/runs/{run}")
        assert (answer.status_code, answer.json()["code"]) == (410, "key_erased")
        assert (await web.get("/lineage/documents", params={"document": one.uri})).json()["runs"] == []
