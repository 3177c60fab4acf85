"""Ingest on a real PostgreSQL: what a sync does to documents, versions, chunks, vectors and readers."""

import asyncio
import os
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from fiel.infra.cli.corpus import TRUST
from fiel.infra.corpus import ingest as pipeline
from fiel.infra.corpus.ingest import ingest
from fiel.infra.corpus.names import checked_licence
from fiel.infra.corpus.prepare import Limits, Prepared, Preparer
from fiel.infra.corpus.report import Progress, Report
from fiel.infra.corpus.store import Marks
from fiel.infra.corpus.workers import LocalWorker
from fiel.infra.database.connect import Database
from fiel.tools.chunk.plain import PlainChunker
from fiel.tools.embed import Vector
from fiel.tools.errors import CollectionNotFound, DocumentPath, ModelUnavailable, NotPermitted, UsageError
from fiel.tools.principal import Principal, local_administrator
from fiel.tools.search import Trust

from . import files
from .embedders import HashEmbedder

PREPARER = Preparer(chunker=PlainChunker(), language=lambda text: "es" if "ñ" in text else "en")


@dataclass
class Corpus:
    """A database, a folder to ingest, and a tenant of the test's own."""

    database: Database
    folder: Path
    embed: HashEmbedder
    tenant: str

    @property
    def curator(self) -> Principal:
        return Principal(self.tenant, "cora", roles=frozenset({"curator"}))

    @property
    def reader(self) -> Principal:
        return Principal(self.tenant, "rita", frozenset({"finance"}), frozenset({"reader"}))

    @property
    def stranger(self) -> Principal:
        return Principal(self.tenant, "stan", roles=frozenset({"reader"}))

    def write(self, **texts: str) -> None:
        for name, text in texts.items():
            path = self.folder / (name.replace("__", "/") + ".md")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")

    async def ingest(self, *paths: Path, by: Principal | None = None, **options: Any) -> Report:
        options = {"collection": "c", "parsers": [LocalWorker(PREPARER)], "embed": self.embed, **options}
        embed = options.pop("embed")
        return await ingest(self.database, embed, paths or (self.folder,), principal=by or self.curator, **options)

    async def rows(self, query: str, by: Principal | None = None) -> list[tuple[Any, ...]]:
        async with self.database.acting(by or local_administrator(self.tenant)) as connection:
            return await (await connection.execute(query)).fetchall()  # type: ignore[call-overload, no-any-return]

    async def texts(self, by: Principal | None = None) -> list[str]:
        return [row[0] for row in await self.rows("SELECT text FROM fiel.chunks ORDER BY text", by)]


@pytest.fixture(scope="module")
def url(postgres: Any, template: str) -> Iterator[str]:
    """A migrated database for all tests here: each has a tenant, and so rows, of its own."""
    name = postgres.create(template)
    try:
        yield postgres.urls(name).runtime
    finally:
        postgres.drop(name)


@pytest.fixture
async def corpus(url: str, tmp_path: Path) -> AsyncIterator[Corpus]:
    folder = tmp_path / "docs"
    folder.mkdir()
    async with Database(url, size=8, timeout=10.0) as database:
        yield Corpus(database, folder, HashEmbedder(), uuid.uuid4().hex)


def counts(report: Report) -> tuple[int, int, int, int]:
    return report.added, report.updated, report.deleted, report.unchanged


def vectors(report: Report) -> tuple[int, int, int]:
    return report.embedded, report.reused, report.dropped


async def test_a_sync_adds_updates_deletes_and_embeds_nothing_twice(corpus: Corpus) -> None:
    corpus.write(a="# A\n\none\n\n# B\n\ntwo", b="# A\n\none", sub__c="tres, mañana")
    first = await corpus.ingest()
    assert (counts(first), vectors(first)) == ((3, 0, 0, 0), (3, 1, 0))
    assert sorted(corpus.embed.texts) == ["A\n\none", "B\n\ntwo", "tres, mañana"]
    documents = "SELECT uri, title, language, media_type FROM fiel.documents ORDER BY key"
    assert await corpus.rows(documents) == [
        (f"file://{corpus.folder}/a.md", "A", "en", "text/markdown"),
        (f"file://{corpus.folder}/b.md", "A", "en", "text/markdown"),
        (f"file://{corpus.folder}/sub/c.md", "c", "es", "text/markdown"),
    ]
    again = await corpus.ingest()
    assert (counts(again), vectors(again)) == ((0, 0, 0, 3), (0, 0, 0))

    corpus.write(a="# A\n\none\n\n# B\n\n2")
    (corpus.folder / "b.md").unlink()
    third = await corpus.ingest()
    assert (counts(third), vectors(third)) == ((0, 1, 1, 1), (1, 1, 2))
    assert await corpus.texts() == ["2", "one", "tres, mañana"]

    corpus.write(b="# A\n\none", a="# A\n\none\n\n# B\n\ntwo")  # both as they were
    fourth = await corpus.ingest()
    assert (counts(fourth), vectors(fourth)) == ((1, 1, 0, 1), (0, 3, 1))
    assert len(corpus.embed.texts) == 4


async def test_versions_keep_their_texts_and_citations_stay_verbatim(corpus: Corpus) -> None:
    corpus.write(a="El 𝔸ño e\u0301s\r\n\r\nsegundo párrafo")
    await corpus.ingest(allow=["finance"])
    ((version, start, end, text),) = await corpus.rows(
        "SELECT version::text, start_at, end_at, text FROM fiel.chunks WHERE text LIKE 'segundo%'"
    )
    corpus.write(a="something else")
    await corpus.ingest(allow=["finance"])
    kept = f"SELECT text FROM fiel.versions WHERE id = '{version}'"
    for caller in (corpus.curator, corpus.reader):
        ((whole,),) = await corpus.rows(kept, caller)
        assert whole[start:end] == text == "segundo párrafo"
        assert whole[3:].startswith("𝔸ño e\u0301s\r\n")
    assert await corpus.rows(kept, corpus.stranger) == []
    assert [row[0] for row in await corpus.rows("SELECT number FROM fiel.versions ORDER BY 1")] == [1, 2]


async def test_every_chunk_is_a_slice_of_its_version_and_has_its_vector(corpus: Corpus) -> None:
    (corpus.folder / "h.docx").write_bytes(files.word())
    (corpus.folder / "p.pdf").write_bytes(files.pdf([["Page one."], ["Page two."]]))
    (corpus.folder / "w.html").write_text("<h1>T</h1><p>web</p>")
    corpus.write(a="# T\n\ntext 𝔸 after")
    report = await corpus.ingest()
    assert counts(report) == (4, 0, 0, 0)
    rows = await corpus.rows(
        "SELECT c.text, substr(v.text, c.start_at + 1, c.end_at - c.start_at), c.context, c.embedding::text,"
        " c.language, v.text_sha256 = sha256(convert_to(v.text, 'UTF8')), v.pages"
        " FROM fiel.chunks c JOIN fiel.versions v ON v.id = c.version"
    )
    assert len(rows) >= 7
    for text, stored, context, embedding, language, hashed, _ in rows:
        assert text == stored and hashed and language == "en"
        (expected,) = await corpus.embed.passages([f"{context}\n\n{text}" if context else text])
        assert np.allclose(np.array(embedding[1:-1].split(","), dtype=np.float32), expected, atol=1e-6)
    assert [0, 11] in [row[-1] for row in rows]


async def test_readers_alone_change_at_once_and_cost_no_vector(corpus: Corpus) -> None:
    corpus.write(a="public fact", b="another")
    shut = await corpus.ingest()
    assert shut.curators_only and shut.as_dict()["readers"] == ["role:administrator", "role:curator"]
    assert await corpus.texts(corpus.reader) == []
    opened = await corpus.ingest(allow=["finance"])
    assert (counts(opened), vectors(opened), opened.regranted) == ((0, 0, 0, 2), (0, 0, 0), 2)
    assert not opened.curators_only
    assert await corpus.texts(corpus.reader) == ["another", "public fact"]
    assert await corpus.texts(corpus.stranger) == []
    moved = await corpus.ingest(allow=["everyone"])
    assert await corpus.texts(corpus.stranger) == ["another", "public fact"] == await corpus.texts(corpus.reader)
    assert moved.regranted == 2
    closed = await corpus.ingest()
    assert closed.regranted == 0  # it was narrowed before the files were looked at
    assert await corpus.texts(corpus.reader) == [] and len(await corpus.texts(corpus.curator)) == 2
    assert len(corpus.embed.texts) == 2


async def test_access_is_withdrawn_even_if_the_sync_then_fails(corpus: Corpus) -> None:
    corpus.write(a="was public")
    await corpus.ingest(allow=["everyone"])
    corpus.write(b="new")
    with pytest.raises(ModelUnavailable):
        await corpus.ingest(embed=Failing())
    assert await corpus.texts(corpus.reader) == []
    assert await corpus.texts(corpus.curator) == ["was public"]


async def test_wider_access_does_not_reach_what_is_about_to_be_deleted(corpus: Corpus) -> None:
    corpus.write(a="stays", secret="must go")
    await corpus.ingest()
    (corpus.folder / "secret.md").unlink()
    corpus.write(b="new")
    with pytest.raises(ModelUnavailable):
        await corpus.ingest(embed=Failing(), allow=["everyone"])
    assert "must go" not in await corpus.texts(corpus.reader)


async def test_what_is_deleted_can_no_longer_be_read_by_its_readers(corpus: Corpus) -> None:
    corpus.write(a="withdrawn")
    await corpus.ingest(allow=["everyone"])
    ((version,),) = await corpus.rows("SELECT version::text FROM fiel.chunks")
    (corpus.folder / "a.md").unlink()
    await corpus.ingest(allow=["everyone"])
    kept = f"SELECT left(text, 9) FROM fiel.versions WHERE id = '{version}'"
    assert await corpus.rows(kept, corpus.reader) == []
    assert await corpus.rows(kept, corpus.curator) == [("withdrawn",)]
    for table in ("postings", "words", "vectors"):
        assert await corpus.rows(f"SELECT FROM fiel.{table}") == []


async def test_one_bad_file_does_not_stop_the_others_and_keeps_what_it_had(corpus: Corpus) -> None:
    corpus.write(a="good", turns="fine at first")
    (corpus.folder / "empty.txt").write_bytes(b"")
    (corpus.folder / "image.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0")
    (corpus.folder / "latin.txt").write_bytes(b"caf\xe9")
    (corpus.folder / "locked.pdf").write_bytes(files.pdf([["x"]], encrypt=True))
    (corpus.folder / "broken.pdf").write_bytes(b"%PDF-1.7 nothing")
    (corpus.folder / "loop").symlink_to("loop")
    os.mkfifo(corpus.folder / "pipe")
    report = await corpus.ingest()
    assert counts(report) == (2, 0, 0, 0)
    assert {error["uri"].removeprefix(f"file://{corpus.folder}/"): error["code"] for error in report.errors} == {
        "empty.txt": "document_empty",
        "image.png": "document_binary",
        "latin.txt": "document_encoding",
        "locked.pdf": "document_encrypted",
        "broken.pdf": "document_broken",
        "loop": "document_path",
        "pipe": "document_path",
    }
    assert report.failed == 7
    (corpus.folder / "turns.md").write_bytes(b"\xff broken now")
    again = await corpus.ingest()
    assert again.failed == 8 and again.deleted == 0
    assert await corpus.texts() == ["fine at first", "good"]


async def test_a_missing_path_is_refused_before_anything_is_done(corpus: Corpus) -> None:
    corpus.write(a="x")
    with pytest.raises(DocumentPath, match="no such"):
        await corpus.ingest(corpus.folder, corpus.folder / "missing")
    assert await corpus.rows("SELECT FROM fiel.collections") == []


async def test_a_file_alone_and_within_its_folder_is_one_document(corpus: Corpus) -> None:
    corpus.write(a="x", b="y")
    assert counts(await corpus.ingest(corpus.folder / "a.md")) == (1, 0, 0, 0)
    assert counts(await corpus.ingest()) == (1, 0, 0, 1)
    assert counts(await corpus.ingest(corpus.folder / "b.md")) == (0, 0, 0, 1)
    uris = [f"file://{corpus.folder}/{name}.md" for name in "ab"]
    assert [row[0] for row in await corpus.rows("SELECT uri FROM fiel.documents ORDER BY key")] == uris
    assert counts(await corpus.ingest(corpus.folder, collection="other")) == (2, 0, 0, 0)
    assert len(corpus.embed.texts) == 2


async def test_files_of_one_name_have_addresses_of_their_own(corpus: Corpus) -> None:
    corpus.write(one__docs__a="x", two__docs__a="y")
    await corpus.ingest(corpus.folder / "one/docs", corpus.folder / "two/docs")
    uris = [row[0] for row in await corpus.rows("SELECT uri FROM fiel.documents ORDER BY key")]
    assert uris == [f"file://{corpus.folder}/{name}/docs/a.md" for name in ("one", "two")]


@pytest.mark.parametrize("order", [1, -1], ids=["folder first", "folder last"])
async def test_paths_that_overlap_are_counted_once(corpus: Corpus, order: int) -> None:
    corpus.write(a="x", sub__b="y")
    (corpus.folder / "bad.txt").write_bytes(b"")
    paths = [corpus.folder, corpus.folder / "a.md", corpus.folder / "sub", corpus.folder / "bad.txt"][::order]
    report = await corpus.ingest(*paths)
    assert (counts(report), report.failed) == ((2, 0, 0, 0), 1)
    again = await corpus.ingest(*paths)
    assert (counts(again), again.failed) == ((0, 0, 0, 2), 1)


async def test_what_a_folder_passes_over_can_be_named_beside_it(corpus: Corpus) -> None:
    corpus.write(a="x")
    (corpus.folder / ".hidden.md").write_text("y", encoding="utf-8")
    assert counts(await corpus.ingest(corpus.folder, corpus.folder / ".hidden.md")) == (2, 0, 0, 0)


async def test_only_what_lies_below_the_path_is_touched(corpus: Corpus) -> None:
    corpus.write(sub__a="1", sub__b="2", subway__c="3", d="4")
    await corpus.ingest()
    for path in corpus.folder.rglob("*.md"):
        path.unlink()
    assert counts(await corpus.ingest(corpus.folder / "sub")) == (0, 0, 2, 0)
    assert await corpus.texts() == ["3", "4"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
async def test_a_folder_that_may_not_be_read_deletes_nothing(corpus: Corpus) -> None:
    corpus.write(shut__a="kept", b="kept too")
    await corpus.ingest()
    (corpus.folder / "shut").chmod(0)
    try:
        report = await corpus.ingest()
    finally:
        (corpus.folder / "shut").chmod(0o700)
    assert report.deleted == 0 and report.failed == 1


async def test_a_folder_that_cannot_be_listed_deletes_nothing(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus.write(shut__a="kept", shut__b__c="kept", shut_x="-")
    await corpus.ingest()
    real = os.scandir

    def refusing(path: str) -> Any:
        if str(path).endswith("/shut"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", refusing)
    report = await corpus.ingest()
    assert (report.deleted, report.unchanged, report.failed) == (0, 1, 1)
    assert report.errors[0]["what"] == "permission denied"


async def test_only_curators_ingest_and_names_are_checked(corpus: Corpus) -> None:
    corpus.write(a="x")
    for caller in (
        corpus.reader,
        Principal(corpus.tenant, "x"),
        Principal(corpus.tenant, "a", roles=frozenset({"auditor", "developer"})),
    ):
        with pytest.raises(NotPermitted) as caught:
            await corpus.ingest(by=caller)
        assert not isinstance(caught.value, CollectionNotFound)
    for name in ("", " c", "a\0b", "x" * 201, "\x1b[0m"):
        with pytest.raises(UsageError):
            await corpus.ingest(collection=name)
    for group in ("", "role:king", "user:", "other:x", "a\nb"):
        with pytest.raises(UsageError):
            await corpus.ingest(allow=[group])
    assert await corpus.rows("SELECT FROM fiel.collections") == []


async def test_tenants_share_nothing(corpus: Corpus) -> None:
    corpus.write(a="the same text")
    other = Principal(f"{corpus.tenant}-other", "cora", roles=frozenset({"curator"}))
    await corpus.ingest(allow=["everyone"])
    report = await corpus.ingest(by=other)
    assert vectors(report) == (1, 0, 0)  # not even a vector: its presence would tell
    assert await corpus.texts(other) == ["the same text"] == await corpus.texts(corpus.curator)
    assert await corpus.rows("SELECT tenant FROM fiel.documents", other) == [(other.tenant,)]


async def test_two_ingests_of_a_folder_at_once_make_no_duplicates(corpus: Corpus) -> None:
    corpus.write(**{f"f{n}": f"text {n}" for n in range(30)})
    told: list[bool] = []
    reports = await asyncio.gather(
        corpus.ingest(progress=lambda state: told.append(state.waiting)),
        corpus.ingest(),
        corpus.ingest(progress=lambda state: told.append(state.waiting)),
    )
    assert sum(report.added for report in reports) == 30
    assert sum(report.unchanged for report in reports) == 60
    assert len(corpus.embed.texts) == 30 and any(told)
    assert await corpus.rows("SELECT count(*), count(DISTINCT text) FROM fiel.chunks") == [(30, 30)]


async def test_overlapping_ingests_make_no_duplicates_either(corpus: Corpus) -> None:
    corpus.write(**{f"sub__f{n}": f"text {n}\n\nmore {n}" for n in range(20)})
    reports = await asyncio.gather(corpus.ingest(), corpus.ingest(corpus.folder / "sub"))
    assert sum(report.added + report.unchanged for report in reports) == 40
    assert sum(report.added for report in reports) == 20
    assert await corpus.rows("SELECT count(*), count(DISTINCT text) FROM fiel.chunks") == [(40, 40)]
    assert await corpus.rows("SELECT count(*) FROM fiel.versions") == [(20,)]


async def test_another_embedder_makes_new_vectors_for_the_same_versions(corpus: Corpus) -> None:
    corpus.write(a="x")
    await corpus.ingest()
    report = await corpus.ingest(embed=HashEmbedder("hash:2", 16))
    assert (counts(report), vectors(report)) == ((0, 1, 0, 0), (1, 0, 0))
    assert await corpus.rows("SELECT model, dimensions FROM fiel.chunks") == [("hash:2", 16)]
    assert await corpus.rows("SELECT count(*) FROM fiel.versions") == [(1,)]


class Failing(HashEmbedder):
    """Raises after some texts."""

    def __init__(self, after: int = 0) -> None:
        super().__init__()
        self.left = after

    async def passages(self, texts: Sequence[str]) -> list[Vector]:
        self.left -= len(texts)
        if self.left < 0:
            raise ModelUnavailable("the model is gone")
        return await super().passages(texts)


class Garbage(HashEmbedder):
    """Answers what is no list of unit vectors."""

    def __init__(self, answer: list[Any]) -> None:
        super().__init__()
        self.answer = answer

    async def passages(self, texts: Sequence[str]) -> list[Vector]:
        return self.answer * len(texts)


async def test_an_embedder_that_fails_loses_nothing_that_was_done(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "BATCH", 4)
    corpus.write(long="\n\n".join(f"paragraph {n}" for n in range(20)))
    with pytest.raises(ModelUnavailable, match="gone"):
        await corpus.ingest(embed=Failing(after=12))
    assert await corpus.rows("SELECT FROM fiel.documents") == []
    report = await corpus.ingest()
    assert (counts(report), vectors(report)) == ((1, 0, 0, 0), (8, 12, 0))


@pytest.mark.parametrize(
    "answer", [[np.zeros(384, np.float32)], [np.full(384, np.nan, np.float32)], [np.ones(3, np.float32)], []]
)
async def test_vectors_that_are_garbage_are_not_stored(corpus: Corpus, answer: list[Any]) -> None:
    corpus.write(a="x")
    with pytest.raises(ModelUnavailable):
        await corpus.ingest(embed=Garbage(answer))
    assert await corpus.rows("SELECT FROM fiel.embeddings") == [] == await corpus.rows("SELECT FROM fiel.documents")


async def test_progress_counts_up_to_everything(corpus: Corpus) -> None:
    corpus.write(**{f"f{n}": f"one {n}\n\ntwo {n}" for n in range(5)})
    (corpus.folder / "bad.bin").write_bytes(b"\0")
    seen: list[tuple[int, int, int, int]] = []

    def watch(state: Progress) -> None:
        seen.append((state.seen, state.done, state.chunks, state.chunks_done))

    await corpus.ingest(progress=watch)
    assert seen[-1] == (6, 6, seen[-1][2], seen[-1][2]) and seen[-1][2] >= 5
    assert seen == sorted(seen, key=lambda counts: counts[1])


async def test_a_document_larger_than_the_budget_still_passes(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "BUDGET", 10)
    corpus.write(a="x", b="y", c="z")
    assert counts(await corpus.ingest(limits=Limits(max_file=1000))) == (3, 0, 0, 0)


async def test_a_document_without_chunks_is_stored_all_the_same(corpus: Corpus) -> None:
    class Blank:
        async def parse(self, data: bytes, name: str) -> Prepared:
            return Prepared("-", "t", "text/plain", "und", (), ())

    corpus.write(a="x")
    assert counts(await corpus.ingest(parsers=[Blank()])) == (1, 0, 0, 0)
    assert counts(await corpus.ingest(parsers=[Blank()])) == (0, 0, 0, 1)


async def test_licence_and_trust_hold_at_once_for_all_that_the_source_has_brought(corpus: Corpus) -> None:
    marks = "SELECT licence, trust FROM fiel.documents ORDER BY key"
    corpus.write(a="one", b="two")
    await corpus.ingest(marks=Marks("CC-BY-4.0", "external"))
    assert await corpus.rows(marks) == [("CC-BY-4.0", "external")] * 2
    corpus.write(a="three")
    with pytest.raises(ModelUnavailable):
        await corpus.ingest(embed=Failing(), marks=Marks("LicenseRef-no-ai", "external"))
    assert await corpus.rows(marks) == [("LicenseRef-no-ai", "external")] * 2
    await corpus.ingest()
    assert await corpus.rows(marks) == [("", "internal")] * 2


@pytest.mark.parametrize(
    ("licence", "fine"),
    [
        ("", True),
        ("MIT OR Apache-2.0", True),
        ("(MIT)", True),
        ("a\nb", False),
        (" MIT", False),
        ("<MIT>", False),
        ("x" * 300, False),
    ],
)
def test_a_licence_is_an_spdx_expression(licence: str, fine: bool) -> None:
    if fine:
        assert checked_licence(licence) == licence
    else:
        with pytest.raises(UsageError, match="no SPDX"):
            checked_licence(licence)


def test_the_command_line_knows_every_level_of_trust() -> None:
    assert get_args(Trust) == TRUST
