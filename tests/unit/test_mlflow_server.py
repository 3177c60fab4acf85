"""A real MLflow server: traces arrive whole, once, typed; it ends with whoever started it; two starts share one."""

import asyncio
import gzip
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from psycopg.conninfo import conninfo_to_dict

from fiel.infra.database.connect import Database
from fiel.infra.desk.traces import compare
from fiel.infra.ledger.effects import RecordedChat
from fiel.infra.ledger.keys import Cipher, key_of
from fiel.infra.ledger.postgres import PostgresStore
from fiel.infra.ledger.recorder import LedgerRecorder
from fiel.infra.ledger.subjects import SubjectKeys
from fiel.infra.runs.feedback import Feedback, Said
from fiel.infra.telemetry import otlp
from fiel.infra.telemetry.mlflow import Mlflow, MlflowUnavailable
from fiel.infra.telemetry.mlflow_server import MlflowServer
from fiel.infra.telemetry.shipper import Shipper
from fiel.infra.telemetry.span import HopSpan, root_of
from fiel.infra.telemetry.trace import read, read_back
from fiel.tools.chat import ChatRequest, Completion, Turn, Usage
from fiel.tools.principal import Principal, local_administrator
from fiel.tools.record import Hop
from tests.conftest import Postgres

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
CIPHER = Cipher(key_of(b"k" * 32))
ANA = Principal("acme", "ana", frozenset(), frozenset({"reader"}))


def backend(postgres: Postgres) -> str:
    """A fresh database, as SQLAlchemy addresses it."""
    facts: Mapping[str, Any] = conninfo_to_dict(postgres.owner)
    name = postgres.create()
    user = f"{facts['user']}@" if facts.get("user") else ""
    query = "&".join(f"{key}={facts[key]}" for key in ("host", "port") if facts.get(key))
    return f"postgresql+psycopg://{user}/{name}?{query}"


class Callers:
    def principal(self, config: Mapping[str, Any]) -> Principal:
        return ANA


class Model:
    version = "model-1"
    writes = True

    async def complete(self, request: ChatRequest) -> Completion:
        return Completion("the unreleased draft", Usage(11, 3, "0.000100"), model="model-1")


def graph(recorder: LedgerRecorder) -> Any:
    from typing import TypedDict

    from langgraph.graph import END, START, StateGraph

    class State(TypedDict, total=False):
        question: str
        passages: list[dict[str, Any]]
        outcome: str
        reason: str
        answer: str

    chat = RecordedChat(Model())

    async def retrieve(state: Any, runtime: Any, config: Any) -> dict[str, Any]:
        return {"passages": [{"document": "d", "uri": "a.md", "chunk": "c", "text": "A passage."}]}

    async def generate(state: Any, runtime: Any, config: Any) -> dict[str, Any]:
        await chat.complete(ChatRequest((Turn("user", "q"),)))
        return {}

    async def release(state: Any, runtime: Any, config: Any) -> dict[str, Any]:
        return {"outcome": "answered", "reason": "ok", "answer": "A passage."}

    built = StateGraph(State)
    hops = (
        (Hop("retrieve", "RETRIEVER", shown_out=("passages",), first=True), retrieve),
        (Hop("generate", "CHAIN"), generate),
        (Hop("release", "CHAIN", decisions=("outcome", "reason"), shown_out=("answer",), terminal=True), release),
    )
    last = START
    for hop, node in hops:
        built.add_node(hop.name, recorder.wear(hop, node))
        built.add_edge(last, hop.name)
        last = hop.name
    built.add_edge(last, END)
    return built.compile()


async def test_traces_arrive_whole_typed_and_once_also_after_an_outage(
    database: Database, postgres: Postgres, tmp_path: Path
) -> None:
    recorder = LedgerRecorder(
        PostgresStore(database.system, database.aside), CIPHER, Callers(), redact=lambda text: text
    )
    compiled = graph(recorder)
    server = MlflowServer(tmp_path, backend(postgres))
    mlflow: Mlflow | None = None
    runs = [uuid4() for _ in range(6)]
    try:
        mlflow = Mlflow(await server.start(), "fiel")
        keys = SubjectKeys(database.system, CIPHER)
        shipper = Shipper(database.system, CIPHER, mlflow, keys=keys, poll=0.1, longest_pause=1.0)
        stop = asyncio.Event()
        shipping = asyncio.create_task(shipper.ship_until(stop))
        await compiled.ainvoke({"question": "q"}, {"run_id": runs[0]})
        tree = await read_back(mlflow, str(runs[0]), spans=5)
        assert tree is not None
        assert (tree["name"], tree["type"], tree["spans"]) == ("answer", "AGENT", 5)
        assert [child["type"] for child in tree["children"]] == ["RETRIEVER", "CHAIN", "CHAIN"]
        (model,) = tree["children"][1]["children"]
        assert model["type"] == "CHAT_MODEL"
        assert model["facts"]["gen_ai.usage.input_tokens"] == 11
        assert tree["children"][0]["outputs"][0]["page_content"] == "A passage."
        assert "unreleased" not in str(tree)
        await server.stop()
        for run in runs[1:]:
            await compiled.ainvoke({"question": "q"}, {"run_id": run})
        await asyncio.sleep(1.5)
        assert (await shipper.backlog()).pending == 5
        await server.start()
        for run in runs[1:]:
            tree = await read_back(mlflow, str(run), spans=5, timeout=60)
            assert tree is not None
            assert tree["spans"] == 5
        giving = Feedback(database, SubjectKeys(database.system, CIPHER), str)
        scores = ((runs[0], -1), (runs[1], 0.5))
        said = [await giving.give(ANA, run, Said(score, "a comment", ("slow",))) for run, score in scores]
        found = [await _assessed(mlflow, run, 1) for run in runs[:2]]
        assert [(one[0]["feedback"]["value"], one[0]["rationale"]) for one in found] == [
            (-1, "a comment"),
            (0.5, "a comment"),
        ]
        assert found[0][0]["source"] == {"source_type": "HUMAN", "source_id": "ana"}
        # Sent again, as after a lost answer: MLflow's table holds the id once.
        assert await mlflow.assess(runs[0].hex, f"a-{said[0].feedback_id.hex}", _again(found[0][0]))
        assert len(await _assessed(mlflow, runs[0], 1)) == 1
        assert not await mlflow.assess(uuid4().hex, "a-1", _again(found[0][0]))
        stop.set()
        await shipping
        backlog = await shipper.backlog()
        assert (backlog.pending, backlog.refused) == (0, 0)
        trace = await read(recorder.store, str(runs[0]))
        assert [hop["hop"] for hop in trace["hops"]] == ["retrieve", "generate", "release"]
        assert trace["tokens"] == {"input": 11, "output": 3}
        assert (trace["outcome"], trace["intact"]) == ("answered", True)
    finally:
        if mlflow is not None:
            await mlflow.close()
        await server.stop()
        await recorder.close()


async def test_traces_of_a_real_server_are_compared_with_the_ledger(
    database: Database, postgres: Postgres, tmp_path: Path
) -> None:
    keys = SubjectKeys(database.system, CIPHER)
    store = PostgresStore(database.system, database.aside)
    recorder = LedgerRecorder(store, CIPHER, Callers(), redact=str.upper, keys=keys)
    compiled, server = graph(recorder), MlflowServer(tmp_path, backend(postgres))
    runs, mlflow = [uuid4() for _ in range(25)], None
    try:
        mlflow = Mlflow(await server.start(), "fiel")
        for run in runs:
            await compiled.ainvoke({"question": "¿cuál es “5”? \x01 1e5"}, {"run_id": run})
        await recorder.close()
        assert await Shipper(database.system, CIPHER, mlflow, keys=keys).drain(60)
        auditor = local_administrator("acme")
        value = await compare(database, keys, mlflow, auditor)
        assert (value["runs"], value["spans"], value["broken"]) == (25, 125, [])
        trace = await mlflow.trace(runs[0].hex)
        assert trace is not None
        root = next(span for span in trace["spans"] if "parent_span_id" not in span)
        sent: list[HopSpan] = []
        forged = HopSpan("answer", runs[0].int, 0, sent.append, id=root_of(str(runs[0])), start=1)
        forged.values["mlflow.spanType"] = "AGENT"
        forged.end(2)
        stranger = HopSpan("answer", uuid4().int, 0, sent.append)
        stranger.values["mlflow.spanType"] = "AGENT"
        stranger.end()
        await mlflow.post(gzip.compress(otlp.traces([span.written() for span in sent], resource=())))
        broken: list[dict[str, Any]] = []
        for _ in range(50):
            broken = (await compare(database, keys, mlflow, auditor))["broken"]
            if len(broken) >= 2:
                break
        assert {one["what"] for one in broken if one["run"] == str(runs[0])} == {"the span is another than was sent"}
        assert root["name"] in {one["name"] for one in broken}
        assert "the ledger knows no run of this trace" in {one["what"] for one in broken}
    finally:
        if mlflow is not None:
            await mlflow.close()
        await server.stop()


async def _assessed(mlflow: Mlflow, run: UUID, least: int) -> list[dict[str, Any]]:
    """The assessments of a run's trace, waited for."""
    for _ in range(150):
        trace = await mlflow.trace(run.hex)
        found: list[dict[str, Any]] = trace["trace_info"].get("assessments", []) if trace else []
        if len(found) >= least:
            return found
        await asyncio.sleep(0.2)
    raise AssertionError("no assessment came")


def _again(assessment: dict[str, Any]) -> dict[str, Any]:
    names = ("assessment_name", "source", "create_time", "last_update_time", "feedback", "rationale", "metadata")
    return {name: assessment[name] for name in names}


KEEPS = """
import asyncio, sys
from pathlib import Path
from fiel.infra.telemetry.mlflow_server import MlflowServer
async def main():
    server = MlflowServer(Path(sys.argv[1]), sys.argv[2])
    print(await server.start(), server._child.pid if server._child else 0, flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""


@pytest.mark.faults
def test_it_ends_with_its_parent_and_two_starts_share_one(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/mlflow.db"
    command = [sys.executable, "-c", KEEPS, str(tmp_path), store]
    one = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    two = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert one.stdout
        assert two.stdout
        said = one.stdout.readline(), two.stdout.readline()
        (url, first), (same, second) = (line.split() for line in said)
        assert url == same
        child = int(first) or int(second)
        assert 0 in (int(first), int(second)), "one of them joined"
        owner = one if int(first) else two
        owner.send_signal(signal.SIGKILL)
        owner.wait()
        for _ in range(200):
            if not _alive(child):
                break
            time.sleep(0.1)
        assert not _alive(child)
    finally:
        for process in (one, two):
            process.kill()
            process.wait()
            if process.stdout:
                process.stdout.close()


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{process}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"


async def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    listener = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    try:
        with pytest.raises(MlflowUnavailable, match="cannot listen on port"):
            await MlflowServer(tmp_path, "sqlite://", port=port).start()
    finally:
        listener.close()
        await listener.wait_closed()
