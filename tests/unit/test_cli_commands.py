"""ingest, search, ask, trace and db through the command line, on a real database, with an embedder of the test."""

import io
import json
import os
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fiel.infra.cli.app import run
from fiel.infra.cli.callers import TENANT

EMBEDDER = """
    import hashlib, re
    from langchain_core.embeddings import Embeddings

    class Words(Embeddings):
        '''One dimension a word, by hash, and one that all share: cosines from .76, as sentence models give them.'''

        def embed_query(self, text):
            words = set(re.findall(r"\\w+", text.lower()))
            vector = [1.78 * max(1, len(words)) ** 0.5] + [0.0] * 383
            for word in words:
                vector[1 + int(hashlib.sha256(word.encode()).hexdigest(), 16) % 383] += 1.0
            return vector

        def embed_documents(self, texts):
            return [self.embed_query(text) for text in texts]
"""

HANDBOOK = """
# Handbook

The office opens at nine in the morning. The canteen serves lunch from noon until two.

## Leave

Every employee has thirty days of leave a year. Leave is requested from the head of the department.
"""

Fiel = Callable[..., tuple[int, Any]]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One home for the module's database: the ledger's key lies there."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def fiel(
    shared_urls: Any,
    home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Fiel:
    """Runs a command with `--json` against the module's database; returns its status and its JSON."""
    for name in [name for name in os.environ if name.startswith("FIEL_")]:
        monkeypatch.delenv(name)
    (tmp_path / "words_embedder.py").write_text(textwrap.dedent(EMBEDDER))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FIEL_HOME", str(home))
    monkeypatch.setenv("FIEL_DATABASE_URL", shared_urls.runtime)
    monkeypatch.setenv("FIEL_DATABASE_OWNER_URL", shared_urls.owner)
    monkeypatch.setenv("FIEL_EMBED", "langchain:words_embedder:Words")

    def call(*arguments: str, json_out: bool = True) -> tuple[int, Any]:
        status = run([*arguments, *(["--json"] if json_out else [])])
        out = capsys.readouterr().out
        return status, json.loads(out) if json_out else out

    return call


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "documents"
    made.mkdir()
    (made / "handbook.md").write_text(HANDBOOK)
    return made


def test_a_folder_is_ingested_once(fiel: Fiel, folder: Path) -> None:
    status, first = fiel("ingest", str(folder), "--collection", "once")
    assert status == 0
    assert first["documents"]["added"] == 1
    assert first["chunks"]["embedded"] > 0
    assert first["curators_only"] is True
    _, again = fiel("ingest", str(folder), "--collection", "once")
    assert again["documents"] | {"unchanged": 1, "added": 0} == again["documents"]
    assert again["chunks"]["embedded"] == 0


def test_ingest_without_allow_says_who_can_read(fiel: Fiel, folder: Path) -> None:
    status, out = fiel("ingest", str(folder), "--collection", "closed", json_out=False)
    assert status == 0
    assert "Only curators and administrators" in out


def test_a_path_that_is_not_there_is_a_usage_error(fiel: Fiel, tmp_path: Path) -> None:
    status, value = fiel("ingest", str(tmp_path / "nothing"), "--collection", "missing")
    assert status == 2
    assert value["error"]["code"] == "document_path"


def test_a_broken_file_is_named_and_the_others_go_in(fiel: Fiel, folder: Path) -> None:
    (folder / "broken.pdf").write_bytes(b"%PDF-1.7 no more")
    status, value = fiel("ingest", str(folder), "--collection", "partly")
    assert status == 1
    assert value["documents"]["added"] == 1
    [error] = value["errors"]
    assert error["uri"].endswith("broken.pdf")


def test_search_finds_what_the_caller_may_read(fiel: Fiel, folder: Path) -> None:
    fiel("ingest", str(folder), "--collection", "finance", "--allow", "finance")
    status, hits = fiel("search", "days of leave", "--collection", "finance")
    assert status == 0
    assert "thirty days" in hits[0]["text"]
    assert hits[0].keys() == {"document", "uri", "chunk", "version", "text", "score", "dense_rank", "text_rank"}
    status, allowed = fiel("search", "days of leave", "--collection", "finance", "--as", "ana", "--group", "finance")
    assert (status, [hit["chunk"] for hit in allowed]) == (0, [hit["chunk"] for hit in hits])


def test_a_closed_collection_and_one_that_is_not_there_look_the_same(fiel: Fiel, folder: Path) -> None:
    fiel("ingest", str(folder), "--collection", "hidden", "--allow", "finance")
    status, closed = fiel("search", "leave", "--collection", "hidden", "--as", "bob")
    assert status == 2
    other, nothing = fiel("search", "leave", "--collection", "nowhere", "--as", "bob")
    assert other == status
    assert json.dumps(closed).replace("hidden", "nowhere") == json.dumps(nothing)


def test_search_reads_lines(
    fiel: Fiel, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fiel("ingest", str(folder), "--collection", "lines", "--allow", "everyone")
    monkeypatch.setattr("sys.stdin", io.StringIO('{"text": "leave", "id": "a"}\n"lunch"\n{"text": "", "id": 3}\n'))
    assert run(["search", "--collection", "lines", "--lines", "-k", "1"]) == 0
    first, second, third = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (first["id"], "leave" in first["hits"][0]["text"]) == ("a", True)
    assert "id" not in second and "lunch" in second["hits"][0]["text"]
    assert (third["id"], third["error"]["code"]) == (3, "usage")


def test_ask_answers_from_the_documents_and_trace_shows_its_hops(fiel: Fiel, folder: Path) -> None:
    fiel("ingest", str(folder), "--collection", "asked", "--allow", "everyone")
    status, answer = fiel(
        "ask", "How many days of leave does every employee have?", "--collection", "asked", "--as", "a"
    )
    assert (status, answer["outcome"]) == (0, "answered")
    assert "thirty days" in answer["answer"]
    assert "thirty days" in answer["citations"][0]["quote"]
    keys = {"run_id", "trace_id", "thread_id", "outcome", "reason", "answer", "citations", "judgement", "verdicts"}
    assert answer.keys() == keys | {"versions", "timings", "usage"}
    status, trace = fiel("trace", answer["run_id"])
    assert status == 0
    assert (trace["outcome"], trace["tenant"], trace["intact"]) == ("answered", TENANT, True)
    assert [hop["hop"] for hop in trace["hops"]][-1] == "release"
    assert {hop["hop"] for hop in trace["hops"]} == answer["timings"].keys()
    status, shown = fiel("trace", answer["trace_id"], json_out=False)
    assert status == 0
    assert "guard_input" in shown and "release" in shown


def test_ask_says_no_with_1(fiel: Fiel, folder: Path) -> None:
    fiel("ingest", str(folder), "--collection", "asked", "--allow", "everyone")
    status, answer = fiel("ask", "Who painted the Mona Lisa?", "--collection", "asked")
    assert (status, answer["outcome"], answer["citations"]) == (1, "abstained", [])
    status, answer = fiel("ask", "Where is it?", "--collection", "nowhere")
    assert (status, answer["outcome"], answer["reason"]) == (1, "refused", "collection_not_found")


def test_a_run_that_is_not_there_cannot_be_traced(fiel: Fiel) -> None:
    status, value = fiel("trace", "3f0c8f0e-0000-4000-8000-000000000000")
    assert (status, value["error"]["code"]) == (2, "run_not_found")
    status, value = fiel("trace", "yesterday")
    assert (status, value["error"]["code"]) == (2, "usage")


def test_an_option_that_is_not_there_is_a_usage_error(fiel: Fiel) -> None:
    for option in ("temperature=2", "k=many", "k"):
        status, value = fiel("ask", "x", "--option", option)
        assert (status, value["error"]["where"]) == (2, "--option")


def test_the_schema_is_current(fiel: Fiel) -> None:
    status, value = fiel("db", "migrate")
    assert (status, value["applied"]) == (0, [])
    status, value = fiel("db", "status")
    assert (status, value["current"], value["pending"]) == (0, True, [])


def test_a_collection_names_the_least_bundle_of_its_runs(fiel: Fiel, folder: Path) -> None:
    fiel("ingest", str(folder), "--collection", "strictly", "--allow", "everyone")
    assert fiel("policy", "require", "strict", "--collection", "strictly") == (
        0, {"collection": "strictly", "policy": "strict"},
    )  # fmt: skip
    _, answer = fiel("ask", "When does the office open?", "--collection", "strictly")
    _, bundles = fiel("policy", "list")
    strict = next(bundle["version"] for bundle in bundles if bundle["name"] == "strict")
    assert answer["versions"]["policy"] == strict


@pytest.mark.parametrize(
    "arguments",
    [
        ("no-such-bundle", "--collection", "strictly"),
        ("strict", "--collection", "no-such-collection"),
        ("strict", "--none", "--collection", "strictly"),
        ("--collection", "strictly"),
    ],
)
def test_a_least_bundle_that_cannot_be_is_refused(fiel: Fiel, arguments: tuple[str, ...]) -> None:
    status, value = fiel("policy", "require", *arguments)
    assert status in (1, 2)
    assert "error" in value
