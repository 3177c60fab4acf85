"""Bundles and prompts are kept by version, and an old run finds its own."""

import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from fiel.graphs.answer.options import Options
from fiel.graphs.answer.prompt_files import installed, prompts
from fiel.infra.database.connect import Database
from fiel.infra.reload import started
from fiel.infra.replay.change import Change
from fiel.infra.replay.kept import Kept, bundle_texts, prompt_texts
from fiel.infra.replay.record import NotReplayable
from fiel.infra.replay.replays import Replays
from fiel.infra.replay.sight import sight_of
from fiel.infra.replay.stage import Stage
from fiel.policies.bundle import read_bundles
from fiel.tools.errors import UsageError
from fiel.tools.principal import local_administrator
from tests.conftest import Urls
from tests.replay_support import Recorded, recorded_in

THEN = Change(then=True)
BUNDLE = """
name: house
description: a test's
extends: default
checks:
  - check: banned
    id: words
    stages:
      output: {{block: {threshold}}}
    with:
      words: [kazoo]
overrides:
  - id: lab
    collections: [lab]
    checks:
      - check: banned
        id: words
        stages:
          output: {{block: 0.1}}
        with:
          words: [kazoo]
"""


@pytest.fixture
async def house(database: Database) -> AsyncIterator[Recorded]:
    async with recorded_in(database) as house:
        yield house


async def installs(house: Recorded, folder: Path, threshold: str) -> None:
    """Put a bundle into use, as a start does."""
    (folder / "house.yaml").write_text(BUNDLE.format(threshold=threshold))
    bundles = read_bundles(folder)
    house.policies.replace(bundles)
    await started(house.database, [*bundle_texts(bundles), *prompt_texts(installed())])


def replays(house: Recorded) -> Replays:
    database = house.database
    return Replays(house.store, house.recorder.keys, Stage(house.services), sight_of(database), Kept(database))


async def asked(house: Recorded, collection: str = "default") -> str:
    run = str(uuid.uuid4())
    await house.ask(run=run, options=Options(policy="house", collection=collection))
    return run


@pytest.mark.parametrize("collection", ["default", "lab"])
async def test_an_old_run_finds_its_own_bundle(house: Recorded, tmp_path: Path, collection: str) -> None:
    await installs(house, tmp_path, "0.9")
    run = await asked(house, collection)
    assert (await replays(house).one(local_administrator(), run))["identical"]
    await installs(house, tmp_path, "0.8")
    value = await replays(house).one(local_administrator(), run)
    assert value["first_divergence"]["hop"] == "guard_input"
    assert value["first_divergence"]["what"] == "request check.bundle"
    assert any("--then" in note for note in value["notes"])
    then = await replays(house).one(local_administrator(), run, THEN)
    assert (then["identical"], then["mode"], then["live_calls"]) == (True, "strict", 0), then["first_divergence"]


async def test_an_old_run_finds_its_own_prompts(house: Recorded, tmp_path: Path) -> None:
    await installs(house, tmp_path, "0.9")
    run = await asked(house)

    def other(name: str) -> Any:
        found = prompts(name)
        return replace(found, answer_template=found.answer_template.replace(" the ", " this ", 1))

    house.services = replace(house.services, prompts=other)
    value = await replays(house).one(local_administrator(), run)
    assert value["first_divergence"]["hop"] == "generate"
    assert any("--then" in note for note in value["notes"])
    assert (await replays(house).one(local_administrator(), run, THEN))["identical"]


async def test_what_is_not_kept_or_no_longer_the_same_is_named(
    house: Recorded, tmp_path: Path, database_urls: Urls
) -> None:
    await installs(house, tmp_path, "0.9")
    run = await asked(house)
    with psycopg.connect(database_urls.owner) as connection:
        connection.execute("ALTER TABLE fiel.kept DISABLE TRIGGER ALL")
        connection.execute("UPDATE fiel.kept SET body = replace(encode(body, 'escape'), '0.9', '0.7')::bytea"
                           " WHERE name = 'house'")  # fmt: skip
    with pytest.raises(NotReplayable, match="have changed since"):
        await replays(house).one(local_administrator(), run, THEN)
    with psycopg.connect(database_urls.owner) as connection:
        connection.execute("ALTER TABLE fiel.kept DISABLE TRIGGER ALL")
        connection.execute("DELETE FROM fiel.kept WHERE name = 'house'")
    with pytest.raises(NotReplayable, match="not kept"):
        await replays(house).one(local_administrator(), run, THEN)


async def test_what_is_kept_stays(house: Recorded, tmp_path: Path, database_urls: Urls) -> None:
    await installs(house, tmp_path, "0.9")
    await installs(house, tmp_path, "0.9")
    for url in (database_urls.owner, database_urls.runtime):
        with psycopg.connect(url) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("UPDATE fiel.kept SET name = 'x'")


async def test_then_and_a_change_are_two_questions(house: Recorded, tmp_path: Path) -> None:
    await installs(house, tmp_path, "0.9")
    run = await asked(house)
    with pytest.raises(UsageError):
        await replays(house).one(local_administrator(), run, Change({"k": 3}, then=True))
