"""OpenLineage events of ingests and answers: as catalogues read them, sent at least once, without texts of users."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from jsonschema import Draft202012Validator, FormatChecker

from fiel.infra.corpus.bulk import Bulk
from fiel.infra.corpus.ingest import ingest
from fiel.infra.database.connect import Database
from fiel.infra.ledger.keys import Cipher, key_of
from fiel.infra.ledger.sealing import Sealing
from fiel.infra.ledger.subjects import SubjectKeys
from fiel.infra.lineage.catalogue import IngestTold, Sending
from fiel.infra.lineage.index import Indexing, rebuild
from fiel.infra.lineage.openlineage import MOST, Changed, Ingest, of_ingest
from fiel.tools.principal import Principal, local_administrator
from fiel.tools.search.memory import Stored
from tests.answering import Answering, answering
from tests.lineage import QUESTION, Runs
from tests.unit.embedders import HashEmbedder

ADMIN = local_administrator("acme")
ANA = Principal("acme", "ana", frozenset({"red"}), frozenset({"reader"}))
NOW = datetime(2026, 1, 31, tzinfo=UTC)


def _object(required: tuple[str, ...], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(required), "properties": properties}


FACET = _object(
    ("_producer", "_schemaURL"),
    _producer={"type": "string", "format": "uri"},
    _schemaURL={"type": "string", "format": "uri"},
)
FACETS = {"type": "object", "additionalProperties": FACET}
NAMED = {"type": "string", "minLength": 1}
DATASET = _object(
    ("namespace", "name"), namespace=NAMED, name=NAMED, facets=FACETS, inputFacets=FACETS, outputFacets=FACETS
)
EVENT = _object(
    ("eventTime", "eventType", "run", "job", "producer", "schemaURL"),
    eventTime={"type": "string", "format": "date-time", "pattern": r"(Z|[+-]\d\d:\d\d)$"},
    eventType={"enum": ["START", "RUNNING", "COMPLETE", "ABORT", "FAIL", "OTHER"]},
    producer={"type": "string", "format": "uri"},
    schemaURL={"type": "string", "format": "uri"},
    run=_object(("runId",), runId={"type": "string", "format": "uuid"}, facets=FACETS),
    job=_object(("namespace", "name"), namespace=NAMED, name=NAMED, facets=FACETS),
    inputs={"type": "array", "items": DATASET},
    outputs={"type": "array", "items": DATASET},
)
"""A run event as the specification, version 2-0-2, wants it; stricter where what it leaves open is an error of ours."""
VALIDATOR = Draft202012Validator(EVENT, format_checker=FormatChecker())


class Catalogue:
    """Takes events as a catalogue does; refuses what is no event, and answers `status` while it is set."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.keys: set[str] = set()
        self.status = 0
        self.refused: set[str] = set()
        """Namespaces of jobs of which it takes no event."""
        outer = self

        class Handler(Answering):
            def do_POST(self) -> None:
                event = json.loads(self.asked())
                outer.keys.add(self.headers.get("authorization", ""))
                status = outer.status or outer.take(self.path, event)
                self.reply(status, **({"location": "/elsewhere"} if status == 307 else {}))

        self.handler = Handler
        self.url = ""

    def take(self, path: str, event: dict[str, Any]) -> int:
        if path != "/api/v1/lineage":
            return 404
        if list(VALIDATOR.iter_errors(event)) or event["job"]["namespace"] in self.refused:
            return 422
        self.events.append(event)
        return 201


@pytest.fixture
def catalogue() -> Iterator[Catalogue]:
    made = Catalogue()
    with answering(made.handler) as at:
        made.url = f"http://{at}"
        yield made


@pytest.fixture
async def runs(database: Database) -> AsyncIterator[Runs]:
    yield Runs(database, SubjectKeys(database.system, Cipher(key_of(b"k" * 32))))


async def indexed(runs: Runs) -> None:
    await Sealing(runs.database.system).drain()
    await Indexing(runs.database.system, runs.keys, tells=True).catch_up()


async def waiting(database: Database) -> int:
    async with database.system() as connection:
        row = await (await connection.execute("SELECT count(*) FROM fiel.catalogue_events")).fetchone()
    assert row is not None
    return int(row[0])


def chunk(text: str) -> Stored:
    ids = [str(uuid4()) for _ in range(3)]
    facts: dict[str, Any] = {"vector": np.ones(3, dtype=np.float32), "acl": frozenset({"red"}), "model": "m"}
    return Stored(*ids, text=text, uri="salaries.md", title="Salaries", end=len(text), language="en", **facts)


async def test_answers_are_told_with_the_versions_they_used_and_no_text(runs: Runs, catalogue: Catalogue) -> None:
    cited, read = chunk("aardvark"), chunk("bergamot")
    await Bulk(runs.database.acting, ADMIN).put("c", [cited, read])
    run = await runs.answered(ANA, [cited, read], [[cited], [cited]])
    failed = await runs.answered(ANA, [], [], outcome="unavailable")
    await indexed(runs)
    assert await Sending(runs.database.system, catalogue.url, "s3cret").send_once() == 4
    assert catalogue.keys == {"Bearer s3cret"}
    told = {(event["run"]["runId"], event["eventType"]): event for event in catalogue.events}
    assert set(told) == {(run, "START"), (run, "COMPLETE"), (failed, "START"), (failed, "FAIL")}
    event = told[run, "COMPLETE"]
    assert (event["job"]["namespace"], event["job"]["name"], event["outputs"]) == ("fiel://acme", "answer", [])
    assert event["run"]["facets"]["fiel_answer"]["outcome"] == "answered"
    used = {
        one["name"]: (one["facets"]["version"]["datasetVersion"], one["inputFacets"]["fiel_use"]["sentences"])
        for one in event["inputs"]
    }
    assert used == {
        f"documents/{cited.document}": (cited.version, [1, 2]),
        f"documents/{read.document}": (read.version, []),
    }
    for secret in ("aardvark", "bergamot", QUESTION, "It is said", "ana", "salaries", "Salaries"):
        assert secret not in json.dumps(catalogue.events), secret
    assert told[run, "START"]["eventTime"] <= event["eventTime"]


async def test_an_answer_is_told_once_and_not_again_when_the_index_is_made_anew(
    runs: Runs, catalogue: Catalogue
) -> None:
    one = chunk("aardvark")
    await runs.answered(ANA, [one], [[one]])
    await indexed(runs)
    await indexed(runs)
    assert await rebuild(runs.database, ADMIN, Indexing(runs.database.system, runs.keys)) > 0
    assert await waiting(runs.database) == 2
    silent = await runs.answered(ANA, [one], [[one]])
    await Sealing(runs.database.system).drain()
    await Indexing(runs.database.system, runs.keys).catch_up()
    assert await waiting(runs.database) == 2, f"nobody is told of {silent} where no catalogue is set"


async def test_an_ingest_is_told_with_what_it_changed(database: Database, catalogue: Catalogue, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / f"{name}.md").write_text(f"# {name}\n\nwords of {name}", encoding="utf-8")

    async def sync() -> None:
        telling = IngestTold(database).telling
        await ingest(database, HashEmbedder(), [tmp_path], collection="c/1", principal=ADMIN, telling=telling)
        await Sending(database.system, catalogue.url).send_once()

    await sync()
    (tmp_path / "one.md").write_text("# one\n\nother words", encoding="utf-8")
    (tmp_path / "two.md").unlink()
    await sync()
    assert catalogue.keys == {""}
    assert [event["eventType"] for event in catalogue.events] == ["START", "COMPLETE"] * 2
    first, second = catalogue.events[1], catalogue.events[3]
    assert first["job"]["name"] == "ingest/c%2F1" and first["run"] != second["run"]
    assert [one["name"] for one in first["inputs"]] == [one["name"] for one in second["inputs"]]
    whole, *documents = first["outputs"]
    assert (whole["name"], whole["outputFacets"]["outputStatistics"]["rowCount"]) == ("collections/c%2F1", 2)
    links = {one["name"]: one["facets"]["symlinks"]["identifiers"][0]["name"] for one in documents}
    assert sorted(Path(link).name for link in links.values()) == ["one.md", "two.md"]
    changes = {links[one["name"]]: one["facets"] for one in second["outputs"][1:]}
    (gone,) = [facets for facets in changes.values() if "lifecycleStateChange" in facets]
    assert gone["lifecycleStateChange"]["lifecycleStateChange"] == "DROP"
    assert len(changes) == 2 and second["outputs"][0]["outputFacets"]["outputStatistics"]["rowCount"] == 1
    assert "words" not in json.dumps(catalogue.events)


async def test_an_ingest_that_fails_says_so(database: Database, catalogue: Catalogue) -> None:
    with pytest.raises(RuntimeError):
        async with IngestTold(database).telling(ADMIN, "c", "/somewhere"):
            raise RuntimeError("words of a user")
    await Sending(database.system, catalogue.url).send_once()
    assert [event["eventType"] for event in catalogue.events] == ["START", "FAIL"]
    assert "words" not in json.dumps(catalogue.events)


async def test_nothing_is_lost_while_the_catalogue_is_down(database: Database, catalogue: Catalogue) -> None:
    async with IngestTold(database).telling(ADMIN, "c", "/somewhere"):
        pass
    sending = Sending(database.system, catalogue.url, pause=0.0)
    for catalogue.status in (503, 500, 401, 302, 307):
        assert await sending.send_once() == 0
    assert await Sending(database.system, "http://127.0.0.1:9", pause=0.0).send_once() == 0
    assert await waiting(database) == 2
    async with database.system() as connection:
        rows = await (
            await connection.execute("SELECT tries, problem FROM fiel.catalogue_events ORDER BY id")
        ).fetchall()
    assert rows[0][0] == 6 and rows[0][1] == "ConnectionError" and rows[1] == (0, "")
    catalogue.status = 0
    assert await sending.send_once() == 2
    assert await waiting(database) == 0


async def test_an_event_that_is_refused_holds_up_no_other(database: Database, catalogue: Catalogue) -> None:
    catalogue.refused = {"fiel://acme"}
    for who in (ADMIN, local_administrator("other"), ADMIN):
        async with IngestTold(database).telling(who, "c", "/somewhere"):
            pass
    sending = Sending(database.system, catalogue.url, pause=3600.0)
    assert await sending.send_once() == 2
    assert {event["job"]["namespace"] for event in catalogue.events} == {"fiel://other"}
    assert await sending.send_once() == 0 and await waiting(database) == 4


async def test_two_processes_send_each_event_once(database: Database, catalogue: Catalogue) -> None:
    for _ in range(5):
        async with IngestTold(database).telling(ADMIN, "c", "/somewhere"):
            pass
    both = [Sending(database.system, catalogue.url) for _ in range(2)]
    await asyncio.gather(*(one.send_once(3) for one in both for _ in range(4)))
    while await both[0].send_once():
        pass
    told = [(event["run"]["runId"], event["eventType"]) for event in catalogue.events]
    assert len(told) == len(set(told)) == 10


def test_an_ingest_of_many_documents_is_told_in_parts() -> None:
    many = [Changed(str(uuid4()), f"{n}.md", str(uuid4()), False) for n in range(2 * MOST + 1)]
    whole = replace(Ingest(str(uuid4()), "a/b c", "c", "/x", NOW), changed=many, documents=len(many))
    events = [json.loads(one) for one in of_ingest(whole, ended=NOW + timedelta(1))]
    assert [event["eventType"] for event in events] == ["RUNNING", "RUNNING", "COMPLETE"]
    assert [len(event["outputs"]) - 1 for event in events] == [MOST, MOST, 1]
    assert not [error for event in events for error in VALIDATOR.iter_errors(event)]
    assert {event["job"]["namespace"] for event in events} == {"fiel://a%2Fb%20c"}
    assert len({event["run"]["runId"] for event in events}) == 1


def test_the_validator_of_these_tests_finds_what_is_wrong() -> None:
    (event,) = (json.loads(one) for one in of_ingest(Ingest(str(uuid4()), "t", "c", "/x", NOW)))
    assert VALIDATOR.is_valid(event)
    for name, wrong in (
        ("eventTime", "now"),
        ("eventTime", "2026-01-31T00:00:00"),
        ("run", {"runId": "x"}),
        ("job", {}),
    ):
        assert not VALIDATOR.is_valid({**event, name: wrong}), name
    assert not VALIDATOR.is_valid({**event, "inputs": [{"name": "n"}]})
    assert not VALIDATOR.is_valid({**event, "run": {**event["run"], "facets": {"mine": {"a": 1}}}})
