"""Lineage: from a document to the answers that used it, from a sentence to its source; an index of what is sealed."""

import asyncio
import uuid
from dataclasses import replace
from typing import Any

import numpy as np
import psycopg
import pytest

from fiel.infra.corpus.bulk import Bulk
from fiel.infra.database.connect import Database
from fiel.infra.ledger.acts import acts
from fiel.infra.ledger.encode import digest
from fiel.infra.ledger.keys import Cipher, key_of
from fiel.infra.ledger.sealing import Sealing
from fiel.infra.ledger.subjects import KeyErased, SubjectKeys, erase_key
from fiel.infra.lineage.documents import DocumentNotFound, Used, answers
from fiel.infra.lineage.facts import Released, uses
from fiel.infra.lineage.index import Indexing, rebuild
from fiel.infra.lineage.runs import sources
from fiel.infra.runs.pages import Window
from fiel.infra.telemetry.trace import RunNotFound
from fiel.tools.canonical import canonical
from fiel.tools.errors import NotPermitted, UsageError
from fiel.tools.principal import Principal, local_administrator
from fiel.tools.search.memory import Stored
from fiel.tools.sql import load
from tests.conftest import Urls
from tests.lineage import QUESTION, Runs, judged, passage

ADMIN = local_administrator("acme")
ANA = Principal("acme", "ana", frozenset({"red"}), frozenset({"reader"}))
BEN = Principal("acme", "ben", frozenset({"red"}), frozenset({"reader"}))
AUDITOR = Principal("acme", "aud", frozenset(), frozenset({"auditor"}))
VECTOR = np.ones(3, dtype=np.float32)
CIPHER = Cipher(key_of(b"k" * 32))
ALL = Window(1000)


def chunk(text: str, document: str = "", **more: Any) -> Stored:
    """A document of one chunk, or with `document` another version of that one."""
    ids = [document or str(uuid.uuid4()), str(uuid.uuid4()), str(uuid.uuid4())]
    facts: dict[str, Any] = {"end": len(text), "language": "en", "model": "m", "acl": frozenset({"red"})}
    facts |= {"uri": f"{text.split()[0]}.md", "title": text.split()[0]}
    return Stored(*ids, text=text, vector=VECTOR, **(facts | more))


@pytest.fixture
def runs(database: Database) -> Runs:
    return Runs(database, SubjectKeys(database.system, CIPHER))


async def indexed(runs: Runs) -> None:
    """Seal and index what waits."""
    await Sealing(runs.database.system).drain()
    await Indexing(runs.database.system, runs.keys).catch_up()


async def used(runs: Runs, target: str, by: Principal = ADMIN, how: Used = "any", **more: Any) -> list[tuple[Any, ...]]:
    """Run, version and sentences of each use."""
    _, page = await answers(runs.database, by, target, more.pop("window", ALL), how, **more)
    return [(one["run"], one["number"], one["sentences"]) for one in page.items]


async def put(database: Database, *chunks: Stored, collection: str = "c") -> None:
    await Bulk(database.acting, ADMIN).put(collection, chunks)


async def test_a_document_leads_to_the_answers_that_used_it_in_which_versions(runs: Runs) -> None:
    old, other = chunk("Berlin is big"), chunk("Paris is far")
    await put(runs.database, old, other)
    first = await runs.answered(ANA, [old, other], [[old], [other], [old, other]])
    new = replace(chunk("Berlin is small", old.document), uri=old.uri)
    await Bulk(runs.database.acting, ADMIN).delete(old.document)
    await put(runs.database, new)
    second = await runs.answered(BEN, [new, other], [[other]])
    third = await runs.answered(ANA, [new], [], outcome="abstained")
    await indexed(runs)
    assert sorted(await used(runs, old.document)) == sorted([(first, 1, [1, 3]), (second, 2, []), (third, 2, [])])
    assert sorted(await used(runs, old.uri, how="read")) == sorted([(first, 1, [1, 3]), (second, 2, [])])
    assert await used(runs, old.document, how="cited") == [(first, 1, [1, 3])]
    assert await used(runs, old.document, version=new.version, how="read") == [(second, 2, [])]
    assert sorted(await used(runs, other.uri)) == sorted([(first, 1, [2, 3]), (second, 1, [1])])
    found, page = await answers(runs.database, ADMIN, old.uri, Window(2), "any")
    assert page.next == 2 and len(page.items) == 2
    (document,) = found["documents"]
    assert [one["version"] for one in document["versions"]] == [old.version, new.version]
    told = {one["run"]: one for one in (await answers(runs.database, ADMIN, old.document, ALL, "any"))[1].items}
    assert (told[first]["chunks"], told[first]["caller"], told[third]["outcome"]) == ([old.chunk], "ana", "abstained")


async def test_a_sentence_leads_back_to_passage_query_version_and_document(runs: Runs) -> None:
    old, other = chunk("Berlin is big"), chunk("Paris is far")
    await put(runs.database, old, other)
    run = await runs.answered(ANA, [other, old], [[old], []])
    value = await sources(runs.database, runs.keys, ANA, run)
    assert [one["text"] for one in value["sentences"]] == ["It is said that Berlin is big", "It is said that "]
    ((source,), nothing) = (one["sources"] for one in value["sentences"])
    assert nothing == []
    assert (source["document"], source["version"], source["chunk"]) == (old.document, old.version, old.chunk)
    assert (source["uri"], source["collection"], source["number"]) == (old.uri, "c", 1)
    assert (source["quote"], source["verbatim"], source["current"], source["indexed"]) == (old.text, True, True, True)
    assert source["found_by"] == [{"query": 1, "rank": 2}] and source["dense_rank"] == 2
    assert [(one["text"], one["index"], one["found"]) for one in value["queries"]] == [(QUESTION, "memory:1", 2)]
    assert [(one["chunk"], one["cited"]) for one in value["passages"]] == [(other.chunk, False), (old.chunk, True)]
    one = await sources(runs.database, runs.keys, ANA, run, 2)
    assert [sentence["number"] for sentence in one["sentences"]] == [2]
    with pytest.raises(UsageError, match="has 2 sentences"):
        await sources(runs.database, runs.keys, ANA, run, 3)
    await Bulk(runs.database.acting, ADMIN).delete(old.document)
    value = await sources(runs.database, runs.keys, ADMIN, run, 1)
    (source,) = value["sentences"][0]["sources"]
    assert (source["deleted"], source["current"], source["indexed"], source["verbatim"]) == (True, False, False, True)


async def test_a_run_that_was_taken_up_again_used_what_the_one_before_had_found(runs: Runs) -> None:
    one, late = chunk("Berlin is big"), chunk("Rome is old")
    await put(runs.database, one, late)
    begun, place = await runs.linked(ANA, [("retrieve", {"passages": [passage(one)]}, {}), ("hold", {}, {})])
    citations, judgement = judged([[one]])
    end = {"citations": citations, "judgement": judgement}
    ended = await runs.recorded(ANA, [("release", end, {"outcome": "answered"})], (begun, place))
    # The same channel written in an entry that is not of the resumed run's past is not its past.
    early, first = await runs.linked(ANA, [("retrieve", {"passages": [passage(one)]}, {})])
    again = await runs.recorded(ANA, [("fail", {}, {"outcome": "unavailable"})], (early, first))
    await indexed(runs)
    assert sorted(await used(runs, one.document)) == sorted([(ended, 1, [1]), (again, 1, [])])
    assert await used(runs, late.uri) == []
    value = await sources(runs.database, runs.keys, ANA, ended)
    assert value["sentences"][0]["sources"][0]["found_by"] == [{"query": 1, "rank": 1}]


async def test_an_auditor_without_a_grant_sees_that_it_was_used_and_no_text(runs: Runs) -> None:
    hidden, plain = chunk("Berlin is big"), chunk("Paris is far", acl=frozenset({"everyone"}))
    await put(runs.database, hidden, plain)
    run = await runs.answered(ANA, [hidden, plain], [[hidden], [plain], [hidden, plain], []])
    await indexed(runs)
    value = await sources(runs.database, runs.keys, AUDITOR, run)
    assert [one["text"] for one in value["sentences"]] == [None, "It is said that Paris is far", None, None]
    assert "Berlin" not in str(value) and QUESTION not in str(value)
    assert value["sentences"][0]["sources"][0]["document"] == hidden.document
    assert (value["readable"], value["passages"][0]["readable"], value["passages"][1]["readable"]) == (
        False,
        False,
        True,
    )
    assert (await answers(runs.database, AUDITOR, hidden.document, ALL))[0]["documents"] == [
        {"document": hidden.document, "readable": False}
    ]
    assert await used(runs, hidden.document, AUDITOR) == [(run, None, [1, 3])]
    for target in (hidden.uri, "nothing.md", str(uuid.uuid4())):
        with pytest.raises(DocumentNotFound):
            await used(runs, target, AUDITOR)
    async with runs.database.acting(AUDITOR) as connection:
        told = [one.body for one in await acts(connection, "acme")]
    assert [one["detail"]["what"] for one in told if one["principal"]["id"] == "aud"] == ["lineage"] * 3


async def test_readers_see_their_own_runs_alone_and_no_other_tenant_sees_any(runs: Runs) -> None:
    one = chunk("Berlin is big")
    await put(runs.database, one)
    mine, other = [await runs.answered(who, [one], [[one]]) for who in (ANA, BEN)]
    await indexed(runs)
    assert await used(runs, one.document, ANA) == [(mine, 1, [1])]
    assert await used(runs, one.uri, BEN) == [(other, 1, [1])]
    stranger = replace(ANA, id="eve", groups=frozenset())
    for who in (stranger, local_administrator("other"), replace(stranger, roles=frozenset())):
        with pytest.raises(DocumentNotFound):
            await used(runs, one.document, who)
        with pytest.raises(RunNotFound):
            await sources(runs.database, runs.keys, who, mine)
    with pytest.raises(RunNotFound):
        await sources(runs.database, runs.keys, BEN, mine)
    async with runs.database.acting(local_administrator("other")) as connection:
        assert await (await connection.execute("SELECT FROM fiel.lineage")).fetchall() == []
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await connection.execute("UPDATE fiel.lineage SET outcome = 'answered'")
        await connection.execute("ROLLBACK")


async def test_the_index_is_made_again_from_the_ledger(runs: Runs) -> None:
    one = chunk("Berlin is big")
    await put(runs.database, one)
    made = [await runs.answered(ANA, [one], [[one]]) for _ in range(3)]
    await indexed(runs)
    before = await used(runs, one.document)
    assert sorted(run for run, *_ in before) == sorted(made)
    async with runs.database.acting(ADMIN) as connection:
        await connection.execute("DELETE FROM fiel.lineage")
    await indexed(runs)
    assert await used(runs, one.document) == [], "what was indexed is not read again"
    indexing = Indexing(runs.database.system, runs.keys)
    with pytest.raises(NotPermitted):
        await rebuild(runs.database, ANA, indexing)
    assert await rebuild(runs.database, ADMIN, indexing) > 0
    assert await used(runs, one.document) == before


async def test_what_was_erased_leaves_the_index_and_does_not_come_back(runs: Runs) -> None:
    one = chunk("Berlin is big")
    await put(runs.database, one)
    gone, stays = [await runs.answered(who, [one], [[one]]) for who in (ANA, BEN)]
    await indexed(runs)
    late = await runs.answered(ANA, [one], [[one]])
    await runs.keys.named((await runs.keys.of("acme", "ana")).id)  # this process remembers the key
    async with runs.database.system() as connection:
        await erase_key(connection, "acme", "ana")
        row = await (await connection.execute("SELECT current_setting('app.tenant', true)")).fetchone()
    assert row == ("",), "whoever erases is no caller afterwards"
    assert [run for run, *_ in await used(runs, one.document)] == [stays]
    await indexed(runs)
    await rebuild(runs.database, ADMIN, Indexing(runs.database.system, runs.keys))
    assert [run for run, *_ in await used(runs, one.document)] == [stays]
    fresh = SubjectKeys(runs.database.system, CIPHER)
    for run in (gone, late):
        with pytest.raises(KeyErased):
            await sources(runs.database, fresh, ADMIN, run)


async def test_two_processes_index_each_run_once_and_a_broken_record_stops_nobody(runs: Runs) -> None:
    one = chunk("Berlin is big")
    await put(runs.database, one)
    foreign = replace(one, document="not an id")
    await runs.answered(ANA, [foreign], [])
    await runs.recorded(ANA, [("release", {"passages": [{"text": "of another form"}]}, {"outcome": "answered"})])
    elsewhere = SubjectKeys(runs.database.system, Cipher(key_of(b"x" * 32)))
    await Runs(runs.database, elsewhere).answered(BEN, [one], [[one]])
    made = [await runs.answered(ANA, [one], [[one]]) for _ in range(5)]
    await Sealing(runs.database.system).drain()
    both = [Indexing(runs.database.system, SubjectKeys(runs.database.system, CIPHER)) for _ in range(2)]
    await asyncio.gather(*(indexing.catch_up() for indexing in both))
    await both[0].catch_up()
    assert sorted(run for run, *_ in await used(runs, one.document)) == sorted(made)


@pytest.mark.slow
@pytest.mark.parametrize("query", ["answers", "known", "sealed"])
async def test_among_100_000_runs_few_rows_are_read(database: Database, database_urls: Urls, query: str) -> None:
    """The plan of the query over an index as it is after months; a sequence scan would read all of it."""
    with psycopg.connect(database_urls.owner) as connection:
        connection.execute("SET ROLE fiel_owner; SELECT fiel.act_as('acme', 'x', '{}')")
        connection.execute(
            "INSERT INTO fiel.lineage"
            " SELECT 'acme', ('00000000-0000-0000-0000-' || lpad((n % 2000)::text, 12, '0'))::uuid, gen_random_uuid(),"
            " gen_random_uuid(), 'ana', n, 'answered', '{}', '{1}', 'k' FROM generate_series(1, 100000) n"
        )
        connection.execute(
            "INSERT INTO fiel.seals SELECT 't' || n % 5, n / 5 + 1, decode(repeat('00', 32), 'hex'), '',"
            " decode(repeat('00', 85), 'hex') FROM generate_series(0, 99999) n"
        )
        connection.execute("INSERT INTO fiel.lineage_places SELECT 't' || n, 19990 FROM generate_series(0, 4) n")
        connection.commit()
        connection.execute("RESET ROLE")
        connection.commit()
        connection.autocommit = True
        connection.execute("VACUUM ANALYZE")
    document = "00000000-0000-0000-0000-000000000007"
    values = {"documents": [document], "document": document, "version": None, "everybody": True, "used": "read"}
    file = "index.sql" if query == "sealed" else "ask.sql"
    text = load("fiel.infra.lineage", file)[query]
    async with database.acting(ADMIN) as connection:
        asked = {**values, "limit": 100, "offset": 0, "most": 16}
        (plan,) = await (await connection.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {text}", asked)).fetchone()
    assert "Seq Scan" not in {kind for kind, name in _scans(plan[0]["Plan"]) if name in ("lineage", "seals")}
    assert plan[0]["Execution Time"] < 50


def _scans(node: dict[str, Any]) -> list[tuple[str, str]]:
    own = [(node["Node Type"], node.get("Relation Name", ""))]
    return own + [found for child in node.get("Plans", ()) for found in _scans(child)]


async def test_what_was_shown_of_an_answer_that_was_cut_short_was_used_too(runs: Runs) -> None:
    one, other = chunk("Berlin is big"), chunk("Paris is far")
    await put(runs.database, one, other)
    key = await runs.keys.of("acme", "ana")
    citations, judgement = judged([[one], [other]])
    content = {"answer": "…", "citations": citations, "sentences": judgement["sentences"]}
    window = {"shown": digest(canonical(content), key.mac), "labels": ["supported"] * 2, "scores": ["0.900000"] * 2}
    found = ("retrieve", {"passages": [passage(one), passage(other, 2)]}, {})
    shown = ("release", {"content": content}, {"window": window})
    cut = await runs.recorded(ANA, [found, shown, ("refuse", {"citations": []}, {"outcome": "refused"})])
    begun = await runs.recorded(ANA, [found, shown])
    nothing = await runs.recorded(ANA, [found, ("refuse", {"citations": []}, {"outcome": "refused"})])
    await indexed(runs)
    assert sorted(await used(runs, other.document, how="cited")) == sorted([(cut, 1, [2]), (begun, 1, [2])])
    assert nothing not in {run for run, *_ in await used(runs, other.document, how="read")}
    value = await sources(runs.database, runs.keys, ANA, cut)
    assert [sentence["sources"][0]["quote"] for sentence in value["sentences"]] == [one.text, other.text]


def test_uses_come_by_version_in_the_order_of_passages() -> None:
    passages = [
        {"document": "d", "version": v, "chunk": c} for v, c in (("2", "x"), ("1", "y"), ("2", "z"), ("2", "x"))
    ]
    citations = [{"marker": "[1]", "document": "e", "version": "9"}, {"marker": "[2]", "document": "d", "version": "2"}]
    sentences = [{"citations": ["[2]", "[1]", "[7]"]}, {"citations": []}, {"citations": ["[2]"]}]
    found = [(one.version, one.chunks, one.sentences) for one in uses(passages, Released(citations, sentences))]
    assert found == [("2", ("x", "z"), (1, 3)), ("1", ("y",), ()), ("9", (), (1,))]
    assert uses([], Released()) == []
