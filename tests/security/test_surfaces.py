"""Whatever changes: no search, answer, trace, error or count tells of a chunk that its caller may not read then.

Over two tenants, users and groups that are kept, grants, documents and changes of them all, in the real database, and
through the real graph. Each word stands in one document alone, so one that comes out of anything is a leak of that
document.
"""

import json
import logging
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.messages import HumanMessage
from langgraph.checkpoint.memory import InMemorySaver

from fiel.graphs.answer.graph import build
from fiel.graphs.answer.options import Options
from fiel.infra.corpus.bulk import Bulk
from fiel.infra.corpus.grants import Grants
from fiel.infra.desk.operations import read_trace
from fiel.infra.ledger import effects
from fiel.infra.people.people import People
from fiel.infra.telemetry.trace import RunNotFound
from fiel.tools.errors import CollectionNotFound
from fiel.tools.principal import Principal, local_administrator
from fiel.tools.search import SearchRequest
from fiel.tools.search.memory import Stored
from fiel.tools.search.postgres import PostgresSearch
from tests.replay_support import Recorded, recorded_in

WORDS = ("aardvark", "bergamot", "cinnabar", "dulcimer", "espalier")
GROUPS = ("red", "blue")
USERS = ("ana", "bob")
VECTOR = np.array([1.0, 0.0], dtype=np.float32)
Change = tuple[str, int, int]


@dataclass(slots=True)
class World:
    """One tenant: what stands in the database, and in Python what should."""

    house: Recorded
    search: PostgresSearch
    tenant: str = field(default_factory=lambda: f"t-{uuid.uuid4()}")
    chunks: dict[str, Stored] = field(default_factory=dict)
    allowed: dict[str, set[str]] = field(default_factory=dict)
    granted: set[tuple[str, str]] = field(default_factory=set)
    members: set[tuple[str, str]] = field(default_factory=set)
    runs: list[tuple[str, str]] = field(default_factory=list)
    """Who asked, and the run."""
    users: Sequence[str] = USERS
    """Whom changes are about, and who looks."""

    @property
    def boss(self) -> Principal:
        return local_administrator(self.tenant)

    async def begin(self) -> None:
        for group in GROUPS:
            await People(self.house.database).add_group(self.boss, group)
        for user in self.users:
            await People(self.house.database).add_user(self.boss, user)

    async def who(self, user: str) -> Principal:
        """The user as a request of theirs has it now."""
        bare = Principal(self.tenant, user, frozenset(), frozenset({"reader"}))
        return await People(self.house.database).as_kept(bare)

    def readable(self, user: str) -> set[str]:
        held = {"everyone", f"user:{user}", *(group for group, member in self.members if member == user)}
        names = {
            word: {*readers, *(name for target, name in self.granted if target in ("", word))}
            for word, readers in self.allowed.items()
        }
        return {word for word, readers in names.items() if readers & held}

    async def change(self, kind: str, first: int, second: int) -> None:
        """Do one thing that may open or close something, in the database and in Python."""
        database, word, group = self.house.database, WORDS[first % len(WORDS)], GROUPS[second % len(GROUPS)]
        user = self.users[first % len(self.users)]
        if kind == "put":
            await self._put(word, {("everyone", *GROUPS)[second % 3]} if second else set())
        elif kind == "delete" and word in self.chunks:
            await Bulk(database.acting, self.boss).delete(self.chunks[word].document)
            self.granted -= {one for one in self.granted if one[0] == word}
            del self.chunks[word], self.allowed[word]
        elif kind == "allow" and word in self.chunks:
            self.allowed[word] = {group}
            await Bulk(database.acting, self.boss).allow(self.chunks[word].document, frozenset({group}))
        elif kind == "join":
            await People(database).add_group(self.boss, group, [user])
            self.members.add((group, user))
        elif kind == "leave":
            await People(database).remove_members(self.boss, group, [user])
            self.members.discard((group, user))
        elif kind in ("grant", "revoke"):
            await self._grant(kind, word if second % 2 else "", group)

    async def _put(self, word: str, readers: set[str]) -> None:
        if word not in self.chunks:
            ids = [str(uuid.uuid4()) for _ in range(3)]
            facts: dict[str, Any] = {"uri": f"{word}.md", "title": word, "language": "en", "model": "test"}
            text = f"The {word} is in the vault."
            made = Stored(*ids, text=text, vector=VECTOR, acl=frozenset(readers), end=len(text), **facts)
            await Bulk(self.house.database.acting, self.boss).put("c", [made])
            self.chunks[word], self.allowed[word] = made, readers

    async def _grant(self, kind: str, target: str, group: str) -> None:
        if not self.chunks or (target and target not in self.chunks):
            return
        grants, named = Grants(self.house.database), self.chunks[target].document if target else "c"
        await getattr(grants, kind)(self.boss, named, f"group:{group}")
        (self.granted.add if kind == "grant" else self.granted.discard)((target, group))

    async def check(self) -> None:
        for user in self.users:
            who, allowed = await self.who(user), self.readable(user)
            told = json.dumps([await self.found(who), await self.answer(who), await self.traces(who)], default=str)
            assert {word for word in WORDS if word in told} <= allowed, (user, told)

    async def found(self, who: Principal) -> Any:
        """All that a search and a look at the collection tell; exactly what may be read is found."""
        allowed = self.readable(who.id)
        try:
            (passages,) = await self.search.search(who, [SearchRequest("c", " ".join(WORDS), VECTOR, "en", 10)])
        except CollectionNotFound as error:
            assert not allowed
            with pytest.raises(CollectionNotFound) as unknown:
                await self.search.search(who, [SearchRequest("d", "x", VECTOR, "en", 10)])
            assert str(unknown.value).replace("'d'", "'c'") == str(error), "the forbidden looks like the unknown"
            return str(error)
        assert {passage["title"] for passage in passages} == allowed
        async with self.house.database.acting(who) as connection:
            counted = "SELECT count(*) FROM fiel.documents UNION ALL SELECT sum(chunks) FROM fiel.shelf_counts"
            rows = await (await connection.execute(counted)).fetchall()
        assert [int(row[0]) for row in rows] == [len(allowed)] * 2, "counts are those of what may be read"
        return [passages, await self.search.collection(who, "c")]

    async def answer(self, who: Principal) -> Any:
        """The final state of a run of the graph: answer, citations, messages, and whatever else is in it."""
        run = str(uuid.uuid4())
        config = self.house.config(principal=who, run=run)
        asked = {"messages": [HumanMessage("What is in the vault?")]}
        state = await self.house.graph.ainvoke(asked, config=config, context=Options(collection="c"))
        self.runs.append((who.id, run))
        assert (state["outcome"] == "answered") is bool(self.readable(who.id)), state["reason"]
        return state

    async def traces(self, who: Principal) -> Any:
        """What traces of all runs tell: one's own; of others' there is none, but for auditors."""
        shown = []
        for asker, run in self.runs:
            try:
                shown.append(await read_trace(self.house.database, who, run))
                assert asker == who.id or who.may("auditor")
            except RunNotFound:
                assert asker != who.id
        return shown


@pytest.fixture
async def house(database: Any) -> AsyncIterator[Recorded]:
    async with recorded_in(database) as made:
        search = PostgresSearch(database.read, model="test", dimensions=2)
        made.services = replace(made.services, search=effects.RecordedSearch(search))
        made.graph = build(made.services, InMemorySaver())
        yield made


KINDS = ("put", "delete", "allow", "join", "leave", "grant", "revoke")
CHANGES = st.lists(
    st.tuples(st.sampled_from(KINDS), st.integers(0, len(WORDS) - 1), st.integers(0, 2)), min_size=1, max_size=8
)


async def explore(house: Recorded, puts: list[Change], changes: list[Change], others: list[Change]) -> None:
    search = PostgresSearch(house.database.read, model="test", dimensions=2)
    one, two = World(house, search), World(house, search)
    for world, done in ((two, others), (one, puts)):
        await world.begin()
        for change in done:
            await world.change(*change)
    await one.check()
    for change in changes:
        await one.change(*change)
    await one.check()
    await two.check()
    assert search.short == 0


_given = given(
    puts=st.lists(st.tuples(st.just("put"), st.integers(0, len(WORDS) - 1), st.integers(0, 2)), min_size=2, max_size=5),
    changes=CHANGES,
    others=CHANGES,
)


@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))
@_given
async def test_nothing_tells_of_what_may_not_be_read(house: Recorded, puts: Any, changes: Any, others: Any) -> None:
    await explore(house, puts, changes, others)


@pytest.mark.slow
@pytest.mark.timeout(600)
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@_given
async def test_nothing_tells_of_it_in_many_worlds(house: Recorded, puts: Any, changes: Any, others: Any) -> None:
    await explore(house, puts, changes, others)


@pytest.mark.slow
async def test_the_unknown_takes_as_long_as_the_forbidden(house: Recorded) -> None:
    """The times of 300 searches each, in turn: their medians are closer than half of what one kind spreads over."""
    logging.getLogger("fiel").setLevel(logging.ERROR)
    search = PostgresSearch(house.database.read, model="test", dimensions=2)
    world = World(house, search)
    await world.begin()
    for number in range(len(WORDS)):
        await world.change("put", number, 0)
    who, taken = await world.who("ana"), {"c": [], "d": []}
    for number in range(320):
        for name in ("c", "d") if number % 2 else ("d", "c"):
            begun = time.perf_counter()
            with pytest.raises(CollectionNotFound):
                await search.search(who, [SearchRequest(name, "aardvark", VECTOR, "en", 10)])
            taken[name].append(time.perf_counter() - begun)
    forbidden, unknown = (np.array(taken[name][20:]) for name in ("c", "d"))
    spread = np.subtract(*np.percentile(unknown, [90, 10]))
    assert abs(np.median(forbidden) - np.median(unknown)) < 0.5 * spread
