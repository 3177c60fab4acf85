"""The shipper against a small server that speaks MLflow's routes."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from fiel.infra.database.connect import Database
from fiel.infra.ledger.keys import Cipher, key_of
from fiel.infra.ledger.postgres import PostgresStore
from fiel.infra.ledger.store import Flush, RunRow
from fiel.infra.telemetry import otlp
from fiel.infra.telemetry.mlflow import Mlflow, MlflowUnavailable
from fiel.infra.telemetry.shipper import Shipper
from tests.answering import Answering, answering

CIPHER = Cipher(key_of(b"k" * 32))


class Server:
    """Takes traces; refuses spans named `poison`; answers 503 while it is down."""

    def __init__(self) -> None:
        self.spans: list[str] = []
        self.requests = 0
        self.status = 200
        self.experiments: dict[str, str] = {}
        outer = self

        class Handler(Answering):
            def do_GET(self) -> None:
                name = self.path.rpartition("=")[2]
                known = outer.experiments.get(name)
                self.reply(200, {"experiment": {"experiment_id": known}}) if known else self.reply(404, {})

            def do_POST(self) -> None:
                body = self.asked()
                if self.path.endswith("/create"):
                    outer.experiments[json.loads(body)["name"]] = "7"
                    self.reply(200, {"experiment_id": "7"})
                    return
                outer.requests += 1
                self.reply(outer.take(self.headers, body), {})

        self.handler = Handler
        self.url = ""

    def take(self, headers: Any, body: bytes) -> int:
        if self.status != 200:
            return self.status
        assert headers["x-mlflow-experiment-id"] == "7"
        data = TracesData.FromString(gzip.decompress(body))
        names = [span.name for one in data.resource_spans for scope in one.scope_spans for span in scope.spans]
        if "poison" in names:
            return 422
        self.spans += names
        return 200


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    with answering(made.handler) as at:
        made.url = f"http://{at}"
        yield made


def row(name: str) -> Flush:
    run = str(uuid4())
    span = otlp.span(trace=b"t" * 16, id=b"s" * 8, parent=b"", name=name, start=1, end=2, values={"a": "b"}, error=None)
    data = otlp.traces([span], resource=(("service.name", "fiel"),))
    return Flush.of(
        RunRow(run, "acme", "", "ana", None, None, 1), (), CIPHER.key.id, spans=CIPHER.seal("spans", run, data)
    )


async def put(database: Database, *names: str) -> None:
    await PostgresStore(database.system).append([row(name) for name in names])


@asynccontextmanager
async def shipping(database: Database, server: Server, cipher: Cipher = CIPHER) -> AsyncIterator[Shipper]:
    mlflow = Mlflow(server.url, "fiel", timeout=5)
    try:
        yield Shipper(database.system, cipher, mlflow, poll=0.02, longest_pause=0.1)
    finally:
        await mlflow.close()


async def test_spans_arrive_in_order_and_once(database: Database, server: Server) -> None:
    names = [f"s{i}" for i in range(20)]
    await put(database, *names)
    async with shipping(database, server) as shipper:
        assert (await shipper.backlog()).pending == 20
        assert await shipper.ship_once(15) == 15
        assert await shipper.ship_once(15) == 5
        assert await shipper.ship_once(15) == 0
        assert (await shipper.backlog()).pending == 0
    assert server.spans == names
    assert server.experiments == {"fiel": "7"}


@pytest.mark.parametrize("status", [503, 500, 429, 401, 404])
async def test_nothing_is_lost_while_mlflow_is_down(database: Database, server: Server, status: int) -> None:
    await put(database, "a", "b")
    server.status = status
    async with shipping(database, server) as shipper:
        with pytest.raises(MlflowUnavailable):
            await shipper.ship_once()
        backlog = await shipper.backlog()
        assert (backlog.pending, backlog.refused) == (2, 0)
        assert backlog.oldest > 0
        stop = asyncio.Event()
        task = asyncio.create_task(shipper.ship_until(stop))
        await asyncio.sleep(0.1)
        server.status = 200
        assert await _until(lambda: len(server.spans) == 2)
        stop.set()
        await task
    assert server.spans == ["a", "b"]


async def _until(condition: Any) -> bool:
    for _ in range(400):
        if condition():
            return True
        await asyncio.sleep(0.02)
    return False


async def test_a_poisoned_row_is_set_aside_after_the_others_went(database: Database, server: Server) -> None:
    await put(database, "a", "poison", "b", "c")
    async with shipping(database, server) as shipper:
        assert await shipper.ship_once() == 3
        assert server.spans == ["a", "b", "c"]
        backlog = await shipper.backlog()
        assert (backlog.pending, backlog.refused) == (0, 1)


async def test_while_nothing_goes_through_nothing_is_set_aside(database: Database, server: Server) -> None:
    await put(database, "a", "b")
    server.status = 422
    async with shipping(database, server) as shipper:
        assert await shipper.ship_once() == 0
        assert (await shipper.backlog()).refused == 0
        server.status = 200
        assert await shipper.ship_once() == 2


async def test_refused_rows_are_tried_again_at_the_next_start(database: Database, server: Server) -> None:
    await put(database, "a", "poison")
    async with shipping(database, server) as shipper:
        assert await shipper.ship_once() == 1
        server.take = lambda headers, body: 200  # type: ignore[method-assign]
        stop = asyncio.Event()
        task = asyncio.create_task(shipper.ship_until(stop))
        for _ in range(200):
            backlog = await shipper.backlog()
            if (backlog.pending, backlog.refused) == (0, 0):
                break
            await asyncio.sleep(0.02)
        stop.set()
        await task
        assert (backlog.pending, backlog.refused) == (0, 0)


async def test_a_row_of_a_lost_key_blocks_nothing(database: Database, server: Server) -> None:
    await put(database, "a")
    other = Cipher(key_of(b"o" * 32))
    lost = row("lost")
    await PostgresStore(database.system).append([replace(lost, key=other.key.id)])
    async with shipping(database, server) as shipper:
        assert await shipper.ship_once() == 1
        backlog = await shipper.backlog()
        assert (backlog.pending, backlog.refused) == (0, 1)


async def test_one_ships_at_a_time(database: Database, server: Server) -> None:
    await put(database, *[f"s{i}" for i in range(40)])
    async with shipping(database, server) as one, shipping(database, server) as two:
        await asyncio.gather(*(shipper.drain(10) for shipper in (one, two, one, two)))
    assert sorted(server.spans) == sorted(f"s{i}" for i in range(40))


async def test_an_address_where_nothing_listens_says_so(database: Database) -> None:
    await put(database, "a")
    mlflow = Mlflow("http://user:word@127.0.0.1:9", "fiel", timeout=1)
    shipper = Shipper(database.system, CIPHER, mlflow)
    with pytest.raises(MlflowUnavailable) as caught:
        await shipper.ship_once()
    assert "word" not in str(caught.value)
    await mlflow.close()
