"""A dump of the database comes back whole in another one; one that was altered, or is older than the heads, is told."""

import asyncio
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from fiel.infra.database.cluster import binaries, environment
from fiel.infra.database.connect import Database
from fiel.infra.desk import audit
from fiel.infra.ledger.keys import KEY_FILE, file_cipher
from fiel.infra.ledger.postgres import PostgresStore
from fiel.infra.ledger.subjects import SubjectKeys
from fiel.infra.settings import Settings
from fiel.tools.errors import DatabaseUnavailable
from tests.conftest import Postgres, Urls
from tests.contract.test_ledger_audit import ADMIN, flush

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def program(name: str, url: str, *arguments: str, given: str | None = None) -> str:
    """What a program of PostgreSQL prints, asked of a database."""
    try:
        path = binaries() / name
    except DatabaseUnavailable:
        pytest.skip("the programs of PostgreSQL are not installed")
    command = [str(path), "--dbname", url, *arguments]
    done = subprocess.run(command, input=given, capture_output=True, text=True, env=environment(), check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


class Backups:
    """Dumps of the test's database, and databases that were made of them."""

    def __init__(self, postgres: Postgres, urls: Urls) -> None:
        if postgres.superuser is None:
            pytest.skip("no superuser may log in to the server of the tests, and row security hides rows from others")
        self._postgres, self._superuser = postgres, postgres.superuser
        self._name = str(conninfo_to_dict(urls.owner)["dbname"])
        self.made: list[str] = []

    def _url(self, name: str) -> str:
        return make_conninfo(self._superuser, dbname=name)

    async def dump(self) -> str:
        text = await asyncio.to_thread(program, "pg_dump", self._url(self._name))
        return re.sub(r"^SET transaction_timeout = 0;$", "", text, flags=re.M)  # servers before 17 know none

    async def restore(self, dump: str) -> Urls:
        name = await asyncio.to_thread(self._postgres.create)
        self.made.append(name)
        await asyncio.to_thread(program, "psql", self._url(name), "-qv", "ON_ERROR_STOP=1", given=dump)
        return self._postgres.urls(name)


@pytest.fixture
def backups(postgres: Postgres, database_urls: Urls) -> Iterator[Backups]:
    made = Backups(postgres, database_urls)
    yield made
    for name in made.made:
        postgres.drop(name)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=str(tmp_path / "home"), heads=str(tmp_path / "elsewhere" / "heads.jsonl"))


async def used(database: Database, settings: Settings, runs: int) -> str:
    """Append runs and sign the head over them; the id of ana's key."""
    await PostgresStore(database.system).append([flush(str(uuid4())) for _ in range(runs)])
    assert (await audit.verify(settings, database, ADMIN))["broken"] == []
    return (await SubjectKeys(database.system, file_cipher(settings.folder / KEY_FILE)).of("acme", "ana")).id


async def verified(urls: Urls, settings: Settings) -> dict[str, Any]:
    async with Database(urls.runtime, size=4) as restored:
        return await audit.verify(settings, restored, ADMIN)


async def test_a_dump_comes_back_whole_and_goes_on(database: Database, backups: Backups, settings: Settings) -> None:
    key = await used(database, settings, 3)
    urls = await backups.restore(await backups.dump())
    value = await verified(urls, settings)
    assert (value["broken"], value["entries"], value["unsealed"]) == ([], 9, 0)
    assert [place["problem"] for place in value["places"]] == [None]
    async with Database(urls.runtime, size=4) as restored:
        assert await used(restored, settings, 2) == key, "contents are read under the same keys"
    assert (await verified(urls, settings))["entries"] == 15


async def test_a_dump_that_is_older_than_the_heads_elsewhere_is_told(
    database: Database, backups: Backups, settings: Settings, tmp_path: Path
) -> None:
    await used(database, settings, 2)
    old = await backups.dump()
    shutil.copytree(settings.folder, tmp_path / "as it was")  # the home folder was backed up with it
    await used(database, settings, 2)
    value = await verified(await backups.restore(old), replace(settings, home=str(tmp_path / "as it was")))
    assert any("truncated" in one["what"] or "rebuilt" in one["what"] for one in value["broken"]), value["broken"]


@pytest.mark.parametrize("table", ["runs", "entries", "frames", "acts", "seals"])
async def test_a_dump_that_was_altered_is_told(
    database: Database, backups: Backups, settings: Settings, table: str
) -> None:
    await used(database, settings, 2)
    dump = await backups.dump()
    begin = re.search(rf"^COPY fiel\.{table} .*$\n", dump, flags=re.M)
    assert begin is not None
    end = dump.index("\n", begin.end())
    row = dump[begin.end() : end]
    hexes = [found.span() for found in re.finditer(r"\\\\x[0-9a-f]{16,}", row)] or [(0, 4)]
    at = hexes[-1][1] - 1  # the last digit of the row's last bytes; of a run the name
    digit = "0" if row[at] != "0" else "1"
    value = await verified(
        await backups.restore(dump[: begin.end()] + row[:at] + digit + row[at + 1 :] + dump[end:]), settings
    )
    assert value["broken"], (table, row)


async def test_a_dump_without_a_row_is_told(database: Database, backups: Backups, settings: Settings) -> None:
    await used(database, settings, 3)
    dump = await backups.dump()
    for table in ("runs", "entries", "acts", "seals"):
        begin = re.search(rf"^COPY fiel\.{table} .*$\n", dump, flags=re.M)
        assert begin is not None
        end = dump.index("\n", begin.end()) + 1
        value = await verified(await backups.restore(dump[: begin.end()] + dump[end:]), settings)
        assert value["broken"], table
