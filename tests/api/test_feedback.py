"""Feedback on runs: of those that the caller may see, kept with its act or not at all, its text nowhere in clear."""

import logging
from collections.abc import AsyncIterator, Sequence
from typing import Any
from uuid import UUID, uuid4

import orjson
import psycopg
import pytest

from fiel.infra.database.connect import Database
from fiel.infra.ledger.acts import Act, acts
from fiel.infra.ledger.attempts import attempt_id
from fiel.infra.ledger.keys import Cipher, key_of
from fiel.infra.ledger.postgres import PostgresStore
from fiel.infra.ledger.store import Flush, RunRow
from fiel.infra.ledger.subjects import SubjectKeys, erase_key
from fiel.infra.runs import feedback
from fiel.infra.runs.errors import NotFound
from fiel.infra.runs.feedback import Feedback, Said
from fiel.infra.runs.names import place
from fiel.tools.canonical import canonical, content_digest
from fiel.tools.principal import Principal, Role
from tests.api.conftest import MakeClient, Server
from tests.api.graphs import PlainHost, plain_host
from tests.conftest import Urls

SECRET = "my aunt's xylophone"
CIPHER = Cipher(key_of(b"k" * 32))
ANN = Principal("acme", "ann", frozenset(), frozenset({"reader"}))


@pytest.fixture
def database_urls(shared_urls: Urls) -> Urls:
    """One database for this file."""
    return shared_urls


@pytest.fixture
async def host(database_urls: Urls) -> AsyncIterator[PlainHost]:
    async with plain_host(database_urls) as opened:
        yield opened


async def a_run(client: MakeClient, user: str) -> str:
    """A run on a thread of the user, that has ended."""
    mine = await client(user)
    thread = (await mine.threads.create())["thread_id"]
    run = await mine.runs.create(thread, "chain", input={"topic": "x"})
    await mine.runs.join(thread, run["run_id"])
    return run["run_id"]


async def kept(database: Database, principal: Principal, run: str) -> list[dict[str, Any]]:
    """The acts about feedback on a run."""
    async with database.acting(principal) as connection:
        found = await acts(connection, principal.tenant, limit=1000)
    return [dict(one.body) for one in found if one.body["kind"] == "feedback" and one.body["subject"] == run]


async def test_who_asked_says_how_good_it_was(
    client: MakeClient, http: Any, server: Server, database_urls: Urls, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="fiel")
    run = await a_run(client, "ann")
    async with http("ann") as web:
        body = {"score": -0.5, "comment": SECRET, "labels": [f"on {SECRET}", "slow"]}
        answer = await web.post(f"/runs/{run}/feedback", json=body)
        again = await web.post(f"/runs/{run}/feedback", json={"score": 1})
    assert (answer.status_code, again.status_code) == (200, 200), answer.text
    said = answer.json()
    assert said["run_id"] == run and said["feedback_id"] != again.json()["feedback_id"]
    later, first = await kept(server.service.database, Principal("default", "ann"), run)
    assert (first["principal"]["id"], first["detail"]["score"]) == ("ann", "-0.500000")
    assert (first["detail"]["feedback"], later["detail"]["score"]) == (said["feedback_id"], "1.000000")
    assert SECRET not in caplog.text + answer.text
    with psycopg.connect(database_urls.owner) as connection:
        connection.execute("SET ROLE fiel_owner; SELECT fiel.act_as('default', 'ann', '{}')")
        rows = connection.execute("SELECT f::text, data FROM fiel.feedback f WHERE run = %s", [run]).fetchall()
        told = connection.execute("SELECT count(*) FROM fiel.assessments").fetchone()
    assert len(rows) == 2
    assert not any(SECRET in text or SECRET.encode() in bytes(data) for text, data in rows)
    assert told == (0,), "graphs of other projects have no traces"


@pytest.mark.parametrize("roles", [("reader",), ("administrator", "auditor", "developer")])
@pytest.mark.parametrize("tenant", ["default", "other"])
async def test_runs_of_others_look_like_runs_that_are_not_there(
    client: MakeClient, http: Any, server: Server, roles: Sequence[Role], tenant: str
) -> None:
    """No role opens the protocol's runs of another; what the ledger has of them is tested below."""
    run, ghost = await a_run(client, "ann"), str(uuid4())
    # Each test has a home with a key of its own, over one database: nobody's data key may be met twice.
    async with http(f"eve-{ghost[:8]}", roles=roles, tenant=tenant) as web:
        answers = [await web.post(f"/runs/{name}/feedback", json={"score": 1}) for name in (run, ghost)]
    assert [answer.status_code for answer in answers] == [404, 404]
    assert answers[0].text.replace(run, ghost) == answers[1].text
    assert await kept(server.service.database, Principal("default", "ann"), run) == []


@pytest.mark.parametrize(
    "body",
    [
        {}, {"score": 1.01}, {"score": -2}, {"score": "1"}, {"score": True}, {"score": None}, {"score": 1, "note": "x"},
        {"score": 1, "comment": "x" * 10_001}, {"score": 1, "comment": None}, {"score": 1, "labels": "good"},
        {"score": 1, "labels": [""]}, {"score": 1, "labels": [1]}, {"score": 1, "labels": ["x"] * 21},
    ],
)  # fmt: skip
async def test_what_is_no_feedback_is_refused(http: Any, body: Any) -> None:
    async with http("ann") as web:
        answer = await web.post(f"/runs/{uuid4()}/feedback", json=body)
        assert answer.status_code == 422
        assert "x" * 50 not in answer.text
        assert (await web.post("/runs/nothing/feedback", json={"score": 1})).status_code == 422
    async with http(None) as nobody:
        assert (await nobody.post(f"/runs/{uuid4()}/feedback", json={"score": 1})).status_code == 401


# Over the ledger ------------------------------------------------------------------------------------------------------


async def recorded(database: Database, run: str, caller: Principal = ANN) -> str:
    """A run that the ledger has."""
    row = RunRow(run, caller.tenant, "", caller.id, None, None, 1)
    await PostgresStore(database.system).append([Flush.of(row, (), CIPHER.key.id)])
    return run


def desk(database: Database) -> Feedback:
    return Feedback(database, SubjectKeys(database.system, CIPHER), lambda text: text.replace(SECRET, "[THING]"))


async def waiting(database: Database, run: str) -> list[dict[str, Any]]:
    """What MLflow is to be told of a run, opened."""
    async with database.system() as connection:
        rows = await (
            await connection.execute(
                "SELECT feedback_id, key, data FROM fiel.assessments WHERE %s = ANY (attempts) ORDER BY id", [UUID(run)]
            )
        ).fetchall()
    keys = SubjectKeys(database.system, CIPHER)
    return [
        orjson.loads((await keys.named(key)).cipher.open("assessment", str(id), bytes(data), key))
        for id, key, data in rows
    ]


@pytest.mark.parametrize(
    ("who", "sees"),
    [
        (ANN, True),
        (Principal("acme", "dev", frozenset(), frozenset({"developer"})), True),
        (Principal("acme", "aud", frozenset(), frozenset({"auditor"})), True),
        (Principal("acme", "ben", frozenset(), frozenset({"reader", "curator"})), False),
        (Principal("other", "ann", frozenset(), frozenset({"administrator", "developer", "auditor"})), False),
    ],
)
async def test_whoever_sees_the_trace_may_judge_the_run(shared_urls: Urls, who: Principal, sees: bool) -> None:
    async with Database(shared_urls.runtime, size=2) as database:
        run = await recorded(database, str(uuid4()))
        if not sees:
            with pytest.raises(NotFound):
                await desk(database).give(who, UUID(run), Said(1))
        else:
            await desk(database).give(who, UUID(run), Said(0.25, f"of {SECRET}", (SECRET,)))
        told = await waiting(database, run)
        assert len(await kept(database, who, run)) == len(told) == int(sees)
        for one in told:
            assert (one["by"], one["score"]) == (who.id, 0.25)
            assert (one["comment"], one["labels"]) == ("of [THING]", ["[THING]"])


async def test_a_run_is_known_where_only_its_second_attempt_recorded_anything(shared_urls: Urls) -> None:
    async with Database(shared_urls.runtime, size=2) as database:
        run = uuid4()
        await recorded(database, str(attempt_id(str(run), 2)))
        assert (await desk(database).give(ANN, run, Said(1))).run_id == run


async def test_the_row_the_act_and_what_is_told_are_there_together_or_not_at_all(
    shared_urls: Urls, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(connection: Any, act: Act) -> str:
        raise RuntimeError

    async with Database(shared_urls.runtime, size=2) as database:
        run = await recorded(database, str(uuid4()))
        with monkeypatch.context() as broken:
            broken.setattr(feedback, "record", fails)
            with pytest.raises(RuntimeError):
                await desk(database).give(ANN, UUID(run), Said(1))
        async with database.acting(ANN) as connection:
            rows = await (await connection.execute("SELECT FROM fiel.feedback WHERE run = %s", [UUID(run)])).fetchall()
        assert (rows, await waiting(database, run), await kept(database, ANN, run)) == ([], [], [])


async def test_the_act_proves_what_was_said_until_its_author_is_erased(shared_urls: Urls) -> None:
    author = Principal("acme", f"author-{uuid4().hex[:8]}")
    async with Database(shared_urls.runtime, size=2) as database:
        run = await recorded(database, str(uuid4()), author)
        given = await desk(database).give(author, UUID(run), Said(1, SECRET, ("slow",)))
        async with database.acting(author) as connection:
            cursor = await connection.execute("SELECT key, data FROM fiel.feedback WHERE run = %s", [UUID(run)])
            [(name, data)] = await cursor.fetchall()
        key = await SubjectKeys(database.system, CIPHER).of("acme", author.id)
        assert key.id == name
        content = orjson.loads(key.cipher.open("feedback", place(author, given.feedback_id), bytes(data), name))
        assert content == {"comment": SECRET, "labels": ["slow"]}
        (act,) = await kept(database, author, run)
        assert act["detail"]["digest"] == content_digest(canonical(content), key.mac)
        async with database.system() as connection:
            assert name in await erase_key(connection, "acme", author.id)


async def test_a_tenant_sees_its_own_feedback_alone_and_changes_none(shared_urls: Urls) -> None:
    other = Principal("other", "ann", frozenset(), frozenset({"administrator"}))
    async with Database(shared_urls.runtime, size=2) as database:
        run = await recorded(database, str(uuid4()))
        await desk(database).give(ANN, UUID(run), Said(1))
        async with database.acting(other) as connection:
            rows = await (await connection.execute("SELECT FROM fiel.feedback WHERE tenant = 'acme'")).fetchall()
            assert rows == []
        for statement in ("UPDATE fiel.feedback SET score = 0", "DELETE FROM fiel.feedback"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                async with database.acting(ANN) as connection:
                    await connection.execute(statement)
