"""What runs cost is noted, and runs end where it is too much."""

import dataclasses
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import httpx
import pytest

from fiel.infra.api.spend import MeteredHost, Spend, SpendReached, until_midnight
from fiel.infra.database.connect import Database
from fiel.infra.settings import Settings
from fiel.tools.principal import Principal
from tests.api.conftest import Server, serving
from tests.conftest import Urls
from tests.graph.conftest import House, house  # noqa: F401

ANN, BOB = (Principal("default", name, frozenset(), frozenset({"reader"})) for name in ("ann", "bob"))
USAGE = {"input_tokens": 10, "output_tokens": 5, "cost": "0.000100"}


async def test_costs_add_up_for_each_owner(database: Database) -> None:
    spend = Spend(database, Decimal("0.0002"))
    await spend.charge(ANN, USAGE)
    await spend.check(ANN)
    await spend.charge(ANN, USAGE)
    assert await spend.today(ANN) == Decimal("0.0002")
    with pytest.raises(SpendReached, match=r"have cost 0\.0002 today, and may cost 0\.0002"):
        await spend.check(ANN)
    await spend.check(BOB)
    assert await spend.today(BOB) == 0


async def test_without_a_limit_costs_are_noted_and_nothing_is_refused(database: Database) -> None:
    spend = Spend(database, Decimal(0))
    await spend.charge(ANN, {**USAGE, "cost": "1000000"})
    await spend.check(ANN)
    assert await spend.today(ANN) == 1_000_000


@pytest.mark.parametrize(
    ("now", "seconds"), [(datetime(2026, 1, 1, 23, 59, 59, tzinfo=UTC), 2), (datetime(2026, 1, 1, tzinfo=UTC), 86401)]
)
def test_a_day_ends_at_midnight(now: datetime, seconds: int) -> None:
    assert until_midnight(now) == seconds


@pytest.fixture
async def server(
    service_settings: Settings,
    database_urls: Urls,
    house: House,  # noqa: F811
) -> AsyncIterator[Server]:
    settings = dataclasses.replace(service_settings, spend=0.00015)

    async def made() -> Any:
        return house.graph

    async with Database(database_urls.runtime, size=2) as database:
        host = MeteredHost(made, Spend(database, Decimal("0.00015")))
        async with serving(settings, database_urls, host) as started:
            yield started


async def test_whoever_has_spent_enough_is_told_when_to_come_back(server: Server) -> None:
    ann, bob = [{"Authorization": f"Bearer {await server.token(user)}"} for user in ("ann", "bob")]
    body = {"model": "answer", "messages": [{"role": "user", "content": "What does the vault hold?"}]}
    async with httpx.AsyncClient(base_url=server.url, timeout=20) as web:
        answers = [await web.post("/v1/chat/completions", json=body, headers=ann) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert answers[2].json()["error"]["code"] == "spend_reached"
        assert 0 < int(answers[2].headers["retry-after"]) <= 86401
        assert (await web.get("/v1/models", headers=ann)).status_code == 200, "only runs cost"
        assert (await web.post("/v1/chat/completions", json=body, headers=bob)).status_code == 200
