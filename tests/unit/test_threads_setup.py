"""The checkpointer's tables are made once, however many processes start at once."""

from concurrent.futures import ThreadPoolExecutor

import psycopg

from fiel.infra.threads import set_up
from tests.conftest import Urls


def test_many_first_starts_at_once_make_the_tables(database_urls: Urls) -> None:
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(set_up, [database_urls.owner] * 6))
    with psycopg.connect(database_urls.runtime) as connection:
        row = connection.execute("SELECT max(v) FROM fiel.checkpoint_migrations").fetchone()
    assert row is not None and row[0] >= 9
