"""No answer about lineage shows a text that its caller may not read at that moment. Each of two walls holds alone."""

import json
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fiel.infra.corpus.bulk import Bulk
from fiel.infra.corpus.grants import Grants
from fiel.infra.database.connect import Database
from fiel.infra.ledger.keys import Cipher, key_of
from fiel.infra.ledger.sealing import Sealing
from fiel.infra.ledger.subjects import SubjectKeys
from fiel.infra.lineage import documents, runs
from fiel.infra.lineage.index import Indexing
from fiel.infra.runs.pages import Window
from fiel.infra.telemetry.trace import RunNotFound
from fiel.tools.principal import CURATORS, Principal, local_administrator
from fiel.tools.search.memory import Stored
from fiel.tools.sql import load
from tests.conftest import Urls
from tests.lineage import QUESTION, Runs, passage

WORDS = ("aardvark", "bergamot", "cinnabar")
NAMES = st.frozensets(st.sampled_from(("red", "blue", "user:ana", "everyone")), max_size=2)
CIPHER = Cipher(key_of(b"k" * 32))
VECTOR = np.ones(3, dtype=np.float32)


@dataclass(slots=True)
class World:
    """A tenant of its own with one document a word, and a run that used them all."""

    runs: Runs
    tenant: str = field(default_factory=lambda: f"t-{uuid.uuid4()}")
    chunks: list[Stored] = field(default_factory=list)
    allowed: dict[str, frozenset[str]] = field(default_factory=dict)
    run: str = ""

    @property
    def boss(self) -> Principal:
        return local_administrator(self.tenant)

    @property
    def ana(self) -> Principal:
        return Principal(self.tenant, "ana", frozenset({"red"}), frozenset({"reader"}))

    @property
    def callers(self) -> list[Principal]:
        roles = (("auditor",), ("developer", "reader"), ("reader",), ("curator",))
        others = [
            Principal(self.tenant, f"bob{n}", frozenset({"blue"}), frozenset(held)) for n, held in enumerate(roles)
        ]
        return [self.ana, *others, self.boss, local_administrator("elsewhere")]

    async def fill(self, acls: Sequence[frozenset[str]], cited: Sequence[Sequence[int]]) -> None:
        for word, acl in zip(WORDS, acls, strict=True):
            ids = [str(uuid.uuid4()) for _ in range(3)]
            facts: dict[str, Any] = {"vector": VECTOR, "acl": acl, "uri": f"{word}.md", "title": word, "end": len(word)}
            self.chunks.append(Stored(*ids, text=word, language="en", model="m", **facts))
            self.allowed[ids[0]] = acl
        await Bulk(self.runs.database.acting, self.boss).put("c", self.chunks)
        quotes = [[self.chunks[number] for number in numbers] for numbers in cited]
        self.run = await self.runs.answered(self.ana, self.chunks, quotes)
        await Sealing(self.runs.database.system).drain()
        await Indexing(self.runs.database.system, self.runs.keys).catch_up()

    def readable(self, who: Principal) -> set[str]:
        """Words that a caller may read."""
        held = set(who.grants) if who.tenant == self.tenant else set()
        return {one.text for one in self.chunks if held & {*self.allowed[one.document], *CURATORS}}

    async def check(self) -> None:
        for who in self.callers:
            told = json.dumps([await self._run(who), *[await self._document(who, one) for one in self.chunks]])
            allowed = self.readable(who)
            assert {word for word in WORDS if word in told} <= allowed, who
            if allowed != set(WORDS):
                assert QUESTION not in told, who

    async def _run(self, who: Principal) -> Any:
        try:
            found = await runs.sources(self.runs.database, self.runs.keys, who, self.run)
        except RunNotFound:
            return None
        allowed = self.readable(who)
        assert {one["uri"] for one in found["passages"] if one["readable"]} == {f"{word}.md" for word in allowed}
        assert len(found["passages"]) == len(WORDS), "what is hidden is there by its id"
        return found

    async def _document(self, who: Principal, chunk: Stored) -> Any:
        shown = []
        for target in (chunk.document, chunk.uri):
            try:
                found, page = await documents.answers(self.runs.database, who, target, Window(10), "any")
            except documents.DocumentNotFound:
                assert target == chunk.document or chunk.text not in self.readable(who)
                continue
            seen = [one["run"] for one in page.items]
            sees_all = who.may("administrator", "auditor", "developer")
            assert seen == ([self.run] if who.id == "ana" or sees_all else [])
            shown.append([found, page.items])
        return shown


@pytest.fixture
def keeper(database: Database) -> Runs:
    return Runs(database, SubjectKeys(database.system, CIPHER))


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    acls=st.lists(NAMES, min_size=len(WORDS), max_size=len(WORDS)),
    cited=st.lists(st.lists(st.integers(0, len(WORDS) - 1), max_size=2, unique=True), max_size=3),
    changes=st.lists(st.tuples(st.integers(0, len(WORDS) - 1), NAMES), max_size=3),
)
async def test_nobody_sees_what_they_may_not_read_now(keeper: Runs, acls: Any, cited: Any, changes: Any) -> None:
    world = World(keeper)
    await world.fill(acls, cited)
    await world.check()
    for number, acl in changes:
        document = world.chunks[number].document
        await Bulk(keeper.database.acting, world.boss).allow(document, acl)
        world.allowed[document] = acl
    await Grants(keeper.database).grant(world.boss, world.chunks[0].document, "group:blue")
    world.allowed[world.chunks[0].document] |= {"blue"}
    await world.check()


async def test_a_query_may_lean_on_earlier_turns_and_is_shown_with_a_grant_on_what_they_saw(keeper: Runs) -> None:
    world = World(keeper)
    await world.fill([frozenset({"red"}), frozenset({"blue", "red"}), frozenset()], [[0]])
    auditor = Principal(world.tenant, "eva", frozenset({"blue"}), frozenset({"auditor"}))

    async def query(*earlier: str) -> Any:
        """The query of a later turn, over the second document alone, as the auditor sees it."""
        turns = [{"run": run} for run in (*earlier, "its own")]
        found = {"passages": [passage(world.chunks[1])]}
        run = await keeper.recorded(world.ana, [("guard_input", {"turns": turns}, {}), ("retrieve", found, {})])
        value = await runs.sources(keeper.database, keeper.keys, auditor, run)
        assert value["readable"]
        return value["queries"][0]["text"]

    first = await keeper.answered(world.ana, world.chunks[:1], [[world.chunks[0]]])
    other = await keeper.answered(world.ana, world.chunks[1:2], [[world.chunks[1]]])
    assert await query() == await query(other) == QUESTION
    assert await query(first, other) is None
    assert await query(str(uuid.uuid4())) is None, "nobody knows what a turn without a record has seen"
    await Grants(keeper.database).grant(world.boss, world.chunks[0].document, "group:blue")
    assert await query(first, other) == QUESTION


# The two walls

TABLES = ("audiences", "documents", "versions", "chunks", "collections", "sources", "lineage")
PREDICATES = (
    re.compile(r" AND a\.acl && \(SELECT fiel\.caller_grants\(\)\)"),
    re.compile(r"\S*tenant = \(SELECT fiel\.caller_tenant\(\)\) AND "),
    re.compile(r" AND \S*tenant = \(SELECT fiel\.caller_tenant\(\)\)"),
)


def _without_predicates(package: str, file: str) -> Mapping[str, str]:
    queries = dict(load(package, file))
    for name, query in queries.items():
        for predicate in PREDICATES:
            query = predicate.sub("", query)
        assert "caller_grants" not in query and "caller_tenant" not in query, name
        queries[name] = query
    return MappingProxyType(queries)


def _row_security_off(urls: Urls) -> None:
    with psycopg.connect(urls.owner) as connection:
        connection.execute("SET ROLE fiel_owner")
        for table in TABLES:
            connection.execute(f"ALTER TABLE fiel.{table} DISABLE ROW LEVEL SECURITY")


@pytest.fixture
async def world(keeper: Runs) -> World:
    made = World(keeper)
    await made.fill([frozenset({"red"}), frozenset({"blue"}), frozenset()], [[0], [1, 2], []])
    return made


def _predicates_off(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (documents, runs):
        monkeypatch.setattr(module, "load", _without_predicates)


async def test_row_security_alone_holds(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    _predicates_off(monkeypatch)
    await world.check()


async def test_predicates_alone_hold(world: World, database_urls: Urls) -> None:
    _row_security_off(database_urls)
    await world.check()


async def test_without_both_walls_the_check_finds_the_hole(
    world: World, database_urls: Urls, monkeypatch: pytest.MonkeyPatch
) -> None:
    _predicates_off(monkeypatch)
    _row_security_off(database_urls)
    with pytest.raises(AssertionError):
        await world.check()
