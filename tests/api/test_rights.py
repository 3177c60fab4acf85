"""Runs that begin later than they were asked for have the rights that who asked has when they begin."""

import uuid
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from fiel.infra.runs import orders
from fiel.tools.principal import Principal, local_administrator
from tests.api.conftest import Server
from tests.api.graphs import PlainHost, plain_host
from tests.conftest import Urls


@pytest.fixture
async def host(database_urls: Urls) -> AsyncIterator[PlainHost]:
    async with plain_host(database_urls) as opened:
        yield opened


async def test_a_run_that_waited_has_the_rights_of_now(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A right that has gone meanwhile is not used; one who has none any more runs nothing."""
    monkeypatch.setattr(orders, "WAITED", 0.0)
    seen: list[frozenset[str]] = []
    tenant = f"t-{uuid.uuid4()}"
    people = server.service.authenticator.people
    boss = local_administrator(tenant)
    run = server.service.engine.host.run

    def watched(order: Any) -> Any:
        seen.append(order.caller.principal.groups)
        return run(order)

    monkeypatch.setattr(type(server.service.engine.host), "run", lambda _, order: watched(order))
    await people.add_group(boss, "finance")
    await people.add_user(boss, "ana", groups=["finance"])
    tokens = server.service.authenticator.tokens
    asking, made = await tokens.create(local_administrator(tenant), Principal(tenant, "ana"))
    reading, _ = await tokens.create(local_administrator(tenant), Principal(tenant, "ana"))

    async def later() -> str:
        thread = (await web.post("/threads", json={})).json()["thread_id"]
        order = {"assistant_id": "chain", "input": {}, "after_seconds": 1}
        begun = await web.post(f"/threads/{thread}/runs", json=order, headers={"Authorization": f"Bearer {asking}"})
        assert begun.status_code == 200, begun.text
        return f"/threads/{thread}/runs/{begun.json()['run_id']}"

    async with httpx.AsyncClient(
        base_url=server.url, headers={"Authorization": f"Bearer {reading}"}, timeout=60
    ) as web:
        place = await later()
        await people.remove_members(boss, "finance", ["ana"])
        await web.get(f"{place}/join", timeout=20)
        assert seen == [frozenset()]
        place = await later()
        await tokens.revoke(local_administrator(tenant), made.id)
        await web.get(f"{place}/join", timeout=20)
        assert (await web.get(place)).json()["status"] == "error"
        assert seen == [frozenset()]
