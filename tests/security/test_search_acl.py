"""Two walls around every chunk: the predicate in each query, and row security. Either alone must hold."""

import asyncio
import re
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import psycopg
import pytest
from psycopg import AsyncConnection

from fiel.infra.corpus.bulk import Bulk
from fiel.infra.database.connect import Database
from fiel.tools import sql
from fiel.tools.errors import CollectionNotFound
from fiel.tools.principal import Principal, local_administrator
from fiel.tools.search import SearchRequest
from fiel.tools.search.memory import Stored
from fiel.tools.search.postgres import PostgresSearch

DIMENSIONS = 6
TABLES = (
    "collections sources documents versions chunks postings words vectors shelves shelf_counts embeddings audiences"
    " access_grants grant_names"
).split()
GROUPS = ("red", "green", "blue")
ADMINISTRATOR = local_administrator()
STRANGER = local_administrator("other")


def reader(*groups: str, id: str = "ana", tenant: str = "default") -> Principal:
    return Principal(tenant, id, frozenset(groups), frozenset({"reader"}))


CALLERS = (
    reader(),
    *(reader(group) for group in GROUPS),
    reader("red", "blue"),
    reader(id="bob"),
    Principal("default", "none", frozenset(GROUPS)),
    reader(*GROUPS, tenant="other"),
    ADMINISTRATOR,
)


def chunk(number: int, acl: frozenset[str], rng: np.random.Generator) -> Stored:
    vector = rng.standard_normal(DIMENSIONS).astype(np.float32)
    return Stored(
        document=str(uuid.uuid4()),
        version=str(uuid.uuid4()),
        chunk=str(uuid.uuid4()),
        text=f"chunk {number} of everything",
        vector=vector / np.linalg.norm(vector),
        acl=acl,
        language=("en", "es", "und")[number % 3],
        model="m",
    )


@pytest.fixture
async def chunks(database: Database) -> list[Stored]:
    """Forty chunks with all kinds of ACLs, and a few of another tenant."""
    rng = np.random.default_rng(5)
    names = [*GROUPS, "everyone", "user:bob", "role:auditor"]
    acls = [frozenset(rng.choice(names, size=rng.integers(0, 3), replace=False).tolist()) for _ in range(40)]
    made = [chunk(number, acl, rng) for number, acl in enumerate(acls)]
    await Bulk(database.acting, ADMINISTRATOR).put("c", made)
    await Bulk(database.acting, STRANGER).put("c", [chunk(number, frozenset({"red"}), rng) for number in range(3)])
    return made


def may_read(caller: Principal, chunks: list[Stored]) -> set[str]:
    if caller.tenant != "default":
        return set()
    open_to = {chunk.chunk: chunk.acl | {"role:curator", "role:administrator"} for chunk in chunks}
    return {chunk for chunk, acl in open_to.items() if acl & set(caller.grants)}


async def found(search: PostgresSearch, caller: Principal) -> set[str]:
    request = SearchRequest("c", "everything of chunk 3", np.eye(DIMENSIONS, dtype=np.float32)[0], "en", 60)
    try:
        (passages,) = await search.search(caller, [request])
    except CollectionNotFound:
        return set()
    return {passage["chunk"] for passage in passages}


async def check(search: PostgresSearch, chunks: list[Stored]) -> None:
    for caller in CALLERS:
        if caller.tenant == "default":
            assert await found(search, caller) == may_read(caller, chunks), caller


async def told_of(search: PostgresSearch, caller: Principal, name: str) -> tuple[str, ...] | None:
    """The languages that `caller` is told the collection has; None where they are told that there is none."""
    try:
        return (await search.collection(caller, name)).languages
    except CollectionNotFound:
        return None


async def check_collections(database: Database, search: PostgresSearch) -> None:
    """Two collections that hold one chunk and none: to be told of either takes a right to write, or to read in it."""
    red = chunk(0, frozenset({"red"}), np.random.default_rng(6))
    await Bulk(database.acting, ADMINISTRATOR).put("red", [red])
    await Bulk(database.acting, ADMINISTRATOR).put("empty")
    for caller in CALLERS:
        reads = caller.tenant == "default" and "red" in caller.grants
        writes = caller == ADMINISTRATOR
        assert await told_of(search, caller, "red") == (("en",) if reads or writes else None), caller
        assert await told_of(search, caller, "empty") == (() if writes else None), caller


@pytest.mark.parametrize("exact", [0, 2_500], ids=["indexed", "exact"])
async def test_everybody_finds_all_they_may_read_and_nothing_else(
    database: Database, chunks: list[Stored], exact: int
) -> None:
    search = PostgresSearch(database.read, model="m", dimensions=DIMENSIONS, exact=exact)
    await check(search, chunks)
    theirs = await found(search, reader("red", tenant="other"))
    assert len(theirs) == 3
    assert theirs.isdisjoint(chunk.chunk for chunk in chunks)


async def test_row_security_holds_where_the_query_forgets_who_asks(
    database: Database, chunks: list[Stored], monkeypatch: pytest.MonkeyPatch
) -> None:
    queries = dict(sql.load("fiel.tools.search", "search.sql"))
    bare = re.sub(r"\w+\.acl && \(SELECT fiel\.caller_grants\(\)\)", "true", queries["hybrid"])
    assert bare.count("fiel.caller_grants") == 0
    assert bare != queries["hybrid"]
    collection = re.sub(r" AND a\.acl && \(.*?\)\)|AND \(n\.chunks > 0 OR .*", "", queries["collection"])
    assert collection.count("fiel.caller_tenant") == 1
    assert collection.count("fiel.caller") == 1

    def forgetful(*_: str) -> Mapping[str, str]:
        return {**queries, "hybrid": bare, "collection": collection}

    monkeypatch.setattr("fiel.tools.search.postgres.load", forgetful)
    search = PostgresSearch(database.read, model="m", dimensions=DIMENSIONS)
    await check(search, chunks)
    await check_collections(database, search)


async def test_the_query_holds_where_row_security_is_gone(
    database: Database, database_urls: Any, chunks: list[Stored]
) -> None:
    async with await AsyncConnection.connect(database_urls.owner, autocommit=True) as owner:
        for table in TABLES[:-1]:
            await owner.execute(f"ALTER TABLE fiel.{table} DISABLE ROW LEVEL SECURITY".encode())
    search = PostgresSearch(database.read, model="m", dimensions=DIMENSIONS)
    await check_collections(database, search)
    await check(search, chunks)
    await check(PostgresSearch(database.read, model="m", dimensions=DIMENSIONS, exact=0), chunks)


async def test_row_security_is_forced_on_every_table(database: Database) -> None:
    async with database.system() as connection:
        rows = await connection.execute(
            "SELECT relname, relrowsecurity, relforcerowsecurity FROM pg_class"
            " WHERE relnamespace = 'fiel'::regnamespace AND relname = ANY (%s)",
            (TABLES,),
        )
        assert {name: (on, forced) for name, on, forced in await rows.fetchall()} == dict.fromkeys(TABLES, (True, True))


async def test_without_a_caller_there_is_nothing(database: Database, chunks: list[Stored]) -> None:
    async with database.system() as connection:
        for table in TABLES:
            assert await count(connection, table) == 0, table


async def count(connection: AsyncConnection[Any], table: str) -> int:
    row = await (await connection.execute(f"SELECT count(*) FROM fiel.{table}".encode())).fetchone()
    assert row is not None
    return int(row[0])


async def test_tables_show_no_more_than_search(database: Database, chunks: list[Stored]) -> None:
    for caller in CALLERS:
        allowed = may_read(caller, chunks)
        async with database.acting(caller) as connection:
            if caller.tenant == "default":
                ids = await (await connection.execute("SELECT id::text FROM fiel.chunks")).fetchall()
                assert {row[0] for row in ids} == allowed
            chunks_seen = await count(connection, "chunks")
            for table in ("documents", "versions"):
                assert await count(connection, table) == chunks_seen
            row = await (await connection.execute("SELECT count(DISTINCT chunk) FROM fiel.postings")).fetchone()
            assert row == (chunks_seen,)
            for table in ("vectors", "words"):
                assert await count(connection, table) == chunks_seen
            row = await (await connection.execute("SELECT coalesce(sum(chunks), 0) FROM fiel.shelf_counts")).fetchone()
            assert row == (chunks_seen,)
            if not caller.may("curator", "administrator"):
                assert await count(connection, "embeddings") == 0
                assert await count(connection, "sources") == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO fiel.collections (tenant, name) VALUES ('default', 'mine')",
        "INSERT INTO fiel.audiences (tenant, collection, base, inherits)"
        " VALUES ('default', gen_random_uuid(), fiel.caller_grants(), false)",
        "INSERT INTO fiel.shelves (tenant, collection, language, audience)"
        " SELECT tenant, collection, 'xx', id FROM fiel.audiences LIMIT 1",
        "UPDATE fiel.audiences SET base = fiel.caller_grants()",
        "INSERT INTO fiel.shelf_counts SELECT id, 1, 1 FROM fiel.shelves",
        "INSERT INTO fiel.postings SELECT 1, 1, id, 1, 1 FROM fiel.shelves",
        "INSERT INTO fiel.words SELECT 1, id, '{1}', '{1}' FROM fiel.shelves",
        "INSERT INTO fiel.vectors SELECT id, 1, 1, '[1]' FROM fiel.shelves",
        "INSERT INTO fiel.embeddings VALUES ('default', '', 'm', '[1]')",
        "ALTER TABLE fiel.chunks DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE fiel.chunks NO FORCE ROW LEVEL SECURITY",
        "DROP POLICY readable ON fiel.chunks",
        "TRUNCATE fiel.chunks",
        "SET ROLE fiel_owner; TRUNCATE fiel.chunks CASCADE",
    ],
)
async def test_readers_cannot_write_nor_lower_the_walls(
    database: Database, chunks: list[Stored], statement: str
) -> None:
    if statement.startswith("SET ROLE"):
        async with database.acting(ADMINISTRATOR) as connection:
            row = await (await connection.execute("SELECT session_user = current_user")).fetchone()
        if row != (True,):
            pytest.skip("whoever logs in as a superuser may become anybody")
    with pytest.raises(psycopg.Error):
        async with database.acting(reader(*GROUPS)) as connection:
            await connection.execute(statement.encode())


@pytest.mark.parametrize(
    "table", ["documents", "chunks", "postings", "words", "vectors", "shelf_counts", "collections", "versions"]
)
async def test_readers_delete_nothing(database: Database, chunks: list[Stored], table: str) -> None:
    async with database.acting(reader(*GROUPS)) as connection:
        assert (await connection.execute(f"DELETE FROM fiel.{table}".encode())).rowcount == 0
    async with database.acting(ADMINISTRATOR) as connection:
        assert await count(connection, "chunks") == len(chunks)


async def test_readers_open_nothing_for_themselves(database: Database, chunks: list[Stored]) -> None:
    async with database.acting(reader("red")) as connection:
        for change in ("documents SET allowed = '{1,2,3}'", "chunks SET shelf = 1", "audiences SET acl = '{1,2,3}'"):
            assert (await connection.execute(f"UPDATE fiel.{change}".encode())).rowcount == 0


async def test_curators_write_in_their_tenant_alone(database: Database, chunks: list[Stored]) -> None:
    async with database.acting(STRANGER) as connection:
        assert (await connection.execute("DELETE FROM fiel.chunks")).rowcount == 3
    with pytest.raises(psycopg.Error):
        async with database.acting(STRANGER) as connection:
            await connection.execute("INSERT INTO fiel.collections (tenant, name) VALUES ('default', 'theirs')")
    async with database.acting(ADMINISTRATOR) as connection:
        assert await count(connection, "chunks") == len(chunks)


async def test_nothing_of_one_caller_is_left_for_the_next(database: Database, chunks: list[Stored]) -> None:
    """Many callers at once over few connections: the prepared plan is shared, what it shows is not."""
    search = PostgresSearch(database.read, model="m", dimensions=DIMENSIONS)
    callers = [caller for caller in CALLERS if caller.tenant == "default"] * 8
    results = await asyncio.gather(*(found(search, caller) for caller in callers))
    for caller, result in zip(callers, results, strict=True):
        assert result == may_read(caller, chunks)


async def test_the_text_index_is_kept_in_step(database: Database, chunks: list[Stored]) -> None:
    bulk = Bulk(database.acting, ADMINISTRATOR)
    for number, chunk in enumerate(chunks):
        if number % 3 == 0:
            await bulk.delete(chunk.document)
        elif number % 3 == 1:
            await bulk.allow(chunk.document, frozenset({GROUPS[number % 2]}))
    async with database.acting(ADMINISTRATOR) as connection:
        await connection.execute("UPDATE fiel.chunks SET embedding = '[3,4,0,0]', model = 'n' WHERE language = 'en'")
        rows = await connection.execute(
            "SELECT (SELECT count(*) FROM fiel.postings p LEFT JOIN fiel.chunks c ON c.number = p.chunk"
            "   AND c.shelf = p.shelf WHERE c.id IS NULL),"
            " (SELECT count(*) FROM (SELECT chunk, shelf, unnest(terms) AS term, unnest(tfs) AS tf FROM fiel.words) w"
            "   FULL JOIN fiel.postings p USING (chunk, shelf, term, tf) WHERE w.chunk IS NULL OR p.chunk IS NULL),"
            " (SELECT count(*) FROM fiel.words WHERE terms <> (SELECT array_agg(t ORDER BY t) FROM unnest(terms) t)),"
            " (SELECT count(*) FROM fiel.vectors v FULL JOIN fiel.chunks c ON (c.number, c.shelf) = (v.chunk, v.shelf)"
            "   AND v.half = fiel.half(c.embedding) AND v.space = hashtextextended(c.model, c.dimensions)"
            "   WHERE v.chunk IS NULL OR c.id IS NULL),"
            " (SELECT count(*) FROM fiel.shelves s WHERE (SELECT count(*) FROM fiel.chunks WHERE shelf = s.id)"
            "   <> (SELECT coalesce(sum(chunks), 0) FROM fiel.shelf_counts WHERE shelf = s.id)),"
            " (SELECT count(*) FROM fiel.chunks c JOIN fiel.shelves s ON s.id = c.shelf"
            " JOIN fiel.documents d ON d.id = c.document JOIN fiel.audiences a ON a.id = d.audience"
            "   WHERE (c.language, c.collection, c.tenant, d.audience)"
            "      <> (s.language, s.collection, s.tenant, s.audience)"
            "      OR (d.collection, d.tenant) <> (a.collection, a.tenant))"
        )
        assert await rows.fetchone() == (0, 0, 0, 0, 0, 0)


async def test_upkeep_reads_no_table_whole(database: Database) -> None:
    """A session plans it once, so a plan for many chunks must do for one. `CREATE OR REPLACE` forgets the settings."""
    async with database.system() as connection:
        rows = await connection.execute(
            "SELECT proname FROM pg_proc WHERE pronamespace = 'fiel'::regnamespace AND proname LIKE 'chunks\\_%ed'"
            " AND proconfig @> '{enable_hashjoin=off,enable_mergejoin=off,enable_seqscan=off}' ORDER BY proname"
        )
        assert [name for (name,) in await rows.fetchall()] == ["chunks_deleted", "chunks_moved"]


@asynccontextmanager
async def curating(database: Database) -> AsyncIterator[AsyncConnection[Any]]:
    async with database.acting(ADMINISTRATOR) as connection:
        yield connection


async def test_a_chunk_is_never_another_text(database: Database, chunks: list[Stored]) -> None:
    for change in ("text = 'x'", "language = 'de'", "collection = gen_random_uuid()", "tenant = 'other'"):
        with pytest.raises(psycopg.Error):
            async with curating(database) as connection:
                await connection.execute(f"UPDATE fiel.chunks SET {change}".encode())


async def test_counts_are_folded_and_stay_right(database: Database, chunks: list[Stored]) -> None:
    rng = np.random.default_rng(8)
    more = [chunk(number * 3, frozenset({"everyone"}), rng) for number in range(150)]
    await Bulk(database.acting, ADMINISTRATOR).put("d", more)
    async with database.acting(ADMINISTRATOR) as connection:
        row = await (
            await connection.execute(
                "SELECT count(*), sum(n.chunks) FROM fiel.shelf_counts n JOIN fiel.shelves s ON s.id = n.shelf"
                " JOIN fiel.collections c ON c.id = s.collection WHERE c.name = 'd'"
            )
        ).fetchone()
    assert row is not None
    assert row[0] <= 65
    assert row[1] == 150


async def test_fewer_than_there_are_is_an_alarm(
    database: Database, chunks: list[Stored], caplog: pytest.LogCaptureFixture
) -> None:
    search = PostgresSearch(database.read, model="m", dimensions=DIMENSIONS, exact=0)
    await check(search, chunks)
    assert search.short == 0
    async with curating(database) as connection:
        await connection.execute("INSERT INTO fiel.shelf_counts SELECT id, 3, 0 FROM fiel.shelves LIMIT 1")
    await found(search, ADMINISTRATOR)
    assert (search.short, search.widened) == (1, 1)
    assert "a search gave 40 of 60 passages, of 43 that are visible" in caplog.text
