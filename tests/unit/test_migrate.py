"""The migration runner: forward only, whole or not at all, one process at a time."""

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from fiel.infra.database.errors import DatabaseMisfit
from fiel.infra.database.migrate import Applied, Migration, known, migrate, pending, read
from fiel.infra.database.status import database_status
from fiel.tools.errors import DatabaseUnavailable

ONE = Migration(1, "one", "SELECT 1")
TWO = Migration(2, "two", "SELECT 2")


def test_files_are_read_in_the_order_of_their_numbers() -> None:
    assert read([("0002_two.sql", "SELECT 2"), ("0001_one.sql", "SELECT 1")]) == (ONE, TWO)


@pytest.mark.parametrize("names", [["0002_two.sql"], ["0001_one.sql", "0001_again.sql"], ["1_one.sql"], ["one.sql"]])
def test_gaps_doubles_and_odd_names_are_refused(names: list[str]) -> None:
    with pytest.raises(ValueError, match="migration"):
        read([(name, "SELECT 1") for name in names])


def test_what_is_pending_is_what_the_database_lacks() -> None:
    assert pending([], (ONE, TWO)) == (ONE, TWO)
    assert pending([Applied(1, "one", ONE.sha256)], (ONE, TWO)) == (TWO,)


def test_a_newer_database_is_refused() -> None:
    rows = [Applied(1, "one", ONE.sha256), Applied(2, "two", TWO.sha256)]
    with pytest.raises(DatabaseMisfit, match="newer than this fiel: it has migration 0002_two"):
        pending(rows, (ONE,))


def test_an_edited_migration_is_refused() -> None:
    with pytest.raises(DatabaseMisfit, match="0001_one was applied with another text"):
        pending([Applied(1, "one", TWO.sha256)], (ONE, TWO))


def test_line_ends_do_not_change_a_checksum() -> None:
    assert (
        Migration(1, "one", "SELECT 1;\r\nSELECT 2;\r\n").sha256 == Migration(1, "one", "SELECT 1;\nSELECT 2;\n").sha256
    )


def test_two_processes_at_once_apply_each_migration_once(postgres) -> None:
    name = postgres.create()
    try:
        owner = postgres.urls(name).owner
        with ThreadPoolExecutor(3) as pool:
            done = [future.result() for future in [pool.submit(migrate, owner) for _ in range(3)]]
        names = tuple(f"{migration.number:04}_{migration.name}" for migration in known())
        assert sorted(done) == [(), (), names]
        status = database_status(owner)
        assert status["current"], status
        assert status["applied"] == list(names)
    finally:
        postgres.drop(name)


def test_a_migration_that_fails_leaves_nothing(database_urls) -> None:
    number = len(known()) + 1
    half = Migration(number, "half", "CREATE TABLE fiel.half (id int); SELECT 1 / 0")
    with pytest.raises(DatabaseMisfit, match="division by zero"):
        migrate(database_urls.owner, (*known(), half))
    with psycopg.connect(database_urls.owner) as connection:
        assert connection.execute("SELECT to_regclass('fiel.half')").fetchone() == (None,)
    whole = Migration(number, "whole", "CREATE TABLE fiel.whole (id int)")
    assert migrate(database_urls.owner, (*known(), whole)) == (f"{number:04}_whole",)
    status = database_status(database_urls.owner)
    assert "newer than this fiel" in status["problem"]
    assert not status["current"]


def test_what_a_migration_creates_belongs_to_the_owner_and_serves_the_runtime_role(database_urls) -> None:
    extra = Migration(
        len(known()) + 1, "extra", "CREATE TABLE fiel.extra (id int GENERATED ALWAYS AS IDENTITY, word text)"
    )
    migrate(database_urls.owner, (*known(), extra))
    with psycopg.connect(database_urls.runtime) as connection:
        connection.execute("SET ROLE fiel_runtime")
        connection.execute("INSERT INTO fiel.extra (word) VALUES ('a')")
        owner = connection.execute("SELECT tableowner FROM pg_tables WHERE tablename = 'extra'").fetchone()
    assert owner == ("fiel_owner",)


def test_no_server_is_an_error_with_advice() -> None:
    with pytest.raises(DatabaseUnavailable, match="Check that the server runs and that FIEL_DATABASE_URL is right"):
        migrate("postgresql://nobody@127.0.0.1:1/none")
