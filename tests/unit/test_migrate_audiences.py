"""A database of before audiences: after the migration everybody reads what they read before."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from fiel.infra.corpus.grants import Grants
from fiel.infra.database.connect import Database
from fiel.infra.database.migrate import known, migrate
from fiel.tools.principal import Principal, local_administrator

BEFORE = [migration.name for migration in known()].index("audiences")
"""Migrations that come before the one that made audiences."""
NAMES = ["role:administrator", "role:curator", "everyone", "red", "blue", "user:ana"]
ACT = "SELECT fiel.act_as('default', 'local', %s)"
# An array on each document and chunk; a grant on the collection and one on a document; one document deleted.
OLD = """
INSERT INTO fiel.collections (tenant, name) VALUES ('default', 'c');
INSERT INTO fiel.documents (tenant, collection, key, uri, title, acl, sha256, recipe)
SELECT 'default', c.id, title, '', title, fiel.grant_ids('{role:administrator,role:curator}'::text[] || names), '', ''
  FROM fiel.collections c, (VALUES ('open', '{everyone}'::text[]), ('red', '{red}'), ('both', '{red,blue}'),
       ('none', '{}'), ('gone', '{everyone}')) AS made (title, names);
INSERT INTO fiel.versions (tenant, document, number, sha256, text, text_sha256)
SELECT tenant, id, 1, '', title, '' FROM fiel.documents;
INSERT INTO fiel.access_grants (tenant, collection, document, grantee, granted_by)
SELECT tenant, id, NULL, unnest(fiel.grant_ids('{blue}')), 'local' FROM fiel.collections;
INSERT INTO fiel.access_grants (tenant, collection, document, grantee, granted_by)
SELECT tenant, collection, id, unnest(fiel.grant_ids('{user:ana}')), 'local' FROM fiel.documents WHERE title = 'none';
UPDATE fiel.documents SET acl = allowed;
INSERT INTO fiel.chunks (tenant, collection, document, version, ordinal, start_at, end_at, text, language, acl, sha256,
    model, embedding)
SELECT d.tenant, d.collection, d.id, v.id, n, 0, 1, 'words of ' || title, (ARRAY['en', 'es'])[n], acl, '', 'm', '[1]'
  FROM fiel.documents d JOIN fiel.versions v ON v.document = d.id, generate_series(1, 2) AS n;
DELETE FROM fiel.chunks USING fiel.documents d WHERE d.id = document AND title = 'gone';
UPDATE fiel.documents SET deleted_at = now(), acl = fiel.grant_ids('{role:administrator,role:curator}')
 WHERE title = 'gone';
"""
SEEN = """
SELECT 'document ' || title FROM fiel.documents
UNION ALL SELECT 'chunk ' || language || ' ' || text FROM fiel.chunks
UNION ALL SELECT 'posting ' || p.term || ' ' || p.tokens FROM fiel.postings p JOIN fiel.chunks c ON c.number = p.chunk
UNION ALL SELECT 'count ' || s.language || ' ' || sum(n.chunks)
            FROM fiel.shelf_counts n JOIN fiel.shelves s ON s.id = n.shelf GROUP BY s.language
"""

WORDS = """
SELECT count(*) FILTER (WHERE p.chunk IS NOT NULL AND w.chunk IS NOT NULL), count(*)
  FROM (SELECT chunk, shelf, unnest(terms) AS term, unnest(tfs) AS tf FROM fiel.words) w
  FULL JOIN fiel.postings p USING (chunk, shelf, term, tf)
"""
"""Words of chunks that are postings too, and all there are of either."""


@pytest.fixture
def old(postgres) -> Iterator[object]:
    name = postgres.create()
    try:
        urls = postgres.urls(name)
        migrate(urls.owner, known()[:BEFORE])
        with psycopg.connect(urls.owner, autocommit=True) as connection:
            connection.execute("SET ROLE fiel_runtime")
            for statements in ("SELECT fiel.grant_ids(ARRAY['" + "','".join(NAMES) + "'])", OLD):
                with connection.transaction():
                    connection.execute(ACT, (NAMES,))
                    connection.execute(statements.encode())
        yield urls
    finally:
        postgres.drop(name)


def reader(id: str, *groups: str) -> Principal:
    return Principal("default", id, frozenset(groups), frozenset({"reader"}))


def rows(owner: str, caller: Principal, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(owner, autocommit=True) as connection, connection.transaction():
        connection.execute("SET ROLE fiel_runtime")
        connection.execute(ACT.replace("'default', 'local'", "%s, %s"), (caller.tenant, caller.id, list(caller.grants)))
        return connection.execute(query.encode()).fetchall()


def seen(owner: str, caller: Principal) -> list[str]:
    return sorted(row[0] for row in rows(owner, caller, SEEN))


async def test_everybody_reads_what_they_read_before(old) -> None:
    callers = [reader("ana"), reader("bob", "red"), reader("bob", "blue"), reader("bob"), local_administrator()]
    before = [seen(old.owner, caller) for caller in callers]
    assert [sum(line.startswith("document") for line in lines) for lines in before] == [2, 3, 4, 1, 5]
    migrate(old.owner)
    assert [seen(old.owner, caller) for caller in callers] == before
    ((matched, words),) = rows(old.owner, callers[-1], WORDS)
    assert matched == words == sum(line.startswith("posting") for line in before[-1])
    async with Database(old.runtime, size=2) as database:
        assert (await Grants(database).revoke(callers[-1], "c", "group:blue")).chunks == 6
        assert (await Grants(database).grant(callers[-1], "c", "group:red")).chunks == 4
    assert seen(old.owner, callers[1]) == before[2]
    assert len(seen(old.owner, callers[2])) < len(before[2])
