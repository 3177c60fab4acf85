"""The vector index of a width, made by the owner of the schema: never needed for right answers, only for quick ones.

The migration makes the one of the built-in embedder (384). A model of another width needs `build` once; until then a
search over many visible chunks compares them all. Into an index that stands, chunks go one by one (some thousand a
second on an idle machine); far above what the built-in embedder gives, but where millions of chunks come from a quick
endpoint, `drop` first and `build` afterwards: bulk first, index then. `build` also packs the index of vectors by shelf,
whose pages are left half empty where chunks come one by one.
"""

import psycopg
from psycopg import sql

from fiel.infra.database.errors import pass_on, unavailable
from fiel.tools.errors import SettingsError

MOST_DIMENSIONS = 4_000
"""What pgvector can index in half precision."""

_SHELVED = "vectors_pkey"


def build(owner_url: str, dimensions: int) -> bool:
    """Make the index without stopping anybody's writing; False where it stands already.

    Raises SettingsError for a width that cannot be indexed, DatabaseUnavailable where the server does not answer.
    """
    if not 0 < dimensions <= MOST_DIMENSIONS:
        raise SettingsError(
            f"vectors of {dimensions} dimensions cannot be indexed",
            hint=f"Choose a model with 1 to {MOST_DIMENSIONS}; without an index every search compares all chunks",
        )
    name = sql.Identifier(_name(dimensions))
    # Concurrently made indexes are invalid where the making was cut off: they are made anew.
    statement = sql.SQL(
        "CREATE INDEX CONCURRENTLY {name} ON fiel.chunks"
        " USING hnsw ((embedding::halfvec({width})) halfvec_cosine_ops) WHERE dimensions = {width}"
    ).format(name=name, width=sql.Literal(dimensions))
    with _owner(owner_url) as connection:
        row = connection.execute(
            "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)", (f"fiel.{_name(dimensions)}",)
        ).fetchone()
        if row == (True,):
            return False
        try:
            if row:
                connection.execute(sql.SQL("DROP INDEX fiel.{}").format(name))
            connection.execute(statement)
            for left in ("_ccnew", "_ccold"):  # by a packing that was cut off
                connection.execute(sql.SQL("DROP INDEX IF EXISTS fiel.{}").format(sql.Identifier(_SHELVED + left)))
            connection.execute(sql.SQL("REINDEX INDEX CONCURRENTLY fiel.{}").format(sql.Identifier(_SHELVED)))
        except psycopg.Error as error:
            pass_on(error, owner_url)
    return True


def drop(owner_url: str, dimensions: int) -> None:
    """Remove the index, before very many chunks are written. Search stays right, and slow until `build`."""
    with _owner(owner_url) as connection:
        connection.execute(sql.SQL("DROP INDEX IF EXISTS fiel.{}").format(sql.Identifier(_name(dimensions))))


def _name(dimensions: int) -> str:
    return f"chunks_hnsw_{dimensions}"


def _owner(owner_url: str) -> "psycopg.Connection[tuple[object, ...]]":
    try:
        connection = psycopg.connect(owner_url, autocommit=True, connect_timeout=10)
    except psycopg.OperationalError as error:
        raise unavailable(error, owner_url) from error
    connection.execute("SET ROLE fiel_owner")
    return connection
