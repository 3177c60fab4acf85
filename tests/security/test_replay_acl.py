"""What auditors are shown of the runs of others: replays, their report, exports, lineage, errors.

Never a text that they may not read at that moment, whatever has changed since the run, and whoever asked before them.

The worlds are those of `test_surfaces`, with an auditor who is in groups like anybody.
"""

import json
import re
import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langgraph.checkpoint.memory import InMemorySaver

from fiel.graphs.answer.graph import build
from fiel.infra.database.connect import Database
from fiel.infra.desk import audit
from fiel.infra.ledger import effects
from fiel.infra.ledger.export import Part
from fiel.infra.lineage import documents, runs
from fiel.infra.people.people import People
from fiel.infra.replay import sight
from fiel.infra.replay.change import UNCHANGED, Change
from fiel.infra.replay.many import Stretch, many
from fiel.infra.replay.replays import Replays
from fiel.infra.replay.report import page
from fiel.infra.replay.sight import sight_of
from fiel.infra.replay.stage import Stage
from fiel.infra.runs.pages import Window
from fiel.infra.settings import Settings
from fiel.infra.telemetry.trace import RunNotFound
from fiel.tools.errors import NotPermitted
from fiel.tools.principal import Principal
from fiel.tools.search.postgres import PostgresSearch
from fiel.tools.sql import load
from tests.conftest import Urls
from tests.graph.test_whatif import WORD, add_bundle
from tests.replay_support import Recorded, recorded_in
from tests.security.test_surfaces import CHANGES, USERS, WORDS, World

AUDITOR = "rita"
AGAIN = Change(again=frozenset({"search"}))
CHANGED = (UNCHANGED, Change({"k": 1}), Change({"policy": "words"}, live=False), AGAIN)
"""Replays of every kind: strict, other options, another bundle, and the index of now."""


@dataclass(slots=True)
class Audited(World):
    """A tenant with an auditor, who is shown everything that auditors can ask for."""

    async def audited(self, home: Path) -> dict[str, Any]:
        """What the auditor is told, by surface."""
        who = await self.who(AUDITOR)
        assert who.may("auditor")
        assert not who.may("administrator", "curator")
        await self.house.recorder.writer.drain()
        asked = [run for _, run in self.runs]
        replays = Replays(
            self.house.store, self.house.recorder.keys, Stage(self.house.services), sight_of(self.house.database)
        )
        told: dict[str, Any] = {
            "replays": [await replays.one(who, run, change) for run in asked for change in CHANGED],
            "lineage": [await self._lineage(who, run) for run in asked],
            "documents": [await self._document(who, one) for one in (*WORDS, *self._ids())],
            "errors": [await self._refused(replays, who, run) for run in (*asked[:1], str(uuid.uuid4()))],
        }
        summaries = [await many(replays, who, asked, change, Stretch()) for change in CHANGED]
        told["summaries"] = [summary.plain() for summary in summaries]
        told["reports"] = [page(value, "a day") for value in told["summaries"]]
        await audit.export(Settings(home=str(home)), self.house.database, who, Part(), home / "export.jsonl")
        told["export"] = (home / "export.jsonl").read_text()
        return told

    def _ids(self) -> list[str]:
        return [one.document for one in self.chunks.values()]

    async def _lineage(self, who: Principal, run: str) -> Any:
        return await runs.sources(self.house.database, self.house.recorder.keys, who, run)

    async def _document(self, who: Principal, target: str) -> Any:
        """Which answers used it; of what may not be read the auditor names the id or the address and learns neither."""
        named = target if target in self._ids() else f"{target}.md"
        try:
            found, seen = await documents.answers(self.house.database, who, named, Window(10), "any")
        except documents.DocumentNotFound as error:
            return str(error).replace(named, "?")
        return [found, seen.items]

    async def _refused(self, replays: Replays, who: Principal, run: str) -> str:
        """What a reader is told who asks for a replay, and an auditor of another tenant."""
        with pytest.raises(NotPermitted) as forbidden:
            await replays.one(await self.who(USERS[0]), run)
        with pytest.raises(RunNotFound) as unknown:
            await replays.one(Principal("another", who.id, who.groups, who.roles), run)
        return f"{forbidden.value} {unknown.value}"

    async def warm(self) -> None:
        """Who may read everything asks first: whatever is remembered in this process is of all documents."""
        await self.house.graph.ainvoke(
            {"question": "What is in the vault?"}, config=self.house.config(principal=self.boss)
        )

    async def look(self, home: Path) -> None:
        """Every surface of every user, and those of the auditor."""
        await self.warm()
        await self.check()
        allowed = self.readable(AUDITOR)
        for surface, told in (await self.audited(home)).items():
            text = json.dumps(told, default=str)
            assert {word for word in WORDS if word in text} <= (set() if surface == "export" else allowed), surface


@pytest.fixture
async def house(database: Database) -> AsyncIterator[Recorded]:
    async with recorded_in(database) as made:
        search = PostgresSearch(database.read, model="test", dimensions=2)
        made.services = replace(made.services, search=effects.RecordedSearch(search))
        made.graph = build(made.services, InMemorySaver())
        add_bundle(made, "words", WORD.format(stage="output", word=WORDS[0]))
        yield made


async def a_world(house: Recorded, changes: Any = ()) -> Audited:
    search = PostgresSearch(house.database.read, model="test", dimensions=2)
    world = Audited(house, search, users=(*USERS, AUDITOR))
    await world.begin()
    await People(house.database).add_user(world.boss, AUDITOR, roles=["reader", "auditor"])
    for change in changes:
        await world.change(*change)
    return world


PUTS = st.lists(st.tuples(st.just("put"), st.integers(0, len(WORDS) - 1), st.integers(0, 2)), min_size=2, max_size=5)


async def explore(house: Recorded, home: Path, puts: Any, changes: Any) -> None:
    """Look, change, look again; the runs of before are looked at as well."""
    world = await a_world(house, puts)
    await world.look(home)
    for change in changes:
        await world.change(*change)
    await world.look(home)


@settings(max_examples=2, deadline=None, suppress_health_check=list(HealthCheck))
@given(puts=PUTS, changes=CHANGES)
async def test_an_auditor_reads_what_a_grant_opens_and_no_more(
    house: Recorded, tmp_path: Path, puts: Any, changes: Any
) -> None:
    await explore(house, tmp_path, puts, changes)


@pytest.mark.slow
@pytest.mark.timeout(600)
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(puts=PUTS, changes=CHANGES)
async def test_an_auditor_reads_no_more_in_many_worlds(
    house: Recorded, tmp_path: Path, puts: Any, changes: Any
) -> None:
    await explore(house, tmp_path, puts, changes)


# The two walls

TABLES = (
    "audiences",
    "documents",
    "versions",
    "chunks",
    "collections",
    "shelves",
    "shelf_counts",
    "sources",
    "lineage",
)
PREDICATES = (
    re.compile(r" AND a\.acl && \(SELECT fiel\.caller_grants\(\)\)"),
    re.compile(r" AND \(\(SELECT fiel\.caller_curates\(\)\) OR EXISTS \(.*?\n +\)\)", re.S),
    re.compile(r"\S*tenant = \(SELECT fiel\.caller_tenant\(\)\) AND "),
    re.compile(r" AND \S*tenant = \(SELECT fiel\.caller_tenant\(\)\)"),
)
MODULES = (sight, documents, runs)


def _without_predicates(package: str, file: str) -> Mapping[str, str]:
    queries = dict(load(package, file))
    for name, query in queries.items():
        for predicate in PREDICATES:
            query = predicate.sub("", query)
        queries[name] = query
    return MappingProxyType(queries)


def _predicates_off(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in MODULES:
        monkeypatch.setattr(module, "load", _without_predicates)


def _row_security_off(urls: Urls) -> None:
    with psycopg.connect(urls.owner) as connection:
        connection.execute("SET ROLE fiel_owner")
        for table in TABLES:
            connection.execute(f"ALTER TABLE fiel.{table} DISABLE ROW LEVEL SECURITY")


@pytest.fixture
async def world(house: Recorded) -> Audited:
    """Ana may read two documents, of which the auditor may read one; and has asked."""
    made = await a_world(house, [("join", 0, 0), ("put", 0, 1), ("put", 1, 2)])
    await made.change("allow", 0, 0)
    await made.change("allow", 1, 0)
    await made.answer(await made.who(USERS[0]))
    await made.change("allow", 1, 1)
    await made.change("join", 2, 1)
    assert made.readable(AUDITOR) == {WORDS[1]}
    return made


async def holds(world: Audited, home: Path) -> None:
    told = json.dumps(await world.audited(home), default=str)
    assert WORDS[0] not in told
    assert WORDS[1] in told


async def test_row_security_alone_holds(world: Audited, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _predicates_off(monkeypatch)
    await holds(world, tmp_path)


async def test_predicates_alone_hold(world: Audited, database_urls: Urls, tmp_path: Path) -> None:
    _row_security_off(database_urls)
    await holds(world, tmp_path)


async def test_without_both_walls_the_check_finds_the_hole(
    world: Audited, database_urls: Urls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _predicates_off(monkeypatch)
    _row_security_off(database_urls)
    with pytest.raises(AssertionError):
        await holds(world, tmp_path)
