"""A backup of the home folder comes back whole, and one that is older than the signed heads is found out."""

import asyncio
import shutil
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from fiel.infra.database.connect import Database
from fiel.infra.database.embedded import Embedded
from fiel.infra.database.migrate import migrate
from fiel.infra.desk import audit
from fiel.infra.ledger.keys import KEY_FILE, file_cipher
from fiel.infra.ledger.postgres import PostgresStore
from fiel.infra.ledger.subjects import SubjectKeys
from fiel.infra.settings import Settings
from tests.contract.test_ledger_audit import ADMIN, flush

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


async def used(home: Path, elsewhere: Path, runs: int) -> tuple[dict[str, Any], str]:
    """Start the home's server, append runs, verify, stop; what verification says, and the id of ana's key."""
    settings = Settings(home=str(home), heads=str(elsewhere))
    async with Embedded(home) as server:
        await asyncio.to_thread(migrate, server.owner_url)
        async with Database(server.url, size=4) as database:
            await PostgresStore(database.system).append([flush(str(uuid4())) for _ in range(runs)])
            key = await SubjectKeys(database.system, file_cipher(home / KEY_FILE)).of("acme", "ana")
            return await audit.verify(settings, database, ADMIN), key.id


async def test_a_backup_is_restored_and_an_older_one_is_told(tmp_path: Path) -> None:
    home, heads = tmp_path / "home", tmp_path / "elsewhere" / "heads.jsonl"
    value, key = await used(home, heads, 3)
    assert value["broken"] == []
    shutil.copytree(home, tmp_path / "backup", symlinks=True)
    shutil.copy(heads, tmp_path / "as it was")
    restored, same = await used(tmp_path / "backup", tmp_path / "as it was", 0)
    assert (restored["broken"], restored["entries"], same) == ([], 9, key)
    shutil.copytree(home, tmp_path / "older", symlinks=True)
    for _ in range(2):
        value, _ = await used(home, heads, 2)
        assert value["broken"] == []
    older, _ = await used(tmp_path / "older", heads, 0)
    assert any("truncated" in one["what"] or "rebuilt" in one["what"] for one in older["broken"])
