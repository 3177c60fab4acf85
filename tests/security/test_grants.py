"""Grants: after any change, everybody finds what they may read at that moment and nothing else."""

import asyncio
import uuid
from dataclasses import dataclass, field
from itertools import product

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fiel.infra.corpus.bulk import Bulk
from fiel.infra.corpus.grants import Grants, TargetNotFound
from fiel.infra.database.connect import Database
from fiel.infra.ledger.acts import acts
from fiel.tools.errors import CollectionNotFound, UsageError
from fiel.tools.principal import CURATORS, Principal, local_administrator
from fiel.tools.search import SearchRequest
from fiel.tools.search.memory import Stored
from fiel.tools.search.postgres import PostgresSearch

DIMENSIONS = 6
DOCUMENTS = 4
WHOM = ("group:red", "group:blue", "user:ana", "everyone")
VECTOR = np.eye(DIMENSIONS, dtype=np.float32)[0]


def chunk(number: int, acl: frozenset[str]) -> Stored:
    ids = (str(uuid.uuid4()) for _ in range(3))
    return Stored(*ids, text=f"chunk {number} of everything", vector=VECTOR, acl=acl, language="en", model="m")


@dataclass(slots=True)
class World:
    """A tenant of its own: what stands in the database, and in Python what should."""

    database: Database
    tenant: str = field(default_factory=lambda: f"t-{uuid.uuid4()}")
    chunks: list[Stored] = field(default_factory=list)
    allowed: dict[str, frozenset[str]] = field(default_factory=dict)
    granted: set[tuple[str, str]] = field(default_factory=set)

    @property
    def boss(self) -> Principal:
        return local_administrator(self.tenant)

    @property
    def readers(self) -> list[Principal]:
        role = frozenset({"reader"})
        groups = [frozenset[str](), frozenset({"red"}), frozenset({"blue"}), frozenset({"red", "blue"})]
        people = [Principal(self.tenant, id, held, role) for id, held in product(("ana", "bob"), groups)]
        return [*people, Principal(self.tenant, "ana", groups[3]), Principal("elsewhere", "ana", groups[3], role)]

    async def add(self, acl: frozenset[str]) -> None:
        made = chunk(len(self.chunks), acl)
        await Bulk(self.database.acting, self.boss).put("c", [made])
        self.chunks.append(made)
        self.allowed[made.document] = acl

    def readable(self, who: Principal) -> set[str]:
        if who.tenant != self.tenant:
            return set()
        held = set(who.grants)
        found = set()
        for document, acl in self.allowed.items():
            names = {*acl, *CURATORS, *(name for target, name in self.granted if target in ("c", document))}
            found |= {document} if names & held else set()
        return found

    async def found(self, who: Principal) -> set[str]:
        search = PostgresSearch(self.database.read, model="m", dimensions=DIMENSIONS)
        try:
            (passages,) = await search.search(who, [SearchRequest("c", "everything of chunk", VECTOR, "en", 60)])
        except CollectionNotFound:
            return set()
        return {passage["document"] for passage in passages}

    async def check(self) -> None:
        for who in [*self.readers, self.boss]:
            readable = self.readable(who)
            assert await self.found(who) == readable, who
            async with self.database.acting(who) as connection:
                rows = await (await connection.execute("SELECT id::text FROM fiel.documents")).fetchall()
            live = set(self.allowed)
            assert {row[0] for row in rows} & live == readable, who
            for document in live if who.roles else ():
                if who is not self.boss:
                    paths = await Grants(self.database).explain(self.boss, who, document)
                    assert bool(paths) == (document in readable)


_target = st.integers(-1, DOCUMENTS - 1)
_names = st.frozensets(st.sampled_from(("red", "blue", "user:ana", "everyone")), max_size=2)
_steps = st.one_of(
    st.tuples(st.sampled_from(("grant", "revoke")), _target, st.sampled_from(WHOM)),
    st.tuples(st.just("allow"), st.integers(0, DOCUMENTS - 1), _names),
    st.tuples(st.just("add"), st.just(0), _names),
    st.tuples(st.just("delete"), st.integers(0, DOCUMENTS - 1), st.just("")),
)


async def step(world: World, what: str, which: int, argument: str | frozenset[str]) -> None:
    target = "c" if which < 0 else world.chunks[which].document
    if isinstance(argument, frozenset):
        if what == "add":
            await world.add(argument)
        elif target in world.allowed:
            await Bulk(world.database.acting, world.boss).allow(target, argument)
            world.allowed[target] = argument
    elif what == "delete":
        await Bulk(world.database.acting, world.boss).delete(target)
        world.allowed.pop(target, None)
    elif target == "c" or target in world.allowed:
        name, grants = argument.removeprefix("group:"), Grants(world.database)
        stood = (target, name) in world.granted
        if what == "grant":
            assert (await grants.grant(world.boss, target, argument)).changed is not stood
            world.granted.add((target, name))
        else:
            assert (await grants.revoke(world.boss, target, argument)).changed is stood
            world.granted.discard((target, name))


@pytest.mark.slow
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(acls=st.lists(_names, min_size=DOCUMENTS, max_size=DOCUMENTS), steps=st.lists(_steps, min_size=1, max_size=8))
async def test_after_any_change_everybody_finds_what_they_may_read(database: Database, acls, steps) -> None:
    world = World(database)
    for acl in acls:
        await world.add(acl)
    for what, which, argument in steps:
        await step(world, what, which, argument)
    await world.check()


async def test_a_grant_is_an_act_and_one_that_changes_nothing_is_none(database: Database) -> None:
    world, grants = World(database), Grants(database)
    await world.add(frozenset())
    for _ in range(2):
        await grants.grant(world.boss, "c", "group:red")
        await grants.revoke(world.boss, world.chunks[0].document, "group:red")
    await grants.revoke(world.boss, "c", "group:red")
    async with database.acting(world.boss) as connection:
        written = await acts(connection, world.tenant)
    assert [(act.body["kind"], act.body["detail"]) for act in reversed(written)] == [
        ("grant", {"to": "red", "chunks": 1}),
        ("revoke", {"to": "red", "chunks": 1}),
    ]


async def test_the_unknown_and_the_forbidden_look_alike(database: Database) -> None:
    """Whoever may not grant learns nothing of what there is; nor does a curator of another tenant."""
    world, grants = World(database), Grants(database)
    await world.add(frozenset({"everyone"}))
    reader = Principal(world.tenant, "ana", roles=frozenset({"reader", "auditor", "developer"}))
    for who, target in product((reader, local_administrator("elsewhere")), ("c", world.chunks[0].document)):
        with pytest.raises(TargetNotFound) as there:
            await grants.grant(who, target, "everyone")
        unknown = str(uuid.uuid4()) if "-" in target else "d"
        with pytest.raises(TargetNotFound) as absent:
            await grants.grant(who, unknown, "everyone")
        assert str(there.value).replace(repr(target), "?") == str(absent.value).replace(repr(unknown), "?")
        with pytest.raises(TargetNotFound):
            await grants.explain(who, reader, world.chunks[0].document)


async def test_explaining_names_every_path(database: Database) -> None:
    world, grants = World(database), Grants(database)
    await world.add(frozenset({"red"}))
    document = world.chunks[0].document
    await grants.grant(world.boss, "c", "everyone")
    await grants.grant(world.boss, document, "user:ana")
    ana = Principal(world.tenant, "ana", frozenset({"red"}), frozenset({"reader"}))
    paths = await grants.explain(world.boss, ana, document)
    assert [(path.name, path.by) for path in paths] == [
        ("everyone", "collection"),
        ("user:ana", "document"),
        ("red", "ingest"),
    ]
    assert await grants.explain(world.boss, Principal(world.tenant, "ana", frozenset({"red"})), document) == ()


async def test_a_document_written_while_a_grant_ends_does_not_keep_it(database: Database) -> None:
    world, grants = World(database), Grants(database)
    await world.add(frozenset())
    for _ in range(5):
        await grants.grant(world.boss, "c", "group:red")
        await asyncio.gather(*(world.add(frozenset()) for _ in range(3)), grants.revoke(world.boss, "c", "group:red"))
    await world.check()


@pytest.mark.parametrize("whom", ["red", "group:", "group:user:ana", "user:", "role:curator", "group:\n", ""])
async def test_who_is_nobody(database: Database, whom: str) -> None:
    with pytest.raises(UsageError):
        await Grants(database).grant(local_administrator(), "c", whom)
