"""Replays over HTTP: for auditors, of one tenant, each an act, and of texts what the auditor's grants let them."""

import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from fiel.infra.bench.instant import InstantEmbedder
from fiel.infra.corpus.grants import Grants
from fiel.infra.corpus.ingest import ingest
from fiel.tools.principal import Principal, local_administrator
from tests.api.conftest import Server
from tests.graph.conftest import Models
from tests.replay_support import Recorded, recorded_in

TENANT = "audited"
READER = Principal(TENANT, "ana", frozenset(), frozenset({"reader"}))


@pytest.fixture
async def house(server: Server) -> AsyncIterator[Recorded]:
    """The service of the test with a house of its own."""
    async with recorded_in(server.service.database) as house:
        server.service.house = house.served
        yield house
        server.service.house = None


async def _ask(house: Recorded) -> str:
    run = str(uuid.uuid4())
    await house.ask(run=run, principal=READER)
    return run


async def test_an_auditor_replays_a_run_and_that_is_an_act(http: Any, house: Recorded) -> None:
    run = await _ask(house)
    async with http("eve", roles=("auditor",), tenant=TENANT) as web:
        strict = (await web.post(f"/audit/runs/{run}/replay", json={})).json()
        assert (strict["mode"], strict["identical"], strict["live_calls"]) == ("strict", True, 0)
        body = {"options": {"k": 8}, "again": ["chat"]}
        other = (await web.post(f"/audit/runs/{run}/replay", json=body)).json()
        assert (other["mode"], other["live_calls"]) == ("counterfactual", 1)
        assert other["spent"] == {"calls": 1, "input_tokens": 10, "output_tokens": 5, "cost": "0.0001"}
        acts = (await web.get("/audit/acts", params={"kind": "replay"})).json()
    assert [act["body"]["detail"]["changes"] for act in acts] == [{"again": ["chat"], "k": 8}, {}]
    assert acts[0]["body"]["detail"]["spent"] == other["spent"]
    assert {(act["subject"], act["principal"]) for act in acts} == {(run, "eve")}


async def test_nobody_else_replays_and_nothing_is_told_of_other_tenants(http: Any, house: Recorded) -> None:
    run = await _ask(house)
    path = f"/audit/runs/{run}/replay"
    for roles in (("reader",), ("administrator", "curator", "developer")):
        async with http("bob", roles=roles, tenant=TENANT) as web:
            assert (await web.post(path, json={})).status_code == 403
    async with http(None) as nobody, http("eve", roles=("auditor",), tenant="elsewhere") as other:
        assert (await nobody.post(path, json={})).status_code == 401
        strange = await other.post(path, json={})
        ghost = await other.post(f"/audit/runs/{uuid.uuid4()}/replay", json={})
        assert (strange.status_code, ghost.status_code) == (404, 404)
        assert strange.json()["detail"] == ghost.json()["detail"]
        assert (await other.get("/audit/acts", params={"kind": "replay"})).json() == []


async def test_what_cannot_be_asked_is_refused(http: Any, house: Recorded) -> None:
    run = await _ask(house)
    async with http("eve", roles=("auditor",), tenant=TENANT) as web:
        for body in (
            {"policy": "none"},
            {"options": {"colour": 1}},
            {"again": ["check"]},
            {"colour": 1},
            {"max_live": -1},
            {"max_cost": "-1"},
            {"max_cost": "NaN"},
            {"now": True, "then": True},
        ):
            assert (await web.post(f"/audit/runs/{run}/replay", json=body)).status_code == 422, body


async def test_texts_are_shown_as_grants_are_now(
    http: Any, house: Recorded, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    curator = local_administrator(TENANT)
    file = tmp_path / "notes.md"
    file.write_text("# Notes\n\nThe vault holds a word.")
    await ingest(house.database, InstantEmbedder(), [file], collection="default", principal=curator)
    ((row,),) = await house.database.read(curator, [(b"SELECT id::text AS id FROM fiel.documents", ())])
    usual = Models.passage
    monkeypatch.setattr(Models, "passage", lambda self: {**usual(self), "document": row["id"]})
    run = await _ask(house)
    house.models.text = "A kazoo."
    body = {"again": ["search"]}
    async with http("eve", roles=("auditor",), groups=("audit",), tenant=TENANT) as web:
        hidden = (await web.post(f"/audit/runs/{run}/replay", json=body)).text
        assert "kazoo" not in hidden and "xylophone" not in hidden
        await Grants(house.database).grant(curator, "default", "group:audit")
        assert "kazoo" in (await web.post(f"/audit/runs/{run}/replay", json=body)).text
