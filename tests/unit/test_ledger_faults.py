"""The ledger when processes and servers are killed: nothing acknowledged is lost, nothing half-written is left."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict
from uuid import uuid4

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.graph import END, START, StateGraph
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from fiel.infra.database.connect import Database
from fiel.infra.database.embedded import Embedded
from fiel.infra.database.migrate import migrate
from fiel.infra.ledger.chain import broken
from fiel.infra.ledger.keys import Cipher, key_of
from fiel.infra.ledger.postgres import PostgresStore
from fiel.infra.ledger.recorder import LedgerRecorder
from fiel.tools.principal import Principal
from fiel.tools.record import Hop
from tests.conftest import Urls

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]
CIPHER = Cipher(key_of(b"k" * 32))


class State(TypedDict, total=False):
    question: str
    outcome: str
    answer: str


class Callers:
    def principal(self, config: Mapping[str, Any]) -> Principal:
        return Principal("acme", "ana", frozenset(), frozenset({"reader"}))


async def first(state: State, runtime: Any, config: RunnableConfig) -> dict[str, Any]:
    return {"question": state["question"].upper()}


async def second(state: State, runtime: Any, config: RunnableConfig) -> dict[str, Any]:
    if state["question"] == "DIE":
        os.kill(os.getpid(), signal.SIGKILL)
    return {}


async def last(state: State, runtime: Any, config: RunnableConfig) -> dict[str, Any]:
    return {"outcome": "answered", "answer": state["question"]}


def graph(recorder: LedgerRecorder, saver: Any = None, middle: Any = second) -> Any:
    built = StateGraph(State)
    built.add_node("one", recorder.wear(Hop("one", "CHAIN", shown_out=("question",), first=True), first))
    built.add_node("two", recorder.wear(Hop("two", "CHAIN"), middle))
    built.add_node("end", recorder.wear(Hop("end", "CHAIN", ("outcome",), terminal=True), last))
    for start, end in ((START, "one"), ("one", "two"), ("two", "end"), ("end", END)):
        built.add_edge(start, end)
    return built.compile(checkpointer=saver)


def recorder(database: Database, **more: Any) -> LedgerRecorder:
    return LedgerRecorder(PostgresStore(database.system, database.aside), CIPHER, Callers(), redact=str, **more)


async def live(url: str, owner: str, run: str, question: str) -> None:
    """What the killed process does: answers, says so, and waits; or is killed in its second hop."""
    from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver

    async with Database(url) as database, AsyncPostgresSaver.from_conn_string(owner) as saver:
        await saver.setup()
        setup = {"run_id": run, "configurable": {"thread_id": "t"}}
        await graph(recorder(database), saver).ainvoke({"question": question}, setup, durability="sync")
        print("answered", flush=True)
        await asyncio.sleep(600)


def start(urls: Urls, run: str, question: str) -> "subprocess.Popen[str]":
    code = "import asyncio, sys; from tests.unit import test_ledger_faults as t; asyncio.run(t.live(*sys.argv[1:]))"
    command = [sys.executable, "-c", code, urls.runtime, urls.owner, run, question]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])


async def span_names(database: Database) -> list[str]:
    async with database.system() as connection:
        rows = await (await connection.execute("SELECT run, key, data FROM fiel.spans ORDER BY id")).fetchall()
    data = b"".join(CIPHER.open("spans", str(run), bytes(blob), key) for run, key, blob in rows)
    found = TracesData.FromString(data)
    return [span.name for one in found.resource_spans for scope in one.scope_spans for span in scope.spans]


async def test_after_an_answer_a_killed_process_has_lost_nothing(database: Database, database_urls: Urls) -> None:
    run = str(uuid4())
    process = start(database_urls, run, "hello")
    assert process.stdout is not None
    with process.stdout:
        assert await asyncio.to_thread(process.stdout.readline) == "answered\n"
        process.kill()
        process.wait()
    assert sorted(await span_names(database)) == ["answer", "end", "one", "two"]
    sealed = await PostgresStore(database.system).entries(run)
    assert len(sealed) == 3
    assert broken(sealed, "") is None


async def test_a_run_killed_between_hops_is_resumed_with_its_past(database: Database, database_urls: Urls) -> None:
    from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver

    run, again = str(uuid4()), str(uuid4())
    process = start(database_urls, run, "die")
    assert process.stdout is not None
    with process.stdout:
        assert await asyncio.to_thread(process.wait) == -signal.SIGKILL

    async def survives(state: State, runtime: Any, config: RunnableConfig) -> dict[str, Any]:
        return {}

    async with AsyncPostgresSaver.from_conn_string(database_urls.owner) as saver:
        ledger = recorder(database)
        setup = {"run_id": again, "configurable": {"thread_id": "t"}}
        state = await graph(ledger, saver, survives).ainvoke(None, setup, durability="sync")
        assert state["outcome"] == "answered"
        entries = await ledger.history(again)
        assert [(entry.run, entry.hop) for entry in entries] == [(run, "one"), (again, "two"), (again, "end")]
        assert not any(entry.edited for entry in entries)
        await ledger.close()


async def test_no_acknowledged_run_is_lost_when_the_server_is_killed(tmp_path: Path) -> None:
    async with Embedded(tmp_path) as server:
        await asyncio.to_thread(migrate, server.owner_url)
        async with Database(server.url, timeout=30.0) as database:
            ledger = recorder(database, patience=60.0)
            compiled = graph(ledger)
            answered: list[str] = []

            async def asks() -> None:
                for _ in range(40):
                    run = str(uuid4())
                    state = await compiled.ainvoke({"question": "q"}, {"run_id": run})
                    if state["outcome"] == "answered":
                        answered.append(run)

            work = [asyncio.create_task(asks()) for _ in range(8)]
            for _ in range(2):
                before = len(answered)
                while len(answered) < before + 40 and not all(task.done() for task in work):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
                pid = int((tmp_path / "postgres" / "postmaster.pid").read_text().split()[0])
                os.kill(pid, signal.SIGKILL)
            await asyncio.gather(*work)
            assert len(answered) == 320
            store = ledger.store
            for run in answered:
                sealed = await store.entries(run)
                assert len(sealed) == 3
                assert broken(sealed, "") is None
            names = await span_names(database)
            assert len(names) == 320 * 4
            assert ledger.writer.lost == 0
            await ledger.close()
