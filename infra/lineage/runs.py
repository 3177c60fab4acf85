"""From a sentence of an answer back: citation, passage, query and index, chunk, version, document, source."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from fiel.infra.database.connect import Database
from fiel.infra.desk.operations import trace
from fiel.infra.ledger.acts import Act, record
from fiel.infra.ledger.postgres import PostgresStore
from fiel.infra.ledger.subjects import Keys
from fiel.infra.lineage.facts import Told, origin, released, told
from fiel.tools.errors import UsageError
from fiel.tools.principal import Principal
from fiel.tools.sql import load

Json = dict[str, Any]
Place = tuple[str, int, int]
"""Version, start, end."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a run left of its passages and of its answer."""

    passages: Sequence[Json]
    citations: Sequence[Mapping[str, Any]]
    sentences: Sequence[Mapping[str, Any]]
    searches: Sequence[Json]
    """Requests of the search in order: query, collection, k, language, index, and the chunks found, best first."""
    before: frozenset[str] | None
    """Documents behind earlier turns of the thread, which a query leans on; None where nobody can say."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the caller may read at this moment of what a run used."""

    documents: Mapping[str, Any]
    places: Mapping[Place, Any]
    chunks: frozenset[str]

    def all(self, documents: Sequence[str]) -> bool:
        return all(one in self.documents for one in documents)


async def sources(database: Database, keys: Keys, by: Principal, run: str, sentence: int | None = None) -> Json:
    """Where each sentence of an answer came from; with `sentence` (from 1) that one alone.

    One's own run, or any of the tenant for administrators, auditors and developers. What the caller may not read at
    this moment is there by its ids alone: a sentence that cites such a text is not shown either, and the queries are
    shown to whoever may read everything that the run and the earlier turns of its thread used. Raises RunNotFound,
    UsageError, KeyErased, KeyUnavailable.
    """
    value = await trace(PostgresStore(database.system), by, run)
    name = str(uuid.UUID(value["traces"][-1]))
    async with database.system() as connection:
        found = await _facts(connection, keys, (await told(connection, keys, [name]))[name])
    async with database.acting(by) as connection:
        seen = await _seen(connection, found)
        if value["caller"] != by.id:
            await record(connection, Act(by, "audit_read", value["run"], {"what": "lineage"}))
    shown = [_sentence(number, one, found, seen) for number, one in enumerate(found.sentences, 1)]
    if sentence is not None and not 0 < sentence <= len(shown):
        raise UsageError(f"the answer has {len(shown)} sentences", where="sentence")
    facts = ("run", "caller", "started", "outcome", "reason", "edited", "intact", "versions")
    everything = seen.all([one["document"] for one in found.passages])
    leaned = everything and found.before is not None and seen.all(sorted(found.before))
    return {
        **{fact: value[fact] for fact in facts},
        "readable": everything,
        "sentences": shown if sentence is None else shown[sentence - 1 : sentence],
        "queries": [_query(number, one, leaned) for number, one in enumerate(found.searches, 1)],
        "passages": [_passage(one, found, seen) for one in found.passages],
    }


async def _facts(connection: Any, keys: Keys, one: Told) -> Facts:
    searched, passages = await origin(connection, keys, one, "passages")
    if (lost := one.lost or searched.lost) is not None:
        raise lost
    shown = released(one)
    before = await _before(connection, keys, one)
    return Facts(passages or (), shown.citations, shown.sentences, list(_searches(searched)), before)


async def _before(connection: Any, keys: Keys, one: Told) -> frozenset[str] | None:
    _, turns = await origin(connection, keys, one, "turns")
    runs = [turn["run"] for turn in (turns or ())[:-1]]  # the last one is this run's own
    earlier, found = await told(connection, keys, runs), set[str]()
    for run in runs:
        if run not in earlier or earlier[run].tenant != one.tenant:
            return None
        searched, passages = await origin(connection, keys, earlier[run], "passages")
        if earlier[run].lost or searched.lost:
            return None
        found.update(passage["document"] for passage in passages or ())
    return frozenset(found)


def _searches(one: Told) -> Any:
    for body in one.bodies:
        for effect in body["effects"]:
            if effect["kind"] == "search" and "error" not in effect:
                asked, lists = (orjson.loads(one.contents[effect[name]]) for name in ("request", "response"))
                for request, passages in zip(asked["requests"], lists, strict=True):
                    yield {**request, "index": asked["index"], "found": [passage["chunk"] for passage in passages]}


async def _seen(connection: Any, found: Facts) -> Seen:
    sql, used = load(__package__, "ask.sql"), [*found.passages, *found.citations]
    documents = sorted({*(one["document"] for one in used), *(found.before or ())})
    rows = await (await connection.execute(sql["sources"], {"documents": documents})).fetchall()
    places = sorted({_place(one) for one in used})
    versions, starts, ends = ([place[at] for place in places] for at in range(3))
    asked = {"versions": versions, "starts": starts, "ends": ends}
    there = await (await connection.execute(sql["places"], asked)).fetchall()
    chunks = {"chunks": sorted({one["chunk"] for one in used})}
    live = await (await connection.execute(sql["chunks"], chunks)).fetchall()
    return Seen(
        {row[0]: row[1:] for row in rows}, {row[:3]: row[3:] for row in there}, frozenset(row[0] for row in live)
    )


def _place(one: Mapping[str, Any]) -> Place:
    return one["version"], one["start"], one["end"]


def _sentence(number: int, one: Mapping[str, Any], found: Facts, seen: Seen) -> Json:
    marked = {citation["marker"]: citation for citation in found.citations}
    cited = [marked[marker] for marker in one["citations"] if marker in marked]
    # What cites nothing may have come from any passage.
    readable = seen.all([each["document"] for each in (cited or found.passages)])
    return {
        "number": number,
        "text": one["text"] if readable else None,
        "label": one["label"],
        "score": float(one["score"]),
        "sources": [_cited(citation, found, seen) for citation in cited],
    }


def _cited(citation: Mapping[str, Any], found: Facts, seen: Seen) -> Json:
    """A citation with its way back. `verbatim`: the stored text at its place is the quote."""
    way, readable = _way(citation, seen), citation["document"] in seen.documents
    passage = next((one for one in found.passages if one["chunk"] == citation["chunk"]), None)
    stored = seen.places.get(_place(citation))
    return {
        "marker": citation["marker"],
        **way,
        "quote": citation["quote"] if readable else None,
        "redacted": citation["redacted"],
        "verbatim": stored[3] == citation["quote"] if stored and readable else None,
        "found_by": _found_by(citation["chunk"], found),
        "dense_rank": passage and passage["dense_rank"],
        "text_rank": passage and passage["text_rank"],
    }


def _passage(passage: Json, found: Facts, seen: Seen) -> Json:
    return {
        **_way(passage, seen),
        "cited": any(one["chunk"] == passage["chunk"] for one in found.citations),
        "found_by": _found_by(passage["chunk"], found),
    }


def _way(one: Mapping[str, Any], seen: Seen) -> Json:
    """Ids and offsets of a text, and what the caller may know of where it came from."""
    known, stored = seen.documents.get(one["document"]), seen.places.get(_place(one))
    uri, title, collection, source, deleted, current = known or (None,) * 6
    number, sha256, parser, _ = stored if known and stored else (None,) * 4
    return {
        "readable": known is not None,
        "source": source,
        "collection": collection,
        "document": one["document"],
        "uri": uri,
        "title": title,
        "deleted": deleted,
        "version": one["version"],
        "number": number,
        "sha256": sha256,
        "parser": parser,
        "current": None if known is None else current == one["version"] and not deleted,
        "chunk": one["chunk"],
        "indexed": None if known is None else one["chunk"] in seen.chunks,
        "start": one["start"],
        "end": one["end"],
    }


def _found_by(chunk: str, found: Facts) -> list[Json]:
    """The queries that found a chunk (from 1), and at which place of their lists (from 1)."""
    return [
        {"query": number, "rank": one["found"].index(chunk) + 1}
        for number, one in enumerate(found.searches, 1)
        if chunk in one["found"]
    ]


def _query(number: int, one: Json, readable: bool) -> Json:
    told = {name: one[name] if readable else None for name in ("text", "collection", "language")}
    return {"number": number, **told, "k": one["k"], "index": one["index"], "found": len(one["found"])}
