"""The vector index of a model's width."""

from typing import Any

import psycopg
import pytest

from fiel.infra.corpus.index import build, drop
from fiel.tools.errors import DatabaseUnavailable, SettingsError


def indexes(url: str) -> dict[str, bool]:
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT c.relname, i.indisvalid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
            " WHERE c.relname LIKE 'chunks_hnsw_%'"
        ).fetchall()
    return dict(rows)


def test_the_built_in_width_is_indexed_by_the_migration(database_urls: Any) -> None:
    assert indexes(database_urls.owner) == {"chunks_hnsw_384": True}
    assert build(database_urls.owner, 384) is False


def test_another_width_is_built_once_and_dropped(database_urls: Any) -> None:
    assert build(database_urls.owner, 768) is True
    assert build(database_urls.owner, 768) is False
    assert indexes(database_urls.owner)["chunks_hnsw_768"] is True
    drop(database_urls.owner, 768)
    drop(database_urls.owner, 768)
    assert "chunks_hnsw_768" not in indexes(database_urls.owner)


def test_vectors_by_shelf_are_packed_with_it(database_urls: Any) -> None:
    """A thousand chunks that came one by one, over two shelves in turn, leave pages half empty."""
    with psycopg.connect(database_urls.owner, autocommit=True) as owner:
        owner.execute("ALTER TABLE fiel.vectors NO FORCE ROW LEVEL SECURITY")
        owner.execute(
            "INSERT INTO fiel.vectors SELECT number % 2, number, 1, array_fill(1, ARRAY[384])::vector::halfvec"
            " FROM generate_series(1, 1000) AS number"
        )

        def size() -> int:
            row = owner.execute("SELECT pg_relation_size('fiel.vectors_pkey')").fetchone()
            return int(row[0]) if row else 0

        loose = size()
        build(database_urls.owner, 16)
        assert size() < loose * 0.8
        assert owner.execute("SELECT count(*) FROM pg_class WHERE relname LIKE 'vectors_pkey\\_cc%'").fetchone() == (0,)


def test_a_half_made_index_is_made_anew(database_urls: Any, postgres: Any) -> None:
    if postgres.superuser is None:
        pytest.skip("only a superuser can fake a half-made index")
    build(database_urls.owner, 8)
    name = psycopg.conninfo.conninfo_to_dict(database_urls.owner)["dbname"]
    with psycopg.connect(postgres.superuser, dbname=name, autocommit=True) as connection:
        connection.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'fiel.chunks_hnsw_8'::regclass")
    assert build(database_urls.owner, 8) is True
    assert indexes(database_urls.owner)["chunks_hnsw_8"] is True


@pytest.mark.parametrize("dimensions", [0, -1, 4001])
def test_impossible_widths(database_urls: Any, dimensions: int) -> None:
    with pytest.raises(SettingsError):
        build(database_urls.owner, dimensions)


def test_a_server_that_is_not_there() -> None:
    with pytest.raises(DatabaseUnavailable):
        build("host=/nonexistent dbname=x", 384)
