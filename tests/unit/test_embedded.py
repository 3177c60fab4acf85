"""The embedded server's folders, locks and refusals; its life among processes is in test_embedded_faults."""

import asyncio
import json
import os
from pathlib import Path

import psycopg
import pytest

from fiel.infra.database import identity
from fiel.infra.database.cluster import MARKER, inspect
from fiel.infra.database.embedded import Embedded
from fiel.infra.database.layout import LONGEST_SOCKET, FileLock, Layout, private
from fiel.tools.errors import DatabaseUnavailable


def _socket_bytes(layout: Layout) -> int:
    return len(os.fsencode(layout.sockets / ".s.PGSQL.5432"))


def test_a_socket_lies_in_the_home_where_its_path_is_short_enough() -> None:
    layout = Layout(Path("/srv/fiel"))
    assert layout.sockets == layout.run == Path("/srv/fiel/run")


def test_a_long_home_has_its_socket_below_tmp_and_two_homes_have_two() -> None:
    one, two = Layout(Path("/srv") / ("x" * 120)), Layout(Path("/srv") / ("y" * 120))
    assert one.sockets != two.sockets
    assert max(_socket_bytes(one), _socket_bytes(two)) <= LONGEST_SOCKET


def test_the_longest_path_counts_bytes() -> None:
    layout = Layout(Path("/") / ("ñ" * 45))
    assert len(str(layout.run / ".s.PGSQL.5432")) < LONGEST_SOCKET < len(os.fsencode(layout.run / ".s.PGSQL.5432"))
    assert layout.sockets.parent == Path("/tmp")


def test_a_home_with_a_comma_has_its_socket_below_tmp() -> None:
    assert Layout(Path("/srv/a,b")).sockets.parent == Path("/tmp")


def test_addresses_quote_the_folder() -> None:
    layout = Layout(Path("/srv/a b@c:d+é"))
    parts = psycopg.conninfo.conninfo_to_dict(layout.url())
    assert (parts["user"], parts["dbname"], parts["host"]) == ("fiel_runtime", "fiel", "/srv/a b@c:d+é/run")


def test_a_private_folder_is_ours_alone(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "run"
    private(folder)
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o755)
    private(folder)
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_link_or_a_file_in_place_of_a_private_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "file").touch()
    for name in ("link", "file"):
        with pytest.raises(DatabaseUnavailable, match="not a folder"):
            private(tmp_path / name)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_private_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir(mode=0o700)
    os.chown(folder, 65534, 65534)
    with pytest.raises(DatabaseUnavailable, match="belongs to another user"):
        private(folder)


def test_a_lock_is_free_when_its_last_holder_is_gone(tmp_path: Path) -> None:
    one, two, three = (FileLock(tmp_path / "lock") for _ in range(3))
    assert one.attempt(shared=True)
    assert two.attempt(shared=True)
    assert not three.attempt()
    one.close()
    assert not three.attempt()
    two.close()
    assert three.attempt()
    three.close()


def _folder(path: Path, version: str, *, marked: bool) -> Path:
    path.mkdir()
    (path / "PG_VERSION").write_text(version + "\n")
    if marked:
        (path / MARKER).write_text(json.dumps({"format": 1}))
    return path


def test_data_folders_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        DatabaseUnavailable, match=r"belongs to PostgreSQL 15, and this fiel runs PostgreSQL 18.*Dump it"
    ):
        inspect(_folder(tmp_path / "old", "15", marked=True))
    with pytest.raises(DatabaseUnavailable, match="was not made by fiel"):
        inspect(_folder(tmp_path / "foreign", "18", marked=False))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "holiday.jpg").touch()
    with pytest.raises(DatabaseUnavailable, match="not a data folder of PostgreSQL"):
        inspect(tmp_path / "other")
    assert inspect(_folder(tmp_path / "ours", "18", marked=True))
    assert not inspect(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    assert not inspect(tmp_path / "empty")


def test_a_folder_of_another_major_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    data = _folder(tmp_path / "postgres", "17", marked=True)
    before = sorted(data.iterdir())
    with pytest.raises(DatabaseUnavailable, match="belongs to PostgreSQL 17"), Embedded(tmp_path):
        pytest.fail("started")
    assert sorted(data.iterdir()) == before


def test_a_home_that_is_a_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "home").touch()
    with pytest.raises(DatabaseUnavailable, match="cannot write"), Embedded(tmp_path / "home"):
        pytest.fail("started")


def test_the_user_that_root_becomes_is_not_root() -> None:
    assert identity.somebody().pw_uid != 0
    assert identity.choose() == "none" if os.geteuid() else identity.choose() in ("namespace", "drop")


async def test_giving_up_a_start_gives_its_locks_back(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    private(layout.run)
    held = FileLock(layout.lock("start"))
    assert held.attempt()
    server = Embedded(tmp_path)
    task = asyncio.create_task(server.__aenter__())
    await asyncio.sleep(0.2)
    clients = FileLock(layout.lock("clients"))
    assert not clients.attempt()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    for _ in range(500):
        if clients.attempt():
            break
        await asyncio.sleep(0.01)
    else:
        pytest.fail("the lock is still held")
    clients.close()
    held.close()
