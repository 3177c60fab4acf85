"""Unique words go through every path that takes texts; afterwards every table, file and trace is searched for them.

Nowhere may one stand in clear that is not listed here, and after the erasure of who sent them they stand nowhere.
"""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from fiel.graphs.answer.graph import build
from fiel.infra.callers import ConfigCallers
from fiel.infra.compose import cipher
from fiel.infra.database.connect import Database
from fiel.infra.hosts.own import OwnHost
from fiel.infra.ledger.bodies import body_of
from fiel.infra.ledger.effects import RecordedReviews
from fiel.infra.ledger.postgres import PostgresStore
from fiel.infra.ledger.recorder import LedgerRecorder
from fiel.infra.ledger.subjects import SubjectKeys
from fiel.infra.ledger.vault import LedgerVault
from fiel.infra.people.claims import Claims
from fiel.infra.runs.reviews import KeptReviews
from fiel.infra.runs.sealed import Sealer
from fiel.infra.settings import Settings
from fiel.infra.telemetry.mlflow import Mlflow
from fiel.infra.telemetry.mlflow_server import MlflowServer
from fiel.infra.telemetry.shipper import Shipper
from fiel.infra.threads import open_saver
from fiel.tools.principal import Principal
from tests.api.conftest import Server, serving
from tests.api.test_runs_webhooks import Receiver
from tests.conftest import Postgres, Urls
from tests.graph.conftest import House, bundles, house  # noqa: F401
from tests.graph.test_review import wants
from tests.unit.test_mlflow_server import backend

MARKERS = {
    name: f"{name}zq7331marker"
    for name in ("question", "answer", "followup", "fault", "comment", "label", "item", "input", "waiting", "cron")
}
CLEAR = {"metadata": "metadatazq7331marker", "assistant": "assistantzq7331marker"}
"""What a client gives to be searched by stands in clear, and goes with who gave it. Checkpoints repeat it."""
SUBJECT = "annzq7331subject"
"""Who sends them: the name itself is looked for as well."""
IN_CLEAR = {"threads", "checkpoints", "thread_runs", "assistants", "assistant_versions", "crons"}
NAMED = {"runs", "entries", "acts", "erasures", "subject_keys", "tokens"}
"""Where the name of who was erased stays: docs/audit.md says so."""


def forms(word: str) -> list[str]:
    """How a word may stand in a table or a file: plain, in hexadecimal, in base64 at any place."""
    coded = [base64.b64encode(b"\0" * shift + word.encode()).decode()[4:-4] for shift in range(3)]
    return [word, word.encode().hex(), *coded]


def in_tables(url: str, words: dict[str, str]) -> dict[str, set[str]]:
    """Which words stand in which tables of a database. `url`: a superuser's, whom row security does not bind."""
    found: dict[str, set[str]] = {}
    with psycopg.connect(url) as connection:
        tables = connection.execute(
            "SELECT schemaname, tablename FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        ).fetchall()
        for schema, table in tables:
            for name, word in words.items():
                query = f'SELECT EXISTS (SELECT FROM "{schema}"."{table}" t WHERE t::text LIKE ANY (%s))'
                row = connection.execute(query.encode(), ([f"%{form}%" for form in forms(word)],)).fetchone()
                if row and row[0]:
                    found.setdefault(table, set()).add(name)
            if (schema, table) == ("fiel", "entries"):  # compressed, and in clear all the same
                bodies = [body_of(bytes(body)) for (body,) in connection.execute("SELECT body FROM fiel.entries")]
                for name in (name for name, word in words.items() if any(word.encode() in body for body in bodies)):
                    found.setdefault(table, set()).add(name)
    return found


def in_files(folder: Path, words: dict[str, str]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for path in (one for one in folder.rglob("*") if one.is_file()):
        data = path.read_bytes()
        for name, word in words.items():
            if any(form.encode() in data for form in forms(word)):
                found.setdefault(path.name, set()).add(name)
    return found


@dataclass
class Place:
    """A service over real tables, and where its texts could lie."""

    server: Server
    url: str
    """Of the database, as a superuser."""
    home: Path

    def found(self, words: dict[str, str]) -> dict[str, set[str]]:
        return in_tables(self.url, words) | in_files(self.home, words)


def as_superuser(postgres: Postgres, name: str) -> str:
    if postgres.superuser is None:
        pytest.skip("no superuser may log in to the server of the tests, and row security hides rows from others")
    return make_conninfo(postgres.superuser, dbname=name)


@asynccontextmanager
async def place(
    house: House,  # noqa: F811
    urls: Urls,
    postgres: Postgres,
    settings: Settings,
) -> AsyncIterator[Place]:
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(Database(urls.runtime, size=6))
        saver = await stack.enter_async_context(open_saver(urls.runtime, urls.owner, cipher(settings)))
        keys = SubjectKeys(database.system, cipher(settings))
        recorder = LedgerRecorder(
            PostgresStore(database.system, database.aside),
            cipher(settings),
            ConfigCallers(),
            redact=lambda text: text,
            keys=keys,
        )
        stack.push_async_callback(recorder.close)
        kept = RecordedReviews(KeptReviews(database, Sealer(cipher(settings)), 1.0))
        graph = build(replace(house.services, recorder=recorder, vault=LedgerVault(recorder), reviews=kept), saver)

        async def made() -> Any:
            return graph

        async with serving(settings, urls, OwnHost(made)) as server:
            yield Place(server, as_superuser(postgres, str(conninfo_to_dict(urls.owner)["dbname"])), settings.folder)


async def live(at: Place, house: House, client: Any, web: Any, hook: str) -> None:  # noqa: F811
    """Send every word along its path, as the subject."""
    house.models.text = f"The vault holds the word {MARKERS['answer']}."

    def asked(name: str) -> dict[str, Any]:
        return {"messages": [{"role": "user", "content": f"What does the vault of {MARKERS[name]} hold?"}]}

    metadata = {"about": CLEAR["metadata"]}
    thread = (await client.threads.create(metadata=metadata))["thread_id"]
    more: dict[str, Any] = {"webhook": hook, "metadata": metadata}
    state = await client.runs.wait(thread, "answer", input=asked("question"), **more)
    assert state["outcome"] == "answered", state
    await client.runs.wait(thread, "answer", input=asked("followup"))
    async for _ in client.runs.stream(thread, "answer", input=asked("input"), stream_mode=["values", "updates"]):
        pass
    await client.runs.wait(None, "answer", input=asked("input"))
    run = (await client.runs.list(thread))[-1]["run_id"]

    async def raising() -> Any:
        raise RuntimeError(f"a model that quotes {MARKERS['fault']}")

    house.models.faults["chat"] = raising
    await client.runs.wait(None, "answer", input=asked("fault"), raise_error=False)
    house.models.faults.clear()
    given = {"score": 1, "comment": MARKERS["comment"], "labels": [MARKERS["label"]]}
    assert (await web.post(f"/runs/{run}/feedback", json=given)).status_code == 200
    await client.store.put_item(["a"], MARKERS["item"][:4], {"text": MARKERS["item"]})
    await client.assistants.create("answer", name=CLEAR["assistant"], metadata=metadata)
    await client.crons.create("answer", schedule="0 0 1 1 *", input=asked("cron"))
    wants(house, "output")
    waits = (await client.threads.create())["thread_id"]
    state = await client.runs.wait(waits, "answer", input=asked("waiting"))
    assert state["outcome"] == "pending", state


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=str(tmp_path / "home"), rate=0, webhook_hosts="127.0.0.1")


@asynccontextmanager
async def clients(server: Server) -> AsyncIterator[tuple[Any, Any, Any]]:
    """The SDK's client and a plain one of the subject, and one of the administrator."""
    import httpx
    from langgraph_sdk import get_client

    async with AsyncExitStack() as stack:
        heads = [
            {"Authorization": f"Bearer {await server.token(user, roles)}"}
            for user, roles in ((SUBJECT, ("reader",)), ("root", ("administrator", "auditor")))
        ]
        client = await stack.enter_async_context(get_client(url=server.url, api_key=None, headers=heads[0]))
        plain = [
            await stack.enter_async_context(httpx.AsyncClient(base_url=server.url, headers=head, timeout=60))
            for head in heads
        ]
        yield client, *plain


@pytest.mark.slow
async def test_no_text_lies_in_clear_and_after_an_erasure_nothing_does(
    house: House,  # noqa: F811
    database_urls: Urls,
    postgres: Postgres,
    settings: Settings,
) -> None:
    receiver = Receiver()
    async with (
        place(house, database_urls, postgres, settings) as at,
        clients(at.server) as (client, web, root),
        await asyncio.start_server(receiver.take, "127.0.0.1", 0) as hooks,
    ):
        await live(at, house, client, web, f"http://127.0.0.1:{hooks.sockets[0].getsockname()[1]}/")
        who = Principal("default", SUBJECT, frozenset({"it"}), frozenset({"reader"}))
        await Claims(at.server.service.database).joined(who, 1)
        await root.put("/groups/hr", json={})
        assert (await root.put(f"/users/{SUBJECT}", json={"groups": ["hr"]})).status_code == 200
        await receiver.wait(1)
        assert MARKERS["question"].encode() in receiver.got[0][1], "the words went through"
        assert at.found(MARKERS) == {}
        assert set(at.found(CLEAR)) <= IN_CLEAR
        assert set(at.found(CLEAR)) >= {"threads", "assistants"}
        answer = await root.post("/audit/erasures", json={"subject": SUBJECT})
        assert answer.status_code == 200, answer.text
        assert answer.json()["removed"]["threads"] >= 2
        assert at.found(MARKERS | CLEAR) == {}
        assert set(at.found({"name": SUBJECT})) == NAMED
        checked = (await root.get("/audit/verify")).json()
        assert checked["broken"] == []
        assert checked["erased"] > 0
        assert (await web.get("/info")).status_code == 200
        assert (await web.post("/threads", json={})).status_code == 401, "the account has ended"


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_mlflow_holds_what_it_is_to_show_until_the_erasure(
    house: House,  # noqa: F811
    database_urls: Urls,
    postgres: Postgres,
    settings: Settings,
    tmp_path: Path,
) -> None:
    store = backend(postgres)
    name = store.partition("?")[0].rpartition("/")[2]
    async with (
        place(house, database_urls, postgres, settings) as at,
        clients(at.server) as (client, _, root),
        MlflowServer(tmp_path / "mlflow", store) as server,
        Database(database_urls.runtime, size=2) as database,
    ):
        mlflow = Mlflow(server.url, "fiel")
        keys = SubjectKeys(database.system, cipher(settings))
        shipper = Shipper(database.system, cipher(settings), mlflow, keys=keys)
        asked = {"messages": [{"role": "user", "content": f"What does {MARKERS['question']} hold?"}]}
        await client.runs.wait(None, "answer", input=asked)
        assert await shipper.drain(60)
        traces = as_superuser(postgres, name)
        assert set().union(*in_tables(traces, MARKERS).values()) >= {"question"}
        assert at.found(MARKERS) == {}
        assert (await root.post("/audit/erasures", json={"subject": SUBJECT})).status_code == 200
        assert await shipper.removals.waiting() == 1
        assert await shipper.removals.remove_once() == 1
        assert await shipper.removals.waiting() == 0
        assert in_tables(traces, MARKERS) == {}
        assert in_files(tmp_path, MARKERS) == {}
        await mlflow.close()
