"""Retention: contents of old days, and of a collection, go with an act; what is newer or about others stays."""

import asyncio
from pathlib import Path
from typing import Any

import psycopg
import pytest

from fiel.infra.database.connect import Database
from fiel.infra.desk import audit
from fiel.infra.erasure.retention import Retention, Rule, retain, rules
from fiel.infra.ledger.acts import acts
from fiel.infra.ledger.subjects import KeyErased, SubjectKeys
from fiel.infra.runs.names import checkpoint_thread, new_id
from fiel.infra.settings import Settings
from fiel.infra.threads import set_up
from fiel.tools.errors import NotPermitted, SettingsError
from fiel.tools.principal import Principal, local_administrator
from tests.conftest import Urls
from tests.contract.test_ledger_subjects import MASTER, ask

ADMIN = local_administrator("acme")


def aged(urls: Urls, days: int, collection: str = "") -> None:
    """What there is becomes older, or is about something else."""
    with psycopg.connect(urls.owner) as connection:
        connection.execute(
            "UPDATE fiel.subject_keys SET day = day - %s, collection = %s WHERE wrapped IS NOT NULL", (days, collection)
        )


async def opens(database: Database, run: str) -> bool:
    async with database.system() as connection:
        row = await (await connection.execute("SELECT key FROM fiel.frames WHERE run = %s", (run,))).fetchone()
    assert row is not None
    try:
        await SubjectKeys(database.system, MASTER).named(row[0])
    except KeyErased:
        return False
    return True


def count(urls: Urls, table: str) -> int:
    with psycopg.connect(urls.owner) as connection:
        connection.execute("ALTER TABLE fiel.threads NO FORCE ROW LEVEL SECURITY")
        row = connection.execute(f"SELECT count(*) FROM fiel.{table}".encode()).fetchone()
        connection.rollback()
    return int(row[0]) if row else -1


async def test_what_is_old_goes_and_what_is_new_stays(database: Database, database_urls: Urls, tmp_path: Path) -> None:
    old, _, (first,) = await ask(database, "ana")
    aged(database_urls, 100)
    new, _, (second,) = await ask(database, "ana")
    assert first.reads == second.reads, "digests of one person stay comparable over the days"
    would = await retain(database, ADMIN, Rule(30), dry_run=True)
    assert (would.keys, would.runs) == (1, 1)
    assert await opens(database, old)
    done = await retain(database, ADMIN, Rule(30))
    assert (done.keys, done.runs, len(done.acts)) == (1, 1, 1)
    assert (await opens(database, old), await opens(database, new)) == (False, True)
    assert (count(database_urls, "spans"), count(database_urls, "trace_removals")) == (1, 1)
    async with database.acting(ADMIN) as connection:
        (act,) = [one for one in await acts(connection, "acme") if one.body["kind"] == "retention"]
    assert (act.body["subject"], act.body["detail"]["before"]) == ("*", done.before)
    again = await retain(database, ADMIN, Rule(30))
    assert (again.keys, again.acts) == (0, [])
    value = await audit.verify(Settings(home=str(tmp_path)), database, ADMIN)
    assert (value["broken"], value["erased"]) == ([], 1)


async def test_a_rule_about_a_collection_leaves_others_alone(database: Database, database_urls: Urls) -> None:
    people, _, _ = await ask(database, "ana")
    aged(database_urls, 100, "hr")
    other, _, _ = await ask(database, "ben")
    with psycopg.connect(database_urls.owner) as connection:
        connection.execute("UPDATE fiel.subject_keys SET day = day - 100 WHERE subject = 'ben'")
    await retain(database, ADMIN, Rule(30, "hr"))
    assert (await opens(database, people), await opens(database, other)) == (False, True)


async def test_a_run_lies_under_the_key_of_its_collection(database: Database) -> None:
    keys = SubjectKeys(database.system, MASTER)
    one, two = await keys.of("acme", "ana", "hr"), await keys.of("acme", "ana", "law")
    assert one.id != two.id
    assert one.mac == two.mac == (await keys.of("acme", "ana")).mac
    assert (await SubjectKeys(database.system, MASTER).named(one.id)).mac == one.mac


async def test_threads_go_once_nothing_on_them_can_be_read(database: Database, database_urls: Urls) -> None:
    await asyncio.to_thread(set_up, database_urls.owner)
    owner, threads = Principal("acme", "ana"), [new_id(), new_id()]
    for thread in threads:
        run, *_ = await ask(database, "ana")
        with psycopg.connect(database_urls.owner) as connection:
            connection.execute("ALTER TABLE fiel.runs DISABLE TRIGGER ALL")
            connection.execute("ALTER TABLE fiel.threads NO FORCE ROW LEVEL SECURITY")
            name = checkpoint_thread(owner, thread)
            connection.execute("UPDATE fiel.runs SET thread = %s WHERE run = %s", (name, run))
            connection.execute("INSERT INTO fiel.checkpoints VALUES (%s, '', '1', NULL, NULL, '{}', '{}')", (name,))
            connection.execute(
                "INSERT INTO fiel.threads (thread_id, tenant, owner, updated_at)"
                " VALUES (%s, 'acme', 'ana', now() - interval '100 days')",
                (thread,),
            )
            connection.execute("ALTER TABLE fiel.threads FORCE ROW LEVEL SECURITY")
        if thread is threads[0]:
            aged(database_urls, 100)
    done = await retain(database, ADMIN, Rule(30))
    assert (done.removed["threads"], done.removed["checkpoints"]) == (1, 1)
    assert (count(database_urls, "threads"), count(database_urls, "checkpoints")) == (1, 1)


async def test_a_process_that_serves_keeps_the_rules(database: Database, database_urls: Urls) -> None:
    run, *_ = await ask(database, "ana")
    aged(database_urls, 100)
    kept = Retention(database, rules("365, 30"))
    assert await kept.look() == 1
    assert not await opens(database, run)
    assert await kept.look() == 0
    with pytest.raises(NotPermitted):
        await retain(database, Principal("acme", "ana"), Rule(1))


def test_rules_are_read_strictly() -> None:
    assert rules(" 365, hr=90 ") == [Rule(365), Rule(90, "hr")]
    assert rules("") == []
    wrong: Any
    for wrong in ("x", "0", "-3", "hr=", "=3", "hr=x"):
        with pytest.raises(SettingsError):
            rules(wrong)
