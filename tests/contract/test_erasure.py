"""Erasing a person: the keys at once and with an act, the rows however often it takes, and nothing of anybody else."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import orjson
import psycopg
import pytest

from fiel.infra.api.auth.tokens import Tokens
from fiel.infra.database.connect import Database
from fiel.infra.desk import audit
from fiel.infra.erasure.erase import _begin, erase, resume
from fiel.infra.ledger.acts import acts
from fiel.infra.ledger.subjects import KeyErased, SubjectKeys, erase_key
from fiel.infra.people.claims import Claims
from fiel.infra.people.people import People
from fiel.infra.runs.feedback import Feedback, Said
from fiel.infra.runs.names import checkpoint_thread
from fiel.infra.settings import Settings
from fiel.infra.threads import set_up
from fiel.tools.errors import NotPermitted, UsageError
from fiel.tools.principal import Principal, local_administrator
from tests.conftest import Urls
from tests.contract.test_ledger_subjects import MASTER, ask

ADMIN = local_administrator("acme")
OWNED = {
    "threads": "(thread_id, tenant, owner) VALUES (%(id)s, 'acme', %(owner)s)",
    "thread_runs": "(run_id, tenant, owner, thread_id, assistant_id, graph_id, kwargs)"
    " VALUES (%(run)s, 'acme', %(owner)s, %(id)s, gen_random_uuid(), 'answer', 'x')",
    "run_events": "(run_id, seq, tenant, owner, event, data) VALUES (%(run)s, 1, 'acme', %(owner)s, 'values', 'x')",
    "reviews": "(tenant, owner, review_id, thread_id, run_id, stage, subject, reason, policy, collection, language,"
    " expires_at) VALUES ('acme', %(owner)s, gen_random_uuid(), %(id)s, %(run)s, 'input', 's', 'r', 'p', 'c', 'en',"
    " now())",
    "crons": "(tenant, owner, cron_id, assistant_id, schedule, payload)"
    " VALUES ('acme', %(owner)s, gen_random_uuid(), gen_random_uuid(), '* * * * *', 'x')",
    "items": "(tenant, owner, prefix, key, value) VALUES ('acme', %(owner)s, '{a}', 'k', 'x')",
    "assistants": "(tenant, owner, assistant_id, graph_id, name)"
    " VALUES ('acme', %(owner)s, gen_random_uuid(), 'answer', 'mine')",
}
"""A row in each table that has an owner."""
KEPT = ("users", "members", "claimed")
BY_RUN = ("spans", "drafts", "feedback", "assessments", "trace_removals")
CHECKPOINTS = ("checkpoints", "checkpoint_blobs", "checkpoint_writes")


async def fill(database: Database, urls: Urls, name: str) -> str:
    """Something of a person in every table that can hold it; the run of the ledger."""
    run, *_ = await ask(database, name, f"what about {name}?")
    thread, owner = uuid4(), Principal("acme", name)
    values = {"id": thread, "run": uuid4(), "owner": name}
    async with database.acting(owner) as connection:
        for table, insertion in OWNED.items():
            await connection.execute(f"INSERT INTO fiel.{table} {insertion}".encode(), values)
        await connection.execute("INSERT INTO fiel.drafts VALUES (%s, sha256('x'), 'k', 'x')", (run,))
    await People(database).add_group(ADMIN, "hr")
    await People(database).add_user(ADMIN, name, groups=["hr"])
    await Claims(database).joined(Principal("acme", name, frozenset({"it"}), frozenset({"reader"})), 1)
    await asyncio.to_thread(set_up, urls.owner)
    with psycopg.connect(urls.owner) as connection:
        at = checkpoint_thread(owner, thread)
        connection.execute("INSERT INTO fiel.checkpoints VALUES (%s, '', '1', NULL, NULL, '{}', '{}')", (at,))
        connection.execute("INSERT INTO fiel.checkpoint_blobs VALUES (%s, '', 'c', '1', 'x', 'x')", (at,))
        connection.execute("INSERT INTO fiel.checkpoint_writes VALUES (%s, '', '1', 't', 0, 'c', 'x', 'x')", (at,))
    giving = Feedback(database, SubjectKeys(database.system, MASTER), str)
    await giving.give(owner, UUID(run), Said(1.0, f"{name} was here"))
    await giving.give(ADMIN, UUID(run), Said(0.0, f"what {name} asked"))
    return run


def left(urls: Urls, tables: Sequence[str] = (*OWNED, *KEPT, *BY_RUN, *CHECKPOINTS)) -> dict[str, int]:
    """Rows of each table, as whoever owns the database sees them."""
    with psycopg.connect(urls.owner) as connection:
        for table in (*OWNED, *KEPT, "feedback"):
            connection.execute(f"ALTER TABLE fiel.{table} NO FORCE ROW LEVEL SECURITY".encode())
        rows = {name: connection.execute(f"SELECT count(*) FROM fiel.{name}".encode()).fetchone() for name in tables}
        connection.rollback()
    return {name: row[0] if row else -1 for name, row in rows.items()}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=str(tmp_path))


async def test_a_person_is_gone_from_every_table_and_nobody_else_is(
    database: Database, database_urls: Urls, settings: Settings
) -> None:
    run, other = await fill(database, database_urls, "ana"), await fill(database, database_urls, "ben")
    both = left(database_urls)
    assert {name: count for name, count in both.items() if count < 2} == {"trace_removals": 0}
    done = await erase(database, ADMIN, "ana")
    assert done.keys == 2  # of the digests, and of the day
    half = left(database_urls)
    assert half == {name: count // 2 for name, count in both.items()} | {"trace_removals": 1}
    with psycopg.connect(database_urls.owner) as connection:
        queued = connection.execute("SELECT run::text FROM fiel.trace_removals").fetchall()
    assert queued == [(run,)]
    again = await erase(database, ADMIN, "ana")
    assert (again.keys, sum(again.removed.values())) == (0, 0)
    assert left(database_urls) == half
    value = await audit.verify(settings, database, ADMIN)
    assert (value["broken"], value["erased"], value["lost"]) == ([], 1, 1)  # this home has not the key of `ben`
    keys = SubjectKeys(database.system, MASTER)
    async with database.system() as connection:
        rows = await (await connection.execute("SELECT run::text, key FROM fiel.frames")).fetchall()
    named: dict[str, str] = dict(rows)
    assert (await keys.named(named[other])).id == named[other]
    with pytest.raises(KeyErased):
        await keys.named(named[run])


async def test_what_a_reviewer_wrote_about_others_goes_and_what_was_decided_stays(
    database: Database, database_urls: Urls
) -> None:
    for name in ("ana", "ben"):
        await fill(database, database_urls, name)
        async with database.acting(Principal("acme", name)) as connection:
            await connection.execute(
                "UPDATE fiel.reviews SET status = 'rejected', decided_by = %s, decided_at = now(), ruling = 'x'"
                " WHERE owner = %s", ({"ana": "ben", "ben": "ana"}[name], name),
            )  # fmt: skip
    assert (await erase(database, ADMIN, "ana")).removed["rulings"] == 1
    async with database.acting(ADMIN) as connection:
        rows = await (await connection.execute("SELECT owner, status, decided_by, ruling FROM fiel.reviews")).fetchall()
    assert rows == [("ben", "rejected", "ana", None)]


async def test_the_account_ends_with_its_acts_and_one_that_is_made_anew_stays(
    database: Database, database_urls: Urls
) -> None:
    await fill(database, database_urls, "ana")
    secret, _ = await Tokens(database).create(ADMIN, Principal("acme", "ana"))
    assert (await erase(database, ADMIN, "ana")).removed["users"] == 1
    assert await Tokens(database).find(secret) is None
    async with database.acting(ADMIN) as connection:
        kinds = [one.body["kind"] for one in await acts(connection, "acme")]
    assert kinds[:4] == ["erase", "user_change", "token_revoke", "group_remove"]
    await People(database).add_user(ADMIN, "ana")
    assert await resume(database, settled=0) == 1
    assert left(database_urls, ("users",)) == {"users": 1}


async def test_the_act_names_the_keys_and_who_erased(database: Database, database_urls: Urls) -> None:
    await ask(database, "ana")
    done = await erase(database, ADMIN, "ana")
    async with database.acting(ADMIN) as connection:
        (act,) = [one for one in await acts(connection, "acme") if one.body["kind"] == "erase"]
        rows = await (await connection.execute("SELECT id, erased FROM fiel.subject_keys ORDER BY id")).fetchall()
    assert (act.act, act.body["subject"], act.body["principal"]["id"]) == (done.act, "ana", ADMIN.id)
    assert act.body["detail"]["keys"] == [row[0] for row in rows]
    assert {round(row[1].timestamp() * 1e6) for row in rows} == {act.body["at"]}


async def test_only_administrators_erase_and_somebody_must_be_named(database: Database) -> None:
    with pytest.raises(NotPermitted):
        await erase(database, Principal("acme", "ana", frozenset(), frozenset({"auditor"})), "ana")
    for nobody in ("", " ", "a\0b"):
        with pytest.raises(UsageError):
            await erase(database, ADMIN, nobody)


async def test_what_a_killed_process_has_begun_another_finishes(database: Database, database_urls: Urls) -> None:
    await fill(database, database_urls, "ana")
    await _begin(database, ADMIN, "ana", ())
    assert left(database_urls)["threads"] == 1
    assert await resume(database) == 1
    assert set(left(database_urls).items()) >= {(name, 0) for name in (*OWNED, *CHECKPOINTS, "spans", "feedback")}
    assert await resume(database) == 0


async def test_the_second_look_takes_what_a_run_under_way_wrote_and_leaves_what_is_new(
    database: Database, database_urls: Urls
) -> None:
    await fill(database, database_urls, "ana")
    await erase(database, ADMIN, "ana")
    await fill(database, database_urls, "ana")  # the person came back
    new = left(database_urls)
    with psycopg.connect(database_urls.owner) as connection:  # and an old run wrote once more
        row = connection.execute("SELECT run FROM fiel.runs ORDER BY started LIMIT 1").fetchone()
        assert row is not None
        connection.execute("INSERT INTO fiel.spans (run, key, data) VALUES (%s, 'k', 'x')", row)
    assert await resume(database, settled=0) == 1
    assert left(database_urls) == new


async def test_verification_tells_erased_from_lost_and_from_destroyed(
    database: Database, database_urls: Urls, settings: Settings
) -> None:
    for name in ("ana", "ben", "eve"):
        await ask(database, name)
    await erase(database, ADMIN, "ana")
    async with database.system() as connection:
        await erase_key(connection, "acme", "ben")  # as somebody with the runtime's rights could
    value = await audit.verify(settings, database, ADMIN)
    assert (value["erased"], value["lost"], [one["what"] for one in value["broken"]]) == (
        1,
        1,
        [value["broken"][0]["what"]],
    )
    assert "destroyed without an act" in value["broken"][0]["what"]
    with psycopg.connect(database_urls.owner) as connection:
        connection.execute("ALTER TABLE fiel.subject_keys DISABLE TRIGGER ALL")
        connection.execute("DELETE FROM fiel.subject_keys WHERE subject = 'ben'")
        connection.execute("UPDATE fiel.subject_keys SET wrapped = 'x', erased = NULL WHERE subject = 'ana'")
    value = await audit.verify(settings, database, ADMIN)
    assert (value["erased"], value["lost"]) == (0, 2)
    assert "is back" in value["broken"][0]["what"]


async def test_an_act_written_afterwards_makes_no_destruction_right(database: Database, settings: Settings) -> None:
    from fiel.infra.ledger.acts import Act, record

    await ask(database, "ana")
    async with database.acting(ADMIN) as connection:
        keys = await erase_key(connection, "acme", "ana")
        await record(connection, Act(ADMIN, "erase", "ana", {"keys": keys}))
    assert (await audit.verify(settings, database, ADMIN))["broken"]


async def test_spans_under_a_destroyed_key_are_never_shipped(database: Database) -> None:
    from fiel.infra.telemetry.shipper import Shipper

    class Nobody:
        async def post(self, traces: bytes) -> None:
            raise AssertionError("something was sent")

    keys = SubjectKeys(database.system, MASTER)
    await ask(database, "ana")
    await keys.of("acme", "ana")  # this process remembers the key
    async with database.system() as connection:
        await erase_key(connection, "acme", "ana")
    shipper = Shipper(database.system, MASTER, Nobody(), keys=keys)  # type: ignore[arg-type]
    assert await shipper.ship_once() == 0
    assert (await shipper.backlog()).pending == 0


async def dies(url: str) -> None:
    """What the killed process does: begins, and is killed before the first row goes."""
    from fiel.infra.erasure import erase as module

    async def kill(*_: Any) -> dict[str, int]:
        os.kill(os.getpid(), signal.SIGKILL)
        return {}

    module.remove = kill
    async with Database(url) as database:
        await module.erase(database, ADMIN, "ana")


@pytest.mark.faults
async def test_killed_after_the_keys_the_same_command_finishes_with_the_same_act(
    database: Database, database_urls: Urls
) -> None:
    await fill(database, database_urls, "ana")
    code = "import asyncio, sys; from tests.contract import test_erasure as t; asyncio.run(t.dies(sys.argv[1]))"
    command = [sys.executable, "-c", code, database_urls.runtime]
    killed = await asyncio.to_thread(subprocess.run, command, cwd=Path(__file__).parents[2], check=False)
    assert killed.returncode == -signal.SIGKILL
    async with database.acting(ADMIN) as connection:
        (act,) = [one for one in await acts(connection, "acme") if one.body["kind"] == "erase"]
    done = await erase(database, ADMIN, "ana")
    assert (done.act, done.keys) == (act.act, 0)
    assert left(database_urls)["threads"] == 0
    assert orjson.loads(orjson.dumps(done.plain()))["removed"]["threads"] == 1


async def test_an_export_tells_what_was_erased_by_right(database: Database, settings: Settings, tmp_path: Path) -> None:
    from fiel.infra.ledger.destroyed import erased_in
    from fiel.infra.ledger.export import Part

    await ask(database, "ana")
    await ask(database, "ben")
    await erase(database, ADMIN, "ana")
    file = tmp_path / "export.jsonl"
    await audit.export(settings, database, ADMIN, Part(), file)
    assert erased_in(orjson.loads(line) for line in file.read_bytes().splitlines()) == 1
