"""Finding and reading files: order, links, special files, files that change."""

import os
import socket
import time
from pathlib import Path
from urllib.parse import unquote_to_bytes

import pytest

from fiel.infra.corpus import files as reading
from fiel.infra.corpus.files import read
from fiel.infra.corpus.walk import Entry, root, walk
from fiel.tools.errors import DocumentChanged, DocumentPath, DocumentTooLarge

MOST = 1_000_000


def tree(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name, encoding="utf-8")
    return folder


def test_keys_come_in_byte_order_however_names_sort(tmp_path: Path) -> None:
    names = ["a/z.txt", "a-b.txt", "a.txt", "a0.txt", "ab/c/d.md", "ab-c/x", "Z.md", "ñ/é.txt", "a b.txt", "100%.txt"]
    entries = list(walk(root(tree(tmp_path / "docs", *names))))
    keys = [entry.key for entry in entries]
    assert keys == sorted(keys)
    assert {entry.uri for entry in entries} == {f"file://{tmp_path}/docs/{name}" for name in names}
    first, beyond = root(tmp_path / "docs").span
    assert all(first < key < beyond for key in keys)


def test_a_file_has_one_address_however_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree(tmp_path / "docs", "a.md")
    monkeypatch.chdir(tmp_path)
    for named in ("docs", "./docs/", "docs/../docs", tmp_path / "docs"):
        (entry,) = walk(root(named))
        assert (entry.uri, entry.key) == (f"file://{tmp_path}/docs/a.md", f"file://{tmp_path}/docs/a.md")
    (alone,) = walk(root("docs/a.md"))
    assert (alone.uri, alone.key) == (entry.uri, entry.key)


def test_an_address_can_be_printed_and_no_two_files_share_one(tmp_path: Path) -> None:
    names = ["a\nb", "a b", "a%0Ab", "a%0ab", "100% año", "a\x1b[31mb", "a\u202eb", "a\u2028b", "a\ufffdb"]
    raw = [os.fsencode(tmp_path) + b"/" + name.encode() for name in names]
    for path in (*raw, os.fsencode(tmp_path) + b"/a\xe9b", os.fsencode(tmp_path) + b"/a\xe8b"):
        Path(os.fsdecode(path)).write_text("x", encoding="utf-8")
    entries = list(walk(root(tmp_path)))
    uris = [entry.uri for entry in entries]
    assert len(set(uris)) == len(entries) == 11
    assert all(uri.isprintable() for uri in uris)
    assert {unquote_to_bytes(uri.removeprefix("file://")) for uri in uris} == {os.fsencode(e.path) for e in entries}
    assert f"file://{tmp_path}/100% año" in uris


def test_an_empty_path_is_not_the_working_folder() -> None:
    with pytest.raises(DocumentPath, match="empty"):
        root("")


def test_passes_over_hidden_and_lock_files(tmp_path: Path) -> None:
    tree(tmp_path, ".git/config", ".env", "~$report.docx", "seen.md")
    assert [Path(entry.path).name for entry in walk(root(tmp_path))] == ["seen.md"]


def test_a_name_that_is_no_utf8_is_still_found(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9\n.txt")).write_text("x", encoding="utf-8")
    (entry,) = walk(root(tmp_path))
    assert entry.key.endswith("/caf%E9%0A.txt")
    assert entry.uri.endswith("/caf%E9%0A.txt")
    assert read(entry, MOST, follow=False).data == b"x"


@pytest.mark.parametrize("name", ["missing", "", "no/such/file", "x" * 5000, "nul\0"])
def test_a_missing_path_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DocumentPath):
        root(f"{tmp_path}/here/{name}")


def test_a_root_that_loops_or_is_special_is_refused(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DocumentPath, match="loop"):
        root(tmp_path / "loop")
    with pytest.raises(DocumentPath, match="neither"):
        root(tmp_path / "pipe")


def test_links_are_not_followed_and_bad_ones_are_named(tmp_path: Path) -> None:
    docs = tree(tmp_path / "docs", "real.md", "sub/deep.md")
    tree(tmp_path, "secret.txt")
    (docs / "a").symlink_to("b")
    (docs / "b").symlink_to("a")
    (docs / "sub" / "up").symlink_to("..")
    (docs / "out.txt").symlink_to(tmp_path / "secret.txt")
    (docs / "outside").symlink_to("/")
    (docs / "broken").symlink_to("nowhere")
    (docs / "same.md").symlink_to("real.md")
    (docs / "subtoo").symlink_to("sub")
    here = f"file://{tmp_path}/"
    found = {one.uri.removeprefix(here): one.error.what if one.error else "" for one in walk(root(docs))}
    assert {uri for uri, what in found.items() if not what} == {"docs/real.md", "docs/sub/deep.md"}
    assert {uri for uri, what in found.items() if "loop" in what} == {"docs/a", "docs/b", "docs/sub/up", "docs/outside"}
    assert {uri for uri, what in found.items() if "leads out" in what} == {"docs/out.txt"}
    assert {uri for uri, what in found.items() if "no such" in what} == {"docs/broken"}


def test_special_files_are_named_and_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s")[-100:] if len(str(tmp_path)) < 90 else str(tmp_path / "s"))
        entries = list(walk(root(tmp_path)))
    assert all(entry.error and "no regular file" in entry.error.what for entry in entries)
    swapped = Entry(str(tmp_path / "pipe"), "k", "pipe")  # it was a file when it was listed
    error = read(swapped, MOST, follow=False).error
    assert error is not None and "no regular file" in error.what


def test_a_file_swapped_for_a_link_is_not_followed(tmp_path: Path) -> None:
    tree(tmp_path, "secret", "docs/a.txt")
    (entry,) = walk(root(tmp_path / "docs"))
    (tmp_path / "docs/a.txt").unlink()
    (tmp_path / "docs/a.txt").symlink_to(tmp_path / "secret")
    found = read(entry, MOST, follow=False)
    assert found.error is not None and found.data == b""


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_named(tmp_path: Path) -> None:
    docs = tree(tmp_path / "docs", "closed.txt", "shut/x.txt")
    (docs / "closed.txt").chmod(0)
    (docs / "shut").chmod(0)
    try:
        closed, shut = walk(root(docs))
        assert shut.blind and shut.error and "permission denied" in shut.error.what
        error = read(closed, MOST, follow=False).error
        assert error is not None and "permission denied" in error.what
    finally:
        (docs / "shut").chmod(0o700)


def test_a_file_over_the_limit_is_not_read(tmp_path: Path) -> None:
    huge = tmp_path / "huge.txt"
    with huge.open("wb") as file:
        file.truncate(200 * 1024 * 1024)  # sparse: 200 MiB that take no room
    (entry,) = walk(root(tmp_path))
    before = time.perf_counter()
    found = read(entry, 64 * 1024 * 1024, follow=False)
    assert isinstance(found.error, DocumentTooLarge)
    assert "max_file_mb" in found.error.hint
    assert time.perf_counter() - before < 1


def test_a_file_that_keeps_changing_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "PAUSE", 0.02)
    path = tmp_path / "log.txt"
    path.write_bytes(b"x" * 300_000)
    (entry,) = walk(root(tmp_path))
    real = reading._all

    def interrupted(*arguments: object) -> bytes:
        with path.open("ab") as file:  # somebody appends whenever we look
            file.write(b"more")
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(reading, "_all", interrupted)
    found = read(entry, 1 << 30, follow=False)
    assert isinstance(found.error, DocumentChanged)


def test_a_file_that_changed_once_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "PAUSE", 0.0)
    path = tmp_path / "a.txt"
    path.write_bytes(b"before")
    (entry,) = walk(root(tmp_path))
    once = iter([True])
    real = reading._all

    def interrupted(*arguments: object) -> bytes:
        data = real(*arguments)  # type: ignore[arg-type]
        if next(once, False):
            path.write_bytes(b"later!")
        return data

    monkeypatch.setattr(reading, "_all", interrupted)
    found = read(entry, MOST, follow=False)
    assert (found.error, found.data) == (None, b"later!")
