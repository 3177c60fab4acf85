"""Feedback on its way to MLflow, against a small server that speaks MLflow's routes."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import pytest

from fiel.infra.database.connect import Database
from fiel.infra.ledger.attempts import attempt_id
from fiel.infra.ledger.keys import Cipher, key_of
from fiel.infra.ledger.postgres import PostgresStore
from fiel.infra.ledger.store import Flush, RunRow
from fiel.infra.ledger.subjects import SubjectKeys, erase_key
from fiel.infra.runs.feedback import Feedback, Said
from fiel.infra.telemetry.assessments import Assessments
from fiel.infra.telemetry.mlflow import Mlflow, MlflowUnavailable
from fiel.infra.telemetry.shipper import Shipper
from fiel.tools.principal import Principal
from tests.answering import Answering, answering

CIPHER = Cipher(key_of(b"k" * 32))
ANN = Principal("acme", "ann")


class Server:
    """Takes assessments of the traces it has, one an id. Says `status` instead of it, or 500 after it where `lost`."""

    def __init__(self) -> None:
        self.traces: set[str] = set()
        self.taken: dict[str, dict[str, Any]] = {}
        self.status = 200
        self.lost = False
        outer = self

        class Handler(Answering):
            def do_GET(self) -> None:
                self.reply(200 if self.path.rpartition("/")[2] in outer.taken else 404, {})

            def do_POST(self) -> None:
                body = json.loads(self.asked())
                self.reply(outer.take(self.path.split("/")[-2], body["assessment"]), {})

        self.handler = Handler
        self.url = ""

    def take(self, trace: str, assessment: dict[str, Any]) -> int:
        if self.status != 200:
            return self.status
        if trace not in self.traces:
            return 404
        assert assessment["trace_id"] == trace
        if "poison" in assessment["rationale"]:
            return 400
        if assessment["assessment_id"] in self.taken:
            return 500  # as MLflow does: the id is its table's key
        self.taken[assessment["assessment_id"]] = assessment
        return 500 if self.lost else 200


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    with answering(made.handler) as at:
        made.url = f"http://{at}"
        yield made


@asynccontextmanager
async def shipping(database: Database, server: Server) -> AsyncIterator[Assessments]:
    mlflow = Mlflow(server.url, "fiel", timeout=5)
    try:
        yield Assessments(database.system, SubjectKeys(database.system, CIPHER), mlflow, pause=60.0)
    finally:
        await mlflow.close()


async def judged(database: Database, server: Server, *comments: str, run: UUID | None = None) -> UUID:
    """A run of Ann's that the ledger and MLflow have, and what she says about it."""
    run = run or uuid4()
    await PostgresStore(database.system).append([flush(run)])
    server.traces.add(f"tr-{run.hex}")
    await said(database, run, *comments)
    return run


def flush(run: UUID, spans: bytes = b"") -> Flush:
    return Flush.of(RunRow(str(run), "acme", "", "ann", None, None, 1), (), CIPHER.key.id, spans=spans)


async def said(database: Database, run: UUID, *comments: str) -> None:
    giving = Feedback(database, SubjectKeys(database.system, CIPHER), str)
    for comment in comments:
        await giving.give(ANN, run, Said(0.5, comment, ("slow",)))


async def wait(database: Database) -> None:
    """Until what was not taken is due again."""
    async with database.system() as connection:
        await connection.execute("UPDATE fiel.assessments SET due = clock_timestamp()")


async def left(database: Database) -> list[tuple[int, str]]:
    """Tries and problem of what waits."""
    async with database.system() as connection:
        cursor = await connection.execute("SELECT tries, problem FROM fiel.assessments ORDER BY id")
        return [(tries, problem) for tries, problem in await cursor.fetchall()]


async def test_feedback_becomes_an_assessment_of_the_trace(database: Database, server: Server) -> None:
    run = await judged(database, server, "too long", "fine now")
    async with shipping(database, server) as assessments:
        assert await assessments.ship_once() == 2
        assert await assessments.ship_once() == 0
    first, second = server.taken.values()
    assert (first["assessment_name"], first["feedback"], first["rationale"]) == ("feedback", {"value": 0.5}, "too long")
    assert first["source"] == {"source_type": "HUMAN", "source_id": "ann"}
    assert first["metadata"] == {"fiel.run": str(run), "fiel.labels": '["slow"]'}
    assert second["rationale"] == "fine now"
    assert await left(database) == []


async def test_an_assessment_of_a_run_taken_up_again_stands_on_its_last_trace(
    database: Database, server: Server
) -> None:
    run = uuid4()
    again = attempt_id(str(run), 2)
    await PostgresStore(database.system).append([flush(run), flush(again)])
    server.traces |= {f"tr-{run.hex}", f"tr-{again.hex}"}
    await said(database, run, "x")
    async with shipping(database, server) as assessments:
        assert await assessments.ship_once() == 1
    assert [one["trace_id"] for one in server.taken.values()] == [f"tr-{again.hex}"]


async def test_it_waits_for_the_spans_of_its_run_and_for_no_others(database: Database, server: Server) -> None:
    run, other = await judged(database, server), await judged(database, server)
    await PostgresStore(database.system).append([flush(run, b"spans")])
    await said(database, run, "waits")
    await said(database, other, "goes")
    async with shipping(database, server) as assessments:
        assert await assessments.ship_once() == 1
        async with database.system() as connection:
            await connection.execute("DELETE FROM fiel.spans")
        assert await assessments.ship_once() == 1
    assert [one["rationale"] for one in server.taken.values()] == ["goes", "waits"]


@pytest.mark.parametrize("status", [503, 500, 429, 401])
async def test_nothing_is_lost_while_mlflow_is_down(database: Database, server: Server, status: int) -> None:
    await judged(database, server, "a", "b")
    server.status = status
    async with shipping(database, server) as assessments:
        with pytest.raises(MlflowUnavailable):
            await assessments.ship_once()
        assert await left(database) == [(1, "mlflow_unavailable"), (0, "")]
        server.status = 200
        await wait(database)
        assert await assessments.ship_once() == 2
    assert await left(database) == []


async def test_what_is_shipped_twice_is_there_once(database: Database, server: Server) -> None:
    """MLflow took it and its answer was lost, or the process died before it could delete the row."""
    await judged(database, server, "a")
    async with database.system() as connection:
        await connection.execute("CREATE TEMPORARY TABLE kept ON COMMIT DROP AS SELECT * FROM fiel.assessments")
        async with shipping(database, server) as assessments:
            server.lost = True
            assert await assessments.ship_once() == 1, "MLflow has it, whatever it said"
            server.lost = False
            assert await left(database) == []
        columns = "feedback_id, attempts, key, data"
        await connection.execute(f"INSERT INTO fiel.assessments ({columns}) SELECT {columns} FROM kept")
    async with shipping(database, server) as assessments:
        assert await assessments.ship_once() == 1
    assert [one["rationale"] for one in server.taken.values()] == ["a"]
    assert await left(database) == []


async def test_what_mlflow_does_not_take_holds_up_nothing(database: Database, server: Server) -> None:
    run = await judged(database, server, "poison")
    gone = await judged(database, server, "of a trace that was deleted")
    server.traces.discard(f"tr-{gone.hex}")
    await said(database, run, "fine")
    async with shipping(database, server) as assessments:
        assert await assessments.ship_once() == 1
        assert await left(database) == [(1, "status 400"), (1, "no_trace")]
        assert await assessments.ship_once() == 0, "not yet due"
        server.traces.add(f"tr-{gone.hex}")
        await wait(database)
        assert await assessments.ship_once() == 1
        assert await left(database) == [(2, "status 400")]


async def test_of_a_person_who_was_erased_mlflow_is_told_nothing(database: Database, server: Server) -> None:
    await judged(database, server, "a")
    async with database.system() as connection:
        await erase_key(connection, "acme", "ann")
    async with shipping(database, server) as assessments:
        assert await assessments.ship_once() == 1
    assert (server.taken, await left(database)) == ({}, [])


async def test_one_ships_at_a_time(database: Database, server: Server) -> None:
    await judged(database, server, *(f"c{number}" for number in range(20)))
    async with shipping(database, server) as one, shipping(database, server) as two:
        while await left(database):
            await asyncio.gather(one.ship_once(5), two.ship_once(5))
    assert len(server.taken) == 20


async def test_the_shipper_ships_it_after_spans(database: Database, server: Server) -> None:
    await judged(database, server, "a")
    mlflow = Mlflow(server.url, "fiel", timeout=5)
    shipper = Shipper(database.system, CIPHER, mlflow, keys=SubjectKeys(database.system, CIPHER), poll=0.02)
    stop = asyncio.Event()
    task = asyncio.create_task(shipper.ship_until(stop))
    for _ in range(200):
        if server.taken:
            break
        await asyncio.sleep(0.02)
    stop.set()
    await task
    await mlflow.close()
    assert [one["rationale"] for one in server.taken.values()] == ["a"]
