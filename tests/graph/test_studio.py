"""Studio: `langgraph dev` in its own environment loads the graph of `langgraph.json`, offline and without a key.

A run is drawn, stepped, edited and forked through `langgraph-sdk`, over the embedded PostgreSQL and the real models.
The chat model is a scripted endpoint, so that a draft can be told from what the passages say.
"""

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from langgraph_sdk import get_sync_client
from langgraph_sdk.client import SyncLangGraphClient

from tests.langgraph_dev import LANGGRAPH, ROOT, START, bare_environment, langgraph_dev

HOPS = {
    *("guard_input", "rewrite", "retrieve", "rerank", "guard_context", "generate", "judge", "guard_output"),
    *("hold", "review", "release", "abstain", "refuse", "fail"),
}
MODES = ["values", "updates", "debug", "tasks", "checkpoints", "messages-tuple", "events", "custom"]
WITHHELD = "Xylophone-7731"
"""Stands in a draft that nothing supports: nobody may ever see it."""
DOCUMENT = """# The lighthouse of Arrecife

The lighthouse of Arrecife was built in 1893 by the engineer Clara Betancort. Its lamp is seen for 21 nautical miles.

# The harbour

The harbour was dredged in 1921, and its northern mole is 480 metres long.
"""
BUILT = "Who built the lighthouse of Arrecife?"
MOLE = "How long is the northern mole of the harbour?"

pytestmark = [
    pytest.mark.studio,
    pytest.mark.timeout(580),
    pytest.mark.skipif(not LANGGRAPH.exists(), reason="make .venv-studio/.installed installs langgraph-cli"),
]


class Writer(BaseHTTPRequestHandler):
    """A chat endpoint: a supported answer about the lighthouse, an invented one about the mole."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["messages"][-1]["content"]
        supported = "The lighthouse of Arrecife was built in 1893 by the engineer Clara Betancort [1]."
        text = supported if BUILT in asked else f"The northern mole is 9999 metres long, says {WITHHELD} [1]."
        if "<conversation>" in asked:  # a second attempt searches in other words
            text = "What is the length of the mole in the north?"
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
        body = json.dumps({"choices": [choice], "usage": {"prompt_tokens": 9, "completion_tokens": 9}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@contextmanager
def chat_endpoint() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Writer)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("studio")
    shutil.copy(ROOT / "langgraph.json", folder)
    (folder / "infra").symlink_to(ROOT / "infra")
    (folder / "lighthouse.md").write_text(DOCUMENT, encoding="utf-8")
    with chat_endpoint() as chat:
        environment = bare_environment() | {
            "FIEL_HOME": str(folder / "home"),
            "FIEL_AUTH": "none",
            "FIEL_CHAT": "openai:scripted",
            "FIEL_CHAT_URL": chat,
        }
        ingest = [sys.executable, "-m", "fiel.infra.cli", "ingest", "lighthouse.md", "--collection", "default"]
        subprocess.run(ingest, cwd=folder, env=environment, check=True, capture_output=True, timeout=START)
        with langgraph_dev(folder, environment) as address:
            yield address


@pytest.fixture(scope="module")
def client(url: str) -> Iterator[SyncLangGraphClient]:
    with get_sync_client(url=url, timeout=httpx.Timeout(START)) as made:
        yield made


def asked(question: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": question}]}


def test_the_drawing_shows_the_hops_by_their_names(client: SyncLangGraphClient) -> None:
    (assistant,) = client.assistants.search(graph_id="answer")
    drawn = client.assistants.get_graph(assistant["assistant_id"])
    assert {str(node["id"]) for node in drawn["nodes"]} == {*HOPS, "__start__", "__end__"}
    edges = {(edge["source"], edge["target"]) for edge in drawn["edges"]}
    assert {("__start__", "guard_input"), ("guard_output", "release"), ("release", "__end__")} <= edges
    assert {source for source, target in edges if target == "release"} == {"guard_output", "review"}


def test_options_are_an_editable_context_with_descriptions(client: SyncLangGraphClient) -> None:
    (assistant,) = client.assistants.search(graph_id="answer")
    schemas: dict[str, Any] = dict(client.assistants.get_schemas(assistant["assistant_id"]))
    properties = schemas["context_schema"]["properties"]
    assert {"collection", "k", "policy", "prompt", "chat", "attempts"} <= properties.keys()
    for name, shown in properties.items():
        assert len(shown["description"]) > 10, name
        assert "default" in shown, name
    assert "messages" in schemas["input_schema"]["properties"]
    made = client.assistants.create("answer", context={"k": 3}, name="three passages")
    try:
        assert client.assistants.get(made["assistant_id"])["context"] == {"k": 3}
    finally:
        client.assistants.delete(made["assistant_id"])


def test_a_question_is_answered(client: SyncLangGraphClient) -> None:
    thread = client.threads.create()["thread_id"]
    state: Any = client.runs.wait(thread, "answer", input=asked(BUILT))
    assert (state["outcome"], state["reason"]) == ("answered", "ok")
    assert "Clara Betancort" in state["answer"]
    assert state["citations"]
    assert state["versions"]["chat"] == "openai:scripted"
    assert state["messages"][-1]["content"] == state["answer"]


def test_no_stream_state_or_history_shows_what_is_withheld(client: SyncLangGraphClient) -> None:
    thread = client.threads.create()["thread_id"]
    modes: Any = MODES
    parts = list(client.runs.stream(thread, "answer", input=asked(MOLE), stream_mode=modes, stream_subgraphs=True))
    shown = json.dumps([[part.event, part.data] for part in parts], default=str)
    seen = {part.event.partition("|")[0] for part in parts}
    assert {"values", "updates", "debug", "tasks", "checkpoints", "events"} <= seen, "the modes must have spoken"
    assert '"generate"' in shown
    state: Any = client.threads.get_state(thread)
    assert state["values"]["outcome"] == "abstained"
    history = client.threads.get_history(thread, limit=100)
    assert len(history) > 5
    threads = client.threads.search(limit=100)
    runs = client.runs.list(thread)
    for surface in (shown, *(json.dumps(one, default=str) for one in (state, history, threads, runs))):
        assert WITHHELD.casefold() not in surface.casefold()


def test_a_run_is_stepped_through(client: SyncLangGraphClient) -> None:
    thread = client.threads.create()["thread_id"]
    passed = []
    client.runs.wait(thread, "answer", input=asked(BUILT), interrupt_after="*")
    for _ in range(20):
        state: Any = client.threads.get_state(thread)
        if not state["next"]:
            break
        passed += state["next"]
        client.runs.wait(thread, "answer", input=None, interrupt_after="*")
    assert passed == [
        *("rewrite", "retrieve", "rerank", "guard_context", "generate", "judge", "guard_output", "release")
    ]
    assert client.threads.get_state(thread)["values"]["outcome"] == "answered"  # type: ignore[call-overload]


def test_a_run_is_interrupted_edited_and_says_so_for_ever(client: SyncLangGraphClient) -> None:
    thread = client.threads.create()["thread_id"]
    client.runs.wait(thread, "answer", input=asked(BUILT), interrupt_before=["retrieve"])
    state: Any = client.threads.get_state(thread)
    assert state["next"] == ["retrieve"]
    client.threads.update_state(thread, {"queries": [BUILT, "lighthouse Arrecife engineer"]})
    final: Any = client.runs.wait(thread, "answer", input=None)
    assert (final["outcome"], final["reason"]) == ("answered", "edited")
    assert final["messages"][-1]["response_metadata"]["reason"] == "edited"
    before: Any = next(one for one in client.threads.get_history(thread, limit=50) if one["next"] == ["judge"])
    resumed: Any = client.runs.wait(thread, "answer", input=None, checkpoint=before["checkpoint"])
    assert (resumed["outcome"], resumed["reason"]) == ("answered", "edited"), "a run on top of it says so too"


@pytest.mark.parametrize(
    ("interrupt", "values", "as_node"),
    [
        ("retrieve", {"answer": "forged", "outcome": "answered"}, "guard_output"),
        ("release", {"draft": "0" * 64}, None),
        ("judge", {"judgement": {"satisfied": True}}, "judge"),
        ("retrieve", {"checked": {"action": "allow", "released": "0" * 64}, "draft": "0" * 64}, "guard_output"),
    ],
)
def test_no_edit_forges_an_answer(
    client: SyncLangGraphClient, interrupt: str, values: dict[str, Any], as_node: str | None
) -> None:
    thread = client.threads.create()["thread_id"]
    client.runs.wait(thread, "answer", input=asked(BUILT), interrupt_before=[interrupt])
    client.threads.update_state(thread, values, as_node=as_node)
    final: Any = client.runs.wait(thread, "answer", input=None)
    assert final["outcome"] != "answered" or (final["reason"] == "edited" and "Clara Betancort" in final["answer"])
    assert "forged" not in final["answer"]


def test_a_run_is_forked(client: SyncLangGraphClient) -> None:
    thread = client.threads.create()["thread_id"]
    client.runs.wait(thread, "answer", input=asked(BUILT))
    before: Any = next(one for one in client.threads.get_history(thread, limit=50) if one["next"] == ["generate"])
    forked: Any = client.runs.wait(thread, "answer", input=None, checkpoint=before["checkpoint"])
    assert forked["outcome"] == "answered"
    history: list[Any] = client.threads.get_history(thread, limit=50)
    parent = before["checkpoint"]["checkpoint_id"]
    branches = [one for one in history if (one["parent_checkpoint"] or {}).get("checkpoint_id") == parent]
    assert len(branches) == 2
