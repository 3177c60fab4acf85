"""Crons as clients of the protocol use them, and when they fire."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from langgraph_sdk.errors import APIStatusError, BadRequestError, NotFoundError

from fiel.infra.api.routes.resources import crons_of
from fiel.infra.runs import chores
from fiel.infra.runs.names import system_assistant
from fiel.infra.runs.schedule import BadSchedule, following
from fiel.tools.principal import Principal
from tests.api.graphs import PlainHost, plain_host
from tests.conftest import Urls

ANN = Principal("default", "ann")
CHAIN = str(system_assistant("chain"))


@pytest.fixture
async def host(database_urls: Urls) -> AsyncIterator[PlainHost]:
    async with plain_host(database_urls) as opened:
        yield opened


@pytest.fixture(autouse=True)
def nobody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server takes no cron that a test has made due: the tests themselves look."""
    monkeypatch.setattr(chores, "CRONS", 3600.0)


async def test_created_read_changed_deleted(client, http) -> None:
    ann = await client()
    made = await ann.crons.create(
        "chain",
        schedule="*/5 * * * *",
        input={"topic": "tea"},
        metadata={"team": "blue"},
        config={"recursion_limit": 9},
        interrupt_before=["b"],
        stream_mode="updates",
        timezone="Europe/Berlin",
    )
    assert made["assistant_id"] == made["payload"]["assistant_id"] == CHAIN
    assert made["payload"]["input"] == {"topic": "tea"}
    assert made["payload"]["interrupt_before"] == ["b"]
    assert (made["thread_id"], made["on_run_completed"], made["user_id"]) == (None, "delete", "ann")
    assert (made["enabled"], made["timezone"]) == (True, "Europe/Berlin")
    assert datetime.now(UTC) < datetime.fromisoformat(made["next_run_date"]) <= datetime.now(UTC) + timedelta(minutes=5)
    changed = await ann.crons.update(made["cron_id"], schedule="0 0 1 1 *", metadata={"n": 1}, input={"topic": "jam"})
    assert changed["metadata"] == {"team": "blue", "n": 1}
    assert changed["payload"] == {**made["payload"], "input": {"topic": "jam"}}
    assert changed["next_run_date"] > made["next_run_date"]
    async with http() as web:
        assert (await web.get(f"/runs/crons/{made['cron_id']}")).json() == changed
        assert (await web.patch(f"/runs/crons/{made['cron_id']}", json={})).status_code == 400
    assert await ann.crons.delete(made["cron_id"]) is None
    with pytest.raises(NotFoundError):
        await ann.crons.delete(made["cron_id"])
    with pytest.raises(NotFoundError):
        await ann.crons.update(made["cron_id"], enabled=False)


async def test_a_cron_of_a_thread_goes_with_it(client) -> None:
    ann = await client()
    thread_id = (await ann.threads.create())["thread_id"]
    made = await ann.crons.create_for_thread(thread_id, "chain", schedule="@daily", multitask_strategy="enqueue")
    assert (made["thread_id"], made["on_run_completed"]) == (thread_id, None)
    assert made["payload"]["multitask_strategy"] == "enqueue"
    with pytest.raises(BadRequestError):
        await ann.crons.update(made["cron_id"], on_run_completed="keep")
    with pytest.raises(NotFoundError):
        await ann.crons.create_for_thread(str(uuid4()), "chain", schedule="@daily")
    await ann.threads.delete(thread_id)
    assert await ann.crons.count() == 0


async def test_disabled_and_ended_crons_have_no_next_time(client) -> None:
    ann = await client()
    past = datetime.now(UTC) - timedelta(days=1)
    assert (await ann.crons.create("chain", schedule="@daily", end_time=past))["next_run_date"] is None
    made = await ann.crons.create("chain", schedule="@daily", enabled=False)
    assert made["next_run_date"] is None
    assert (await ann.crons.update(made["cron_id"], enabled=True))["next_run_date"]
    assert (await ann.crons.update(made["cron_id"], end_time=past))["next_run_date"] is None
    again = await ann.crons.update(made["cron_id"], end_time=None)
    assert (again["end_time"], bool(again["next_run_date"])) == (None, True)


async def test_search_filters_sorts_and_pages(client) -> None:
    ann = await client()
    thread_id = (await ann.threads.create())["thread_id"]
    one = await ann.crons.create("chain", schedule="0 0 1 1 *", metadata={"n": 1})
    two = await ann.crons.create("asks", schedule="0 0 2 1 *", metadata={"n": 2}, enabled=False)
    three = await ann.crons.create_for_thread(thread_id, "chain", schedule="0 0 3 1 *")

    async def found(**query: Any) -> list[str]:
        return [cron["cron_id"] for cron in await ann.crons.search(**query)]

    assert await found() == [three["cron_id"], two["cron_id"], one["cron_id"]]
    assert await found(assistant_id=CHAIN, sort_by="next_run_date", sort_order="asc") == [
        *(cron["cron_id"] for cron in sorted((one, three), key=lambda cron: str(cron["next_run_date"])))
    ]
    assert await found(thread_id=thread_id) == [three["cron_id"]]
    assert await found(enabled=False) == [two["cron_id"]]
    assert await found(metadata={"n": 1}) == [one["cron_id"]]
    assert await found(limit=1, offset=1) == [two["cron_id"]]
    assert await ann.crons.count(assistant_id=CHAIN) == 2
    assert await ann.crons.search(select=["schedule"], limit=1) == [{"schedule": "0 0 3 1 *"}]


async def test_payloads_are_sealed_and_who_asked_is_not_shown(client, database_urls: Urls) -> None:
    ann = await client(roles=("developer",), groups=("blue-9931",))
    made = await ann.crons.create("chain", schedule="@daily", input={"topic": "zebra-7731"})
    assert "blue-9931" not in str(made)
    with psycopg.connect(database_urls.owner) as connection:
        connection.execute("SET ROLE fiel_owner")
        connection.execute("SELECT fiel.act_as('default', 'ann', '{}')")
        (row,) = connection.execute("SELECT c::text, payload FROM fiel.crons c").fetchall()
    assert "zebra" not in row[0]
    assert b"zebra" not in bytes(row[1])
    assert b"blue-9931" not in bytes(row[1])


BAD: list[tuple[dict[str, Any], str]] = [
    ({"schedule": "every day"}, "schedule"),
    ({"schedule": "99 * * * *"}, "schedule"),
    ({"schedule": "0 0 31 2 *"}, "schedule"),
    ({"schedule": ""}, "schedule"),
    ({"schedule": "* " * 500}, "schedule"),
    ({"schedule": "@daily", "timezone": "Moon/Base"}, "timezone"),
    ({"schedule": "@daily", "timezone": "../../etc/passwd"}, "timezone"),
    ({"schedule": "@daily", "colour": "red"}, "colour"),
    ({"schedule": "@daily", "checkpoint_during": True}, "checkpoint_during"),
    ({"schedule": "@daily", "stream_mode": "all"}, "stream_mode"),
    ({"schedule": "@daily", "durability": "often"}, "durability"),
    ({"schedule": "@daily", "config": {"configurable": {"thread_id": "x"}}}, "thread_id"),
    ({"schedule": "@daily", "config": {"colour": 1}}, "colour"),
    ({"schedule": "@daily", "end_time": "later"}, "end_time"),
    ({"schedule": "@daily", "on_run_completed": "burn"}, "on_run_completed"),
]


@pytest.mark.parametrize(("body", "named"), BAD)
async def test_what_cannot_be_is_refused_by_its_name(http, body: dict[str, Any], named: str) -> None:
    async with http() as web:
        answer = await web.post("/runs/crons", json={"assistant_id": "chain", **body})
    assert answer.status_code == 422, answer.text
    assert named in answer.text


async def test_a_webhook_that_leads_inside_is_refused_when_the_cron_is_made(client, http) -> None:
    ann = await client()
    thread_id = (await ann.threads.create())["thread_id"]
    made = await ann.crons.create("chain", schedule="@daily")
    body = {"assistant_id": "chain", "schedule": "@daily", "webhook": "http://10.0.0.1/"}
    async with http() as web:
        answers = [
            await web.post("/runs/crons", json=body),
            await web.post(f"/threads/{thread_id}/runs/crons", json=body),
            await web.patch(f"/runs/crons/{made['cron_id']}", json={"webhook": body["webhook"]}),
        ]
    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(422, "webhook_refused")] * 3
    assert await ann.crons.count() == 1


async def test_an_assistant_that_is_not_there(client) -> None:
    ann = await client()
    for name in ("nope", str(uuid4())):
        with pytest.raises(NotFoundError):
            await ann.crons.create(name, schedule="@daily")


# Firing


async def _set_due(urls: Urls, cron_id: str, ago: float = 1.0) -> None:
    with psycopg.connect(urls.owner) as connection:
        connection.execute("SET ROLE fiel_owner")
        connection.execute("SELECT fiel.act_as('default', 'ann', '{}')")
        sql = "UPDATE fiel.crons SET next_run_at = now() - %s * interval '1 second' WHERE cron_id = %s"
        assert connection.execute(sql, (ago, cron_id)).rowcount == 1


async def test_an_occurrence_fires_once_whoever_asks(client, server, database_urls: Urls) -> None:
    ann, crons = await client(roles=("developer",), groups=("blue",)), crons_of(server.service)
    made = [await ann.crons.create("chain", schedule="@daily", input={"n": n}) for n in range(5)]
    assert await crons.due() == []
    for cron in made:
        await _set_due(database_urls, cron["cron_id"])
    fired: list[UUID] = []

    async def engine() -> None:
        for due in await crons.due(limit=2):
            async with crons.firing(due) as firing:
                assert firing is not None
                assert (firing.owner.id, firing.cron.asker["roles"]) == ("ann", ["developer"])
                assert firing.cron.asker["groups"] == ["blue"]
                fired.append(firing.cron.cron_id)

    await asyncio.gather(*(engine() for _ in range(6)))
    assert sorted(str(one) for one in fired) == sorted(cron["cron_id"] for cron in made)
    assert await crons.due() == []
    for cron in made:
        upcoming = (await crons.get(ANN, UUID(cron["cron_id"]))).next_run_at
        assert upcoming is not None
        assert upcoming > datetime.now(UTC)


async def test_a_firing_that_fails_is_not_lost(client, server, database_urls: Urls) -> None:
    ann, crons = await client(), crons_of(server.service)
    made = await ann.crons.create("chain", schedule="@daily")
    await _set_due(database_urls, made["cron_id"])
    (due,) = await crons.due()
    ids = []
    with pytest.raises(ZeroDivisionError):
        async with crons.firing(due) as firing:
            assert firing is not None
            ids.append(firing.run_id)
            raise ZeroDivisionError
    assert await crons.due() == [], "ours until the lease ends"
    async with server.service.database.system() as connection:
        await connection.execute("UPDATE fiel.deadlines SET at = now()")
    assert await crons.due() == [due]
    async with crons.firing(due) as firing:
        assert firing is not None
        assert [firing.run_id] == ids, "the same occurrence is the same run"
        assert firing.run_id.version == 7
    async with crons.firing(due) as firing:
        assert firing is None


async def test_what_was_missed_fires_once(client, server, database_urls: Urls) -> None:
    ann, crons = await client(), crons_of(server.service)
    made = await ann.crons.create("chain", schedule="* * * * *")
    await _set_due(database_urls, made["cron_id"], ago=86400)
    (due,) = await crons.due()
    async with crons.firing(due) as firing:
        assert firing is not None
    assert await crons.due() == []


@pytest.mark.parametrize("change", ["delete", "disable"])
async def test_a_cron_that_is_taken_away_does_not_fire(client, server, database_urls: Urls, change: str) -> None:
    ann, crons = await client(), crons_of(server.service)
    made = await ann.crons.create("chain", schedule="@daily")
    await _set_due(database_urls, made["cron_id"])
    (due,) = await crons.due()
    if change == "delete":
        await ann.crons.delete(made["cron_id"])
    else:
        await ann.crons.update(made["cron_id"], enabled=False)
    async with crons.firing(due) as firing:
        assert firing is None
    async with server.service.database.system() as connection:
        assert (await (await connection.execute("SELECT count(*) FROM fiel.deadlines")).fetchone()) == (0,)


async def test_a_cron_that_cannot_be_read_does_not_keep_the_others(client, server, database_urls: Urls) -> None:
    ann = await client()
    broken, whole = [await ann.crons.create("chain", schedule="@daily", on_run_completed="keep") for _ in range(2)]
    with psycopg.connect(database_urls.owner) as connection:
        connection.execute("SET ROLE fiel_owner")
        connection.execute("SELECT fiel.act_as('default', 'ann', '{}')")
        connection.execute("UPDATE fiel.crons SET payload = 'no seal' WHERE cron_id = %s", (broken["cron_id"],))
    await _set_due(database_urls, broken["cron_id"], ago=20.0)
    await _set_due(database_urls, whole["cron_id"], ago=10.0)

    assert await server.service.engine.chores.fire() == 2
    upcoming = (await crons_of(server.service).get(ANN, UUID(whole["cron_id"]))).next_run_at
    assert upcoming is not None
    assert upcoming > datetime.now(UTC)


def _times(schedule: str, zone: str | None, start: str, count: int) -> list[str]:
    found, at = [], datetime.fromisoformat(start)
    for _ in range(count):
        at = following(schedule, zone, at)
        found.append(at.strftime("%m-%d %H:%M"))
    return found


def test_a_schedule_is_read_in_its_time_zone() -> None:
    assert _times("0 9 * * *", None, "2026-07-01T00:00+00:00", 1) == ["07-01 09:00"]
    assert _times("0 9 * * *", "Europe/Berlin", "2026-07-01T00:00+00:00", 1) == ["07-01 07:00"]


def test_where_clocks_go_back_a_fixed_hour_comes_once_and_every_hour_each_time() -> None:
    zone = "America/New_York"
    assert _times("30 1 * * *", zone, "2026-11-01T00:00-04:00", 2) == ["11-01 05:30", "11-02 06:30"]
    assert _times("30 * * * *", zone, "2026-11-01T01:00-04:00", 3) == ["11-01 05:30", "11-01 06:30", "11-01 07:30"]


def test_where_clocks_go_forward_a_lost_hour_is_made_up() -> None:
    zone = "America/New_York"
    assert _times("30 2 * * *", zone, "2026-03-08T00:00-05:00", 2) == ["03-08 07:00", "03-09 06:30"]


def test_a_schedule_that_never_comes_is_refused() -> None:
    with pytest.raises(BadSchedule):
        following("0 0 30 2 *", None, datetime.now(UTC))


async def test_users_text_is_not_repeated_in_a_refusal(client) -> None:
    ann = await client()
    with pytest.raises(APIStatusError) as refused:
        await ann.crons.create("chain", schedule="zebra 7731 zebra 7731 x")
    assert "7731" not in str(refused.value.body)
