"""States of threads as clients of the protocol use them."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from langgraph_sdk.errors import APIStatusError, BadRequestError, ConflictError, NotFoundError

from fiel.infra.hosts.port import EditRefused
from tests.api.graphs import PlainHost, plain_host
from tests.api.test_threads import ANN, _busy, _with_past
from tests.conftest import Urls


@pytest.fixture
async def host(database_urls: Urls) -> AsyncIterator[PlainHost]:
    async with plain_host(database_urls) as opened:
        yield opened


async def test_the_latest_and_any_before_it(client) -> None:
    ann = await client()
    thread_id = await _with_past(ann, "a", "b")
    latest, first = await ann.threads.get_history(thread_id)
    assert latest == await ann.threads.get_state(thread_id)
    assert (first["values"], first["next"]) == ({"steps": ["a"]}, ["b"])
    assert first["checkpoint"]["thread_id"] == thread_id
    assert latest["parent_checkpoint"]["checkpoint_id"] == first["checkpoint"]["checkpoint_id"]
    by_checkpoint = await ann.threads.get_state(thread_id, first["checkpoint"])
    by_id = await ann.threads.get_state(thread_id, checkpoint_id=first["checkpoint"]["checkpoint_id"])
    assert by_checkpoint["values"] == by_id["values"] == {"steps": ["a"]}
    for before in (latest["checkpoint"], latest["checkpoint"]["checkpoint_id"]):
        assert await ann.threads.get_history(thread_id, before=before) == [first]
    assert await ann.threads.get_history(thread_id, limit=1) == [latest]
    assert await ann.threads.get_history(thread_id, metadata={"step": first["metadata"]["step"]}) == [first]


async def test_history_over_get(client, http) -> None:
    ann = await client()
    thread_id = await _with_past(ann, "a", "b")
    async with http() as web:
        latest, first = (await web.get(f"/threads/{thread_id}/history")).json()
        params = {"before": latest["checkpoint"]["checkpoint_id"], "limit": 5}
        assert (await web.get(f"/threads/{thread_id}/history", params=params)).json() == [first]


async def test_what_a_thread_takes(client, http) -> None:
    ann = await client()
    blank, thread_id = (await ann.threads.create())["thread_id"], await _with_past(ann, "a", "b")
    async with http() as web:
        nothing = (await web.get(f"/threads/{blank}/storage")).json()
        taken = (await web.get(f"/threads/{thread_id}/storage")).json()
    assert (nothing["total_bytes"], nothing["checkpoints"]) == (0, {"count": 0, "bytes": 0})
    assert taken["checkpoints"]["count"] == 2
    assert taken["channel_values"]["by_channel"]["steps"]["versions"] == 2
    parts = ("checkpoints", "channel_values", "pending_writes")
    assert taken["total_bytes"] == sum(taken[part]["bytes"] for part in parts) > 0


async def test_fields_can_be_selected(client) -> None:
    ann = await client()
    thread_id = await _with_past(ann, "a")
    assert await ann.threads.get_state(thread_id, select=["values.steps", "next"]) == {
        "values": {"steps": ["a"]},
        "next": ["b"],
    }
    (state,) = await ann.threads.get_history(thread_id, select=["next"])
    assert state == {"next": ["b"]}
    with pytest.raises(BadRequestError, match="colour"):
        await ann.threads.get_state(thread_id, select=["colour"])


async def test_a_thread_that_no_graph_worked_on(client) -> None:
    ann = await client()
    thread_id = (await ann.threads.create())["thread_id"]
    state = await ann.threads.get_state(thread_id)
    assert (state["values"], state["next"], state["tasks"]) == ({}, [], [])
    assert await ann.threads.get_history(thread_id) == []
    with pytest.raises(BadRequestError, match="belongs to no graph"):
        await ann.threads.update_state(thread_id, {"steps": ["a"]}, as_node="a")


async def test_an_update_is_as_if_a_node_had_made_it(client) -> None:
    ann = await client()
    thread_id = (await ann.threads.create(graph_id="chain"))["thread_id"]
    made = await ann.threads.update_state(thread_id, {"steps": ["x"]}, as_node="a")
    assert made["checkpoint"]["thread_id"] == thread_id
    state = await ann.threads.get_state(thread_id)
    assert (state["values"], state["next"]) == ({"steps": ["x"]}, ["b"])
    assert state["checkpoint"]["checkpoint_id"] == made["checkpoint"]["checkpoint_id"] == made["checkpoint_id"]
    thread = await ann.threads.get(thread_id)
    assert (thread["values"], thread["status"]) == ({"steps": ["x"]}, "interrupted")
    await ann.threads.update_state(thread_id, {"steps": ["y"]}, as_node="c")
    assert (await ann.threads.get(thread_id))["status"] == "idle"


async def test_an_edit_is_an_act_of_the_ledger(client, database_urls: Urls) -> None:
    ann = await client()
    thread_id = (await ann.threads.create(graph_id="chain"))["thread_id"]
    await ann.threads.update_state(thread_id, {"steps": ["secret"]}, as_node="a")
    with psycopg.connect(database_urls.runtime) as connection:
        connection.execute("SELECT set_config('app.tenant', %s, true)", (ANN.tenant,))
        rows = connection.execute("SELECT convert_from(body, 'utf8') FROM fiel.acts WHERE kind = 'state_edit'")
        [(body,)] = rows.fetchall()
    assert thread_id in body
    assert "secret" not in body


async def test_an_update_of_an_older_checkpoint_forks(client) -> None:
    ann = await client()
    thread_id = await _with_past(ann, "a", "b")
    first = (await ann.threads.get_history(thread_id))[1]["checkpoint"]
    await ann.threads.update_state(thread_id, {"steps": ["fork"]}, as_node="b", checkpoint=first)
    assert (await ann.threads.get_state(thread_id))["values"] == {"steps": ["a", "fork"]}
    await ann.threads.update_state(thread_id, {"steps": ["2"]}, as_node="b", checkpoint_id=first["checkpoint_id"])
    assert (await ann.threads.get(thread_id))["values"] == {"steps": ["a", "2"]}
    assert len(await ann.threads.get_history(thread_id)) == 4


async def test_what_is_refused(client) -> None:
    ann = await client()
    thread_id, other = await _with_past(ann, "a"), await _with_past(ann, "a")
    for values, node in (({"steps": ["x"]}, "nowhere"), ([1], "a")):
        with pytest.raises(APIStatusError) as refused:
            await ann.threads.update_state(thread_id, values, as_node=node)
        assert refused.value.status_code in (400, 422), (values, node)
    with pytest.raises(NotFoundError, match="no such checkpoint"):
        await ann.threads.get_state(thread_id, checkpoint_id=str(uuid4()))
    foreign = (await ann.threads.get_state(other))["checkpoint"]
    with pytest.raises(BadRequestError, match="another thread"):
        await ann.threads.get_state(thread_id, foreign)
    with pytest.raises(BadRequestError, match="another thread"):
        await ann.threads.update_state(thread_id, {"steps": ["x"]}, as_node="a", checkpoint=foreign)
    assert (await ann.threads.get_state(thread_id))["values"] == {"steps": ["a"]}


async def test_nothing_is_written_under_a_run(client, server) -> None:
    ann = await client()
    thread_id = await _with_past(ann, "a")
    await _busy(server, ANN, thread_id)
    with pytest.raises(ConflictError, match="goes on"):
        await ann.threads.update_state(thread_id, {"steps": ["b"]}, as_node="b")


async def test_updates_at_once_lose_nothing(client) -> None:
    ann = await client()
    thread_id = await _with_past(ann, "a")
    await asyncio.gather(*(ann.threads.update_state(thread_id, {"steps": [str(n)]}, as_node="a") for n in range(6)))
    values = (await ann.threads.get(thread_id))["values"]["steps"]
    assert sorted(values) == ["0", "1", "2", "3", "4", "5", "a"]
    assert (await ann.threads.get_state(thread_id))["values"]["steps"] == values


async def test_a_host_that_refuses_the_edit_leaves_everything_as_it_was(client, host, monkeypatch) -> None:
    ann = await client()
    thread_id = await _with_past(ann, "a")
    before = await ann.threads.get(thread_id)

    async def refuse(*_: Any) -> None:
        raise EditRefused("editing a thread needs the role developer", where="state")

    monkeypatch.setattr(host, "update", refuse)
    with pytest.raises(APIStatusError) as refused:
        await ann.threads.update_state(thread_id, {"steps": ["b"]}, as_node="b")
    assert (refused.value.status_code, refused.value.body["code"]) == (403, "edit_refused")
    assert await ann.threads.get(thread_id) == before


BAD: list[tuple[str, dict[str, Any], str]] = [
    ("state", {"values": 7}, "values"),
    ("state", {"values": {}, "colour": 1}, "colour"),
    ("state", {"values": {}, "checkpoint": {"colour": 1}}, "colour"),
    ("state/checkpoint", {}, "checkpoint"),
    ("state/checkpoint", {"checkpoint": {}, "colour": 1}, "colour"),
    ("history", {"limit": 0}, "limit"),
    ("history", {"before": 7}, "before"),
    ("history", {"colour": 7}, "colour"),
]


@pytest.mark.parametrize(("path", "body", "named"), BAD)
async def test_what_cannot_be_is_refused_by_its_name(http, path: str, body: dict[str, Any], named: str) -> None:
    async with http() as web:
        answer = await web.post(f"/threads/{uuid4()}/{path}", json=body)
    assert answer.status_code == 422
    assert named in answer.json()["detail"]
