"""Runs as the recorder leaves them, over documents of a test: for tests of lineage."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fiel.infra.database.connect import Database
from fiel.infra.ledger.chain import Sealed, seal
from fiel.infra.ledger.encode import digest
from fiel.infra.ledger.frames import pack
from fiel.infra.ledger.postgres import PostgresStore
from fiel.infra.ledger.store import Flush, RunRow
from fiel.infra.ledger.subjects import DataKey, SubjectKeys
from fiel.tools.canonical import canonical
from fiel.tools.principal import Principal
from fiel.tools.search.memory import Stored

QUESTION = "what the asker wants to know"


def passage(one: Stored, rank: int = 1) -> dict[str, Any]:
    """A chunk as search gives it."""
    facts = {"document": one.document, "version": one.version, "chunk": one.chunk, "text": one.text}
    return facts | {"uri": one.document, "start": 0, "end": len(one.text), "dense_rank": rank, "text_rank": None}


def judged(cited: Sequence[Sequence[Stored]]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Citations and judgement of an answer: one sentence for each list of chunks that it quotes."""
    markers: dict[str, str] = {}
    citations, sentences = [], []
    for chunks in cited:
        for one in chunks:
            if one.chunk not in markers:
                markers[one.chunk] = f"[{len(markers) + 1}]"
                where = {name: passage(one)[name] for name in ("document", "version", "chunk", "uri", "start", "end")}
                citations.append(where | {"marker": markers[one.chunk], "quote": one.text, "redacted": False})
        text = "It is said that " + " and ".join(one.text for one in chunks)
        marks = [markers[one.chunk] for one in chunks]
        sentences.append({"text": text, "label": "supported", "score": "0.900000", "citations": marks})
    return citations, {"sentences": sentences}


@dataclass(slots=True)
class Runs:
    """Writes runs into the ledger of a database."""

    database: Database
    keys: SubjectKeys

    async def answered(
        self, who: Principal, passages: Sequence[Stored], cited: Sequence[Sequence[Stored]], outcome: str = "answered"
    ) -> str:
        """A run that found `passages`, and whose sentences cite what `cited` says; its id."""
        found = [passage(one, rank) for rank, one in enumerate(passages, 1)]
        citations, judgement = judged(cited)
        end = {"citations": citations, "judgement": judgement} if outcome == "answered" else {}
        return await self.recorded(who, [("retrieve", {"passages": found}, {}), ("release", end, {"outcome": outcome})])

    async def recorded(
        self,
        who: Principal,
        hops: Sequence[tuple[str, Mapping[str, Any], Mapping[str, Any]]],
        resumes: tuple[str, Sealed] | None = None,
    ) -> str:
        """A run of these hops (name, writes, decision); its id. `resumes`: the run that it goes on from, and where."""
        return (await self.linked(who, hops, resumes))[0]

    async def linked(
        self,
        who: Principal,
        hops: Sequence[tuple[str, Mapping[str, Any], Mapping[str, Any]]],
        resumes: tuple[str, Sealed] | None = None,
    ) -> tuple[str, Sealed]:
        """As `recorded`, with the run's last entry."""
        run, key = str(uuid.uuid4()), await self.keys.of(who.tenant, who.id)
        before = (resumes[0], resumes[1].seq) if resumes else (None, None)
        row = RunRow(run, who.tenant, "", who.id, *before, 1_700_000_000_000_000)
        contents: dict[str, bytes] = {}
        entries: list[Sealed] = []
        prev = resumes[1].hash.hex() if resumes else ""
        for seq, (hop, writes, decision) in enumerate(hops):
            body = _body(row, seq, hop, prev) | {"decision": dict(decision)}
            body["writes"] = {channel: _keep(contents, key, value) for channel, value in writes.items()}
            body["effects"] = [_search(contents, key, writes["passages"])] if hop == "retrieve" else []
            entries.append(seal(seq, body))
            prev = entries[-1].hash.hex()
        frame = key.cipher.seal("frame", run, pack(contents.values()))
        await PostgresStore(self.database.system).append([Flush.of(row, tuple(entries), key.id, frame)])
        return run, entries[-1]


def _body(row: RunRow, seq: int, hop: str, prev: str) -> dict[str, Any]:
    resumed = {"run": row.resumes, "seq": row.resumes_seq} if row.resumes else None
    begin = {"caller": {"id": row.caller}, "thread": "", "started": row.started, "resumes": resumed}
    facts = {"v": 1, "tenant": row.tenant, "run": row.run, "seq": seq, "hop": hop, "prev": prev, "attempt": 1}
    facts |= {"step": seq, "reads": {}, "at": row.started, "us": 5, "status": "ok", "edited": False}
    return facts | ({"begin": begin} if seq == 0 else {})


def _keep(contents: dict[str, bytes], key: DataKey, value: Any) -> str:
    data = canonical(value)
    name = digest(data, key.mac)
    contents[name] = data
    return name


def _search(contents: dict[str, bytes], key: DataKey, passages: Any) -> dict[str, Any]:
    request = {"collection": "c", "text": QUESTION, "vector": "", "language": "en", "k": 8}
    asked = _keep(contents, key, {"index": "memory:1", "principal": {}, "requests": [request]})
    return {"kind": "search", "request": asked, "n": 0, "response": _keep(contents, key, [list(passages)])}
