"""Checks of crons: kept, listed, changed, fired."""

from datetime import UTC, datetime, timedelta
from typing import Any

from langgraph_sdk.client import LangGraphClient

from tests.api.conformance.check import check
from tests.api.conformance.talk import fresh, refused, thread, until

DAILY = "27 15 * * *"


@check("crons: create", "crons.create: schema.Cron")
async def _create(client: LangGraphClient) -> None:
    made: Any = await client.crons.create("chain", schedule=DAILY, input={"topic": "x"}, metadata={"n": 1})
    assert (made["schedule"], made["metadata"]["n"], made["enabled"]) == (DAILY, 1, True)
    assert (made["thread_id"], made["payload"]["input"]) == (None, {"topic": "x"})
    assert datetime.fromisoformat(made["next_run_date"]) > datetime.now(UTC)
    assert {"cron_id", "assistant_id", "created_at", "updated_at", "end_time", "user_id"} <= made.keys()
    await client.crons.delete(made["cron_id"])


@check("crons: create for a thread", "crons.create_for_thread: runs on that thread")
async def _for_thread(client: LangGraphClient) -> None:
    mine = await thread(client)
    made: Any = await client.crons.create_for_thread(mine, "chain", schedule=DAILY, input={})
    assert made["thread_id"] == mine
    await client.crons.delete(made["cron_id"])


@check("crons: a schedule that is none", "crons.create(schedule): cron format")
async def _bad(client: LangGraphClient) -> None:
    await refused(client.crons.create("chain", schedule="every day", input={}), 400, 422)


@check("crons: a time zone", "crons.create(timezone): IANA time zone of the schedule")
async def _zone(client: LangGraphClient) -> None:
    made: Any = await client.crons.create("chain", schedule="0 12 * * *", input={}, timezone="Asia/Tokyo")
    assert made["timezone"] == "Asia/Tokyo"
    assert datetime.fromisoformat(made["next_run_date"]).astimezone(UTC).hour == 3
    await client.crons.delete(made["cron_id"])


@check(
    "crons: search and count", "crons.search: assistant_id, thread_id, enabled, metadata, limit, sort, select; count"
)
async def _search(client: LangGraphClient) -> None:
    tag, mine = fresh(), await thread(client)
    first: Any = await client.crons.create("chain", schedule=DAILY, input={}, metadata={"tag": tag})
    second: Any = await client.crons.create_for_thread(
        mine, "asks", schedule=DAILY, input={}, metadata={"tag": tag}, enabled=False
    )
    ids = [first["cron_id"], second["cron_id"]]
    found = await client.crons.search(metadata={"tag": tag}, sort_by="created_at", sort_order="asc")
    assert [one["cron_id"] for one in found] == ids
    assert [one["cron_id"] for one in await client.crons.search(thread_id=mine)] == ids[1:]
    for asked, wanted in (
        ({"enabled": True}, ids[:1]),
        ({"assistant_id": second["assistant_id"]}, ids[1:]),
        ({"limit": 1, "sort_by": "created_at", "sort_order": "desc"}, ids[1:]),
    ):
        some: Any = await client.crons.search(metadata={"tag": tag}, **asked)  # type: ignore[arg-type]
        assert [one["cron_id"] for one in some] == wanted, asked
    thin = await client.crons.search(metadata={"tag": tag}, select=["cron_id"], limit=1)
    assert set(thin[0]) == {"cron_id"}
    assert await client.crons.count(metadata={"tag": tag}) == 2
    assert await client.crons.count(thread_id=mine) == 1
    for cron in ids:
        await client.crons.delete(cron)


@check("crons: update", "crons.update: schedule, enabled, end_time (None clears it), input")
async def _update(client: LangGraphClient) -> None:
    end = datetime.now(UTC) + timedelta(days=3)
    made: Any = await client.crons.create("chain", schedule=DAILY, input={"topic": "x"}, end_time=end)
    assert datetime.fromisoformat(made["end_time"]) == end
    new: Any = await client.crons.update(made["cron_id"], schedule="0 10 * * *", enabled=False, input={"topic": "y"})
    assert (new["schedule"], new["enabled"], new["payload"]["input"]) == ("0 10 * * *", False, {"topic": "y"})
    assert datetime.fromisoformat(new["end_time"]) == end
    new = await client.crons.update(made["cron_id"], end_time=None)
    assert new["end_time"] is None
    await client.crons.delete(made["cron_id"])


@check("crons: delete", "crons.delete: it is gone")
async def _delete(client: LangGraphClient) -> None:
    mine = await thread(client)
    made: Any = await client.crons.create_for_thread(mine, "chain", schedule=DAILY, input={})
    await client.crons.delete(made["cron_id"])
    assert await client.crons.search(thread_id=mine) == []
    await refused(client.crons.delete(made["cron_id"]), 404)


@check("crons: one that fires", "crons.create_for_thread: executes on its schedule, with its input and metadata")
async def _fires(client: LangGraphClient) -> None:
    mine = await thread(client)
    made: Any = await client.crons.create_for_thread(
        mine, "chain", schedule="* * * * *", input={"topic": "x"}, metadata={"n": 1}
    )

    async def there() -> Any:
        return await client.runs.list(mine)

    run = (await until(there, "a run of the cron", 80))[0]
    await client.crons.delete(made["cron_id"])
    values: Any = await client.runs.join(mine, run["run_id"])
    assert (values["topic"], values["steps"][:3]) == ("x", ["a", "b", "c"])
    assert run["metadata"]["n"] == 1


@check("crons: one that is disabled does not fire", "crons.create(enabled=False): disabled crons are not executed")
async def _disabled(client: LangGraphClient) -> None:
    mine, other = await thread(client), await thread(client)
    still: Any = await client.crons.create_for_thread(mine, "chain", schedule="* * * * *", input={}, enabled=False)
    going: Any = await client.crons.create_for_thread(other, "chain", schedule="* * * * *", input={})

    async def there() -> Any:
        return await client.runs.list(other)

    await until(there, "a run of the cron that is enabled", 80)
    assert await client.runs.list(mine) == []
    for cron in (still, going):
        await client.crons.delete(cron["cron_id"])
