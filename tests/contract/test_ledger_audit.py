"""The chain of a tenant: whatever is altered, deleted, inserted, cut or made anew is found, and its place named."""

import asyncio
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from fiel.infra.cli.audit import part_of
from fiel.infra.database.connect import Database
from fiel.infra.desk import audit
from fiel.infra.ledger import verify
from fiel.infra.ledger.chain import Sealed, seal
from fiel.infra.ledger.export import Part
from fiel.infra.ledger.heads import signer_of
from fiel.infra.ledger.postgres import PostgresStore
from fiel.infra.ledger.sealing import Sealing
from fiel.infra.ledger.store import Flush, RunRow
from fiel.infra.settings import Settings
from fiel.tools.errors import NotPermitted, UsageError
from fiel.tools.principal import Principal, local_administrator
from tests.conftest import Urls

ADMIN = local_administrator("acme")
TABLES = ("runs", "entries", "frames", "acts", "seals", "heads")
COLUMNS = {
    "runs": ("run", "tenant", "thread", "caller", "resumes", "resumes_seq", "started"),
    "entries": ("run", "seq", "hash", "body"),
    "frames": ("run", "seq", "head", "key", "data"),
    "acts": ("act", "tenant", "principal", "kind", "subject", "at", "hash", "body"),
    "seals": ("tenant", "number", "hash", "body", "leaves"),
    "heads": ("tenant", "number", "body", "signature"),
}


def flush(run: str, *, prev: str = "", resumes: tuple[str, int] | None = None, count: int = 3) -> Flush:
    """A run as a recorder would commit it."""
    row = RunRow(run, "acme", "t", "ana", *(resumes or (None, None)), 1_700_000_000_000_000)
    begin = {"caller": {"id": "ana"}, "thread": "t", "started": row.started}
    begin["resumes"] = {"run": resumes[0], "seq": resumes[1]} if resumes else None
    entries: list[Sealed] = []
    for seq in range(count):
        facts = {"v": 1, "tenant": "acme", "run": run, "seq": seq, "prev": prev, "hop": "hop"}
        entries.append(seal(seq, facts | ({"begin": begin} if seq == 0 else {})))
        prev = entries[-1].hash.hex()
    return Flush.of(row, tuple(entries), "k1", b"\0frame")


async def fill(database: Database, settings: Settings) -> list[str]:
    """Three runs, of which one resumes another, sealed apart, and signed."""
    store, runs = PostgresStore(database.system), [str(uuid4()) for _ in range(3)]
    one = flush(runs[0])
    await store.append([one, flush(runs[1])])
    assert (await audit.verify(settings, database, ADMIN))["broken"] == []
    await store.append([flush(runs[2], prev=one.entries[1].hash.hex(), resumes=(runs[0], 1))])
    assert (await audit.verify(settings, database, ADMIN))["broken"] == []
    return runs


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=str(tmp_path))


def tamper(urls: Urls, *statements: str) -> None:
    """What only somebody who owns the database can do: the triggers are off."""
    with psycopg.connect(urls.owner) as connection:
        for table in TABLES:
            connection.execute(f"ALTER TABLE fiel.{table} DISABLE TRIGGER ALL, NO FORCE ROW LEVEL SECURITY")
        for statement in statements:
            connection.execute(statement)


async def test_what_was_committed_is_sealed_and_whole(database: Database, settings: Settings) -> None:
    await fill(database, settings)
    value = await audit.verify(settings, database, ADMIN)
    assert (value["entries"], value["broken"], value["unsealed"]) == (9, [], 0)
    assert value["head"]["signed"] == value["head"]["seal"] - 1  # this very question is an act, signed afterwards


async def test_every_column_of_the_ledger_is_in_the_list_below(database: Database) -> None:
    async with database.system() as connection:
        cursor = await connection.execute(
            "SELECT table_name::text, array_agg(column_name::text) FROM information_schema.columns"
            " WHERE table_schema = 'fiel' AND table_name = ANY (%s) GROUP BY 1",
            (list(TABLES),),
        )
        found = {table: set(names) for table, names in await cursor.fetchall()}
    assert found == {table: set(names) for table, names in COLUMNS.items()}


CHANGE = {
    "uuid": "gen_random_uuid()",
    "text": "{} || 'x'",
    "bigint": "{} + 1000",
    "integer": "coalesce({}, 0) + 1000",
    "bytea": "set_bit({}, 8, 1 - get_bit({}, 8))",
}


@pytest.mark.slow
@pytest.mark.parametrize(("table", "column"), [(table, column) for table in TABLES for column in COLUMNS[table]])
async def test_a_change_in_any_column_is_found(
    table: str, column: str, database: Database, database_urls: Urls, settings: Settings
) -> None:
    await fill(database, settings)
    with psycopg.connect(database_urls.owner) as connection:
        row = connection.execute(
            "SELECT data_type FROM information_schema.columns"
            " WHERE table_schema = 'fiel' AND table_name = %s AND column_name = %s",
            (table, column),
        ).fetchone()
    assert row is not None
    new, where = CHANGE[row[0]].replace("{}", column), f"SELECT ctid FROM fiel.{table} ORDER BY ctid LIMIT 1"
    if column in ("resumes", "resumes_seq"):
        where = f"SELECT ctid FROM fiel.{table} WHERE resumes IS NOT NULL"
    tamper(database_urls, f"UPDATE fiel.{table} SET {column} = {new} WHERE ctid = ({where})")
    value = await audit.verify(settings, database, ADMIN)
    assert value["broken"], f"a change of {table}.{column} went unseen"
    assert all(one["what"] and one["tenant"] == "acme" for one in value["broken"])


@pytest.mark.slow
@pytest.mark.parametrize("table", TABLES)
async def test_a_row_that_is_deleted_is_found(
    table: str, database: Database, database_urls: Urls, settings: Settings
) -> None:
    await fill(database, settings)
    tamper(database_urls, f"DELETE FROM fiel.{table} WHERE ctid = (SELECT max(ctid) FROM fiel.{table})")
    assert (await audit.verify(settings, database, ADMIN))["broken"]


async def test_the_place_is_named(database: Database, database_urls: Urls, settings: Settings) -> None:
    runs = await fill(database, settings)
    tamper(
        database_urls,
        f"UPDATE fiel.entries SET body = set_byte(body, 20, 65) WHERE run = '{runs[1]}' AND seq = 1",
    )
    (first, *_) = (await audit.verify(settings, database, ADMIN))["broken"]
    assert (first["run"], first["seq"]) == (runs[1], 1)


async def test_an_entry_that_was_inserted_or_moved_is_found(
    database: Database, database_urls: Urls, settings: Settings
) -> None:
    runs = await fill(database, settings)
    more = flush(runs[1], count=4).entries[3]
    with psycopg.connect(database_urls.owner) as connection:
        connection.execute(
            "INSERT INTO fiel.entries (run, seq, hash, body) VALUES (%s, 3, %s, %s)", (runs[1], more.hash, more.body)
        )
    assert [(one["run"], one["seq"]) for one in (await audit.verify(settings, database, ADMIN))["broken"]] == [
        (runs[1], 3)
    ]
    swap = f"UPDATE fiel.entries SET seq = CASE seq WHEN 1 THEN 12 ELSE 1 END WHERE run = '{runs[0]}' AND seq IN (1, 2)"
    tamper(database_urls, swap, f"UPDATE fiel.entries SET seq = 2 WHERE run = '{runs[0]}' AND seq = 12")
    broken = (await audit.verify(settings, database, ADMIN))["broken"]
    assert (runs[0], 1) in [(one["run"], one["seq"]) for one in broken]


async def test_a_chain_that_was_cut_or_made_anew_is_found_by_its_signed_heads(
    database: Database, database_urls: Urls, settings: Settings
) -> None:
    await fill(database, settings)
    everything = [f"DELETE FROM fiel.{table}" for table in TABLES]
    tamper(database_urls, *everything)
    value = await audit.verify(settings, database, ADMIN)
    assert any("truncated" in one["what"] or "rebuilt" in one["what"] for one in value["broken"])
    store = PostgresStore(database.system)
    for _ in range(4):
        await store.append([flush(str(uuid4()))])
        await Sealing(database.system).drain()
    value = await audit.verify(settings, database, ADMIN)
    assert any("rebuilt" in one["what"] for one in value["broken"])


async def test_two_sealers_at_once_make_one_chain(database: Database, settings: Settings) -> None:
    store = PostgresStore(database.system)
    sealers = [Sealing(database.system) for _ in range(2)]
    for _ in range(5):
        await asyncio.gather(store.append([flush(str(uuid4()))]), *(one.seal() for one in sealers))
    value = await audit.verify(settings, database, ADMIN)
    assert (value["broken"], value["unsealed"], value["entries"]) == ([], 0, 15)


async def test_an_export_verifies_alone_and_any_change_of_it_is_found(
    database: Database, settings: Settings, tmp_path: Path
) -> None:
    await fill(database, settings)
    file = tmp_path / "export.jsonl"
    told = await audit.export(settings, database, ADMIN, Part(), file)
    shutil.copy(verify.__file__, tmp_path / "alone.py")

    def check(*arguments: str) -> tuple[int, Any]:
        command = [sys.executable, "-I", str(tmp_path / "alone.py"), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.returncode, json.loads(done.stdout) if done.stdout else done.stderr

    status, value = check(str(file), told["public_key"])
    assert (status, value["entries"], value["broken"], value["partial"], value["unsealed"]) == (0, 9, [], False, 0)
    assert value["last"] - value["signed"] == 1  # what has been sealed since the last head was signed
    assert "signed" not in check(str(file))[1], "without a key no signature was looked at"
    assert check(str(file), "00" * 32)[0] == 1
    assert check(str(tmp_path / "alone.py"))[0] == 2
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    key = verify.signed_by(told["public_key"])
    for place in range(1, len(lines)):
        assert verify.verify(lines[:place], key).broken, f"cut before line {place}"
        assert verify.verify([*lines[:place], *lines[place + 1 :]], key).broken, f"line {place} is gone"
        text = lines[place]
        for at in range(0, len(text) - 1, 37):
            altered = [*lines[:place], text[:at] + chr(ord(text[at]) ^ 1) + text[at + 1 :], *lines[place + 1 :]]
            try:
                assert verify.verify(altered, key).broken, f"line {place}, character {at}"
            except ValueError:
                continue
    swapped = [lines[0], lines[2], lines[1], *lines[3:]]
    assert verify.verify(swapped, key).broken


async def test_an_export_of_one_run_shows_nothing_of_others(
    database: Database, settings: Settings, tmp_path: Path
) -> None:
    runs = await fill(database, settings)
    file = tmp_path / "one.jsonl"
    told = await audit.export(settings, database, ADMIN, Part(runs[2]), file)
    text = file.read_text(encoding="utf-8")
    assert runs[1] not in text
    checked = verify.verify(text.splitlines(keepends=True), verify.signed_by(told["public_key"]))
    assert (checked.entries, checked.broken, checked.partial) == (3, [], True)


async def test_the_audit_interface_is_for_auditors_and_of_one_tenant(database: Database, settings: Settings) -> None:
    reader = Principal("acme", "ann", frozenset(), frozenset({"reader", "developer"}))
    with pytest.raises(NotPermitted):
        await audit.verify(settings, database, reader)
    await fill(database, settings)
    assert (await audit.verify(settings, database, local_administrator("other")))["entries"] == 0


async def test_a_key_that_signed_other_heads_is_not_taken_for_this_one(
    database: Database, settings: Settings, tmp_path: Path
) -> None:
    await fill(database, settings)
    other = Settings(home=str(tmp_path / "other"))
    assert signer_of(other.folder).public != signer_of(settings.folder).public
    assert (await audit.verify(other, database, ADMIN))["broken"]


@pytest.mark.parametrize(
    ("since", "micros"),
    [
        ("2026-01-31T12:00+01:00", 1_769_857_200_000_000),
        ("2666-01-09", 2**53 - 1),
        ("1960-01-01T00:00Z", 0),
        ("0001-01-01", None),
        ("9999-12-31T23:59-14:00", None),
        ("soon", None),
    ],
)
def test_a_time_that_cannot_be_is_a_usage_error(since: str, micros: int | None) -> None:
    if micros is not None:
        assert part_of(None, since) == Part(None, micros)
        return
    with pytest.raises(UsageError):
        part_of(None, since)
