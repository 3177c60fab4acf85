"""What somebody would do to an export, or to the database, so that a check says *whole* of what is not."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from fiel.infra.database.connect import Database
from fiel.infra.desk import audit
from fiel.infra.ledger import verify
from fiel.infra.ledger.chain import seal
from fiel.infra.ledger.export import Part
from fiel.infra.ledger.keys import KEY_FILE, file_cipher
from fiel.infra.ledger.leaf import of_frame
from fiel.infra.ledger.postgres import PostgresStore
from fiel.infra.ledger.subjects import SubjectKeys
from fiel.infra.settings import Settings
from tests.conftest import Urls
from tests.contract.test_ledger_audit import ADMIN, fill, flush, settings, tamper

__all__ = ["settings"]
Lines = list[dict[str, Any]]


async def exported(database: Database, settings: Settings, file: Path, run: str | None = None) -> tuple[Lines, str]:
    """The records of an export, and the public key."""
    told = await audit.export(settings, database, ADMIN, Part(run), file)
    text = await asyncio.to_thread(file.read_text, encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()], told["public_key"]


def written(records: Lines) -> list[str]:
    """The lines of a file that somebody without the key has made: its digest is right, its signature is not."""
    lines, whole = [], sha256()
    for one in records:
        made = one | {"sha256": whole.hexdigest()} if one["t"] == "end" else one
        lines.append(json.dumps(made, sort_keys=True, separators=(",", ":")) + "\n")
        whole.update(lines[-1].encode())
    return lines


def without(records: Lines, *kinds: str) -> Lines:
    return [one for one in records if one["t"] not in kinds]


def partly(records: Lines) -> Lines:
    """The last run is gone, and the file says that it is a part."""
    last = [one["run"] for one in records if one["t"] == "run"][-1]
    return [records[0] | {"partial": True}, *(one for one in records[1:] if one.get("run") != last)]


LEFT_OUT: dict[str, Callable[[Lines], Lines]] = {
    "it says that it is a part": partly,
    "no head": lambda records: without(records, "head"),
    "nothing": lambda records: [records[0], records[-1]],
    "no seal, no head, no run": lambda records: without(records, "seal", "head", "run", "entry", "frame", "act"),
}


@pytest.mark.parametrize("attack", LEFT_OUT)
async def test_what_is_left_out_of_an_export_is_found_by_its_signature(
    attack: str, database: Database, settings: Settings, tmp_path: Path
) -> None:
    await fill(database, settings)
    records, key = await exported(database, settings, tmp_path / "whole.jsonl")
    assert verify.verify(written(records), verify.signed_by(key)).broken == []
    made = written(LEFT_OUT[attack](records))
    assert verify.verify(made, verify.signed_by(key)).broken


@pytest.mark.slow
async def test_an_export_that_was_cut_at_any_byte_is_broken_or_none(
    database: Database, settings: Settings, tmp_path: Path
) -> None:
    await fill(database, settings)
    records, key = await exported(database, settings, tmp_path / "whole.jsonl")
    data, check = "".join(written(records)), verify.signed_by(key)
    for at in range(len(data) - 1):
        try:
            assert verify.verify(data[:at].splitlines(keepends=True), check).broken, at
        except ValueError:
            continue


async def test_two_exports_make_no_third(database: Database, settings: Settings, tmp_path: Path) -> None:
    """Each of them holds: one after the other, the lines of one under the end of the other, and both sorted."""
    runs = await fill(database, settings)
    first, key = await exported(database, settings, tmp_path / "1.jsonl")
    second, _ = await exported(database, settings, tmp_path / "2.jsonl")
    parts = [(await exported(database, settings, tmp_path / f"{run}.jsonl", run))[0] for run in runs[:2]]
    assert not any(verify.verify(written(one), verify.signed_by(key)).broken for one in (first, second, *parts))
    both = [*parts[0][:-1], *parts[1][1:-1]]
    made = {
        "one after the other": [*first, *second],
        "under another's end": [*first[:-1], second[-1]],
        "sorted": [*sorted(both, key=lambda one: verify.ORDER.index(one["t"])), parts[0][-1]],
    }
    for name, records in made.items():
        assert verify.verify(written(records), verify.signed_by(key)).broken, name


def bent(records: Lines) -> Lines:
    """An entry says something else, with a hash that fits."""
    at = max(place for place, one in enumerate(records) if one["t"] == "entry")
    body = json.dumps(json.loads(records[at]["body"]) | {"hop": "other"}, sort_keys=True)
    return [*records[:at], records[at] | {"body": body, "hash": sha256(body.encode()).hexdigest()}, *records[at + 1 :]]


def before_the_end(records: Lines, *more: dict[str, Any]) -> Lines:
    return [*bent(records)[:-1], *more, records[-1]]


FORGOTTEN: dict[str, Callable[[Lines], Lines]] = {
    "a record that is named like a method": lambda records: before_the_end(records, {"t": "_init__"}),
    "another header": lambda records: before_the_end(records, records[0]),
    "a part behind the end": lambda records: [*bent(records), records[0] | {"partial": True}, records[-1]],
    "the end alone once more": lambda records: [*bent(records), records[-1]],
    "a failure that is forgotten": lambda records: before_the_end(records, {"t": "fail"}, {"t": "take"}),
}


@pytest.mark.parametrize("attack", FORGOTTEN)
async def test_no_record_makes_the_verifier_forget_what_it_has_found(
    attack: str, database: Database, settings: Settings, tmp_path: Path
) -> None:
    await fill(database, settings)
    records, _ = await exported(database, settings, tmp_path / "whole.jsonl")
    assert verify.verify(written(bent(records))).broken
    assert verify.verify(written(FORGOTTEN[attack](records))).broken


@pytest.mark.parametrize("line", ["[]", "1", '"end"', "{}", "null"])
def test_a_line_that_is_no_record_is_no_export(line: str) -> None:
    header = json.dumps({"t": "header", "v": 1, "tenant": "acme", "partial": False}) + "\n"
    for lines in ([line], [header, line], [header, line, header]):
        try:
            assert verify.verify(lines).broken
        except ValueError:
            continue


async def test_a_leaf_that_waits_does_not_stand_in_for_one_that_was_sealed(
    database: Database, database_urls: Urls, settings: Settings
) -> None:
    runs = await fill(database, settings)
    made = flush(runs[1])
    body = json.loads(made.entries[-1].body) | {"hop": "forged"}
    forged = replace(made, entries=(*made.entries[:-1], seal(2, body)))
    head = forged.entries[-1]
    leaf = of_frame(runs[1], 2, head.hash, made.key, made.kept().frame)
    tamper(
        database_urls,
        f"UPDATE fiel.entries SET hash = '\\x{head.hash.hex()}', body = '\\x{head.body.hex()}'"
        f" WHERE run = '{runs[1]}' AND seq = 2",
        f"UPDATE fiel.frames SET head = '\\x{head.hash.hex()}' WHERE run = '{runs[1]}' AND seq = 2",
        f"INSERT INTO fiel.unsealed (tenant, leaf) VALUES ('acme', '\\x{leaf.hex()}')",
    )
    broken = (await audit.verify(settings, database, ADMIN))["broken"]
    assert (runs[1], 2) in [(one["run"], one["seq"]) for one in broken]


async def test_a_run_that_was_asked_for_and_is_gone_is_missed_in_its_export(
    database: Database, database_urls: Urls, settings: Settings, tmp_path: Path
) -> None:
    runs = await fill(database, settings)
    gone = [f"DELETE FROM fiel.{table} WHERE run = '{runs[1]}'" for table in ("runs", "entries", "frames")]
    tamper(database_urls, *gone)
    for run in (runs[1], str(uuid4())):
        records, key = await exported(database, settings, tmp_path / f"{run}.jsonl", run)
        assert {one["run"] for one in verify.verify(written(records), verify.signed_by(key)).broken} == {run}


@pytest.mark.slow
@pytest.mark.parametrize("day", ["IS NULL", "IS NOT NULL"])
async def test_contents_whose_key_is_said_to_lie_under_another_are_not_called_readable(
    day: str, database: Database, database_urls: Urls, settings: Settings
) -> None:
    key = await SubjectKeys(database.system, file_cipher(settings.folder / KEY_FILE)).of("acme", "ana")
    await PostgresStore(database.system).append([replace(flush(str(uuid4())), key=key.id)])
    with psycopg.connect(database_urls.owner) as connection:
        connection.execute(f"UPDATE fiel.subject_keys SET master = master || 'x' WHERE day {day}")
    value = await audit.verify(settings, database, ADMIN)
    assert (value["broken"], value["erased"], value["lost"]) == ([], 0, 1)


@pytest.mark.parametrize("day", ["IS NULL", "IS NOT NULL"])
async def test_a_key_that_was_altered_is_told_from_one_that_was_erased(
    day: str, database: Database, database_urls: Urls, settings: Settings
) -> None:
    key = await SubjectKeys(database.system, file_cipher(settings.folder / KEY_FILE)).of("acme", "ana")
    run = str(uuid4())
    await PostgresStore(database.system).append([replace(flush(run), key=key.id)])
    assert (await audit.verify(settings, database, ADMIN))["broken"] == []
    with psycopg.connect(database_urls.owner) as connection:
        connection.execute(f"UPDATE fiel.subject_keys SET wrapped = set_byte(wrapped, 20, 0) WHERE day {day}")
    value = await audit.verify(settings, database, ADMIN)
    assert [one["run"] for one in value["broken"]] == [run]
    assert "altered" in value["broken"][0]["what"] and value["erased"] == value["lost"] == 0
