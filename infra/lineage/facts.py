"""What the ledger says of the passages of a run: those that lay before the model, and the sentences that cite them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from fiel.infra.ledger.bodies import body_of
from fiel.infra.ledger.frames import unpack
from fiel.infra.ledger.keys import KeyUnavailable
from fiel.infra.ledger.past import MAX_LINKS
from fiel.infra.ledger.subjects import Keys
from fiel.tools.sql import load

Body = Mapping[str, Any]


@dataclass(slots=True)
class Told:
    """A run as the ledger has it: its row, the bodies of its entries, and the contents that they name."""

    run: str
    tenant: str
    caller: str
    started: int
    resumes: str | None
    resumes_seq: int | None
    bodies: list[Body] = field(default_factory=list)
    contents: dict[str, bytes] = field(default_factory=dict)
    """By digest; nothing where they are `lost`."""
    key: str = ""
    lost: KeyUnavailable | None = None
    """Why the contents cannot be read: erased by right (KeyErased), or their key is missing."""

    @property
    def end(self) -> Body:
        """The decision that ended the run; empty where it has not ended."""
        return next((one["decision"] for one in reversed(self.bodies) if one["decision"].get("outcome")), {})

    def written(self, channel: str, upto: int | None = None) -> Any:
        """What the run itself wrote there last, decoded; None where it wrote nothing."""
        for body in reversed(self.bodies if upto is None else self.bodies[: upto + 1]):
            content = self.contents.get(body["writes"].get(channel, ""))
            if content is not None:
                return orjson.loads(content)
        return None


@dataclass(frozen=True, slots=True)
class Use:
    """How a run used one version of a document."""

    document: str
    version: str
    chunks: tuple[str, ...]
    """Ids of the passages that lay before the model, in their order."""
    sentences: tuple[int, ...]
    """Sentences of the answer that cite it, counted from 1."""


async def told(connection: Any, keys: Keys, runs: Sequence[str]) -> dict[str, Told]:
    """The runs of these ids that the ledger has."""
    sql, values = load(__package__, "index.sql"), {"runs": list(runs)}
    rows = await (await connection.execute(sql["runs"], values)).fetchall()
    found = {row[0]: Told(*row) for row in rows}
    for run, _, body in await (await connection.execute(sql["entries"], values)).fetchall():
        if run in found:
            found[run].bodies.append(orjson.loads(body_of(bytes(body))))
    for run, key, data in await (await connection.execute(sql["frames"], values)).fetchall():
        if run in found:
            await _open(found[run], keys, key, bytes(data))
    return found


async def _open(one: Told, keys: Keys, key: str, data: bytes) -> None:
    try:
        held = await keys.named(key)
        found = dict(unpack(held.cipher.open("frame", one.run, data, key), held.mac))
    except KeyUnavailable as error:
        one.lost, one.contents = error, {}
        return
    if one.lost is None:
        one.key = key
        one.contents |= found


async def origin(connection: Any, keys: Keys, one: Told, channel: str) -> tuple[Told, Any]:
    """What the channel held at the end of a run, and the run that wrote it: this one, or one that it resumes.

    None where nobody did.
    """
    value, at, links = one.written(channel), one, 0
    while value is None and at.resumes and links < MAX_LINKS:
        before = (await told(connection, keys, [at.resumes])).get(at.resumes)
        if before is None or (before.tenant, before.caller) != (one.tenant, one.caller):
            break
        value, at, links = before.written(channel, at.resumes_seq), before, links + 1
    return at, value


@dataclass(frozen=True, slots=True)
class Released:
    """What the caller was shown of an answer."""

    citations: Sequence[Mapping[str, Any]] = ()
    sentences: Sequence[Mapping[str, Any]] = ()
    """`text`, `label`, `score` and the markers of its `citations`."""


def released(one: Told) -> Released:
    """The sentences of an answer with their citations, also of one that ended, or broke off, between two windows."""
    judgement = one.written("judgement") or {}
    if "sentences" in judgement:
        return Released(one.written("citations") or (), judgement["sentences"])
    for body in reversed(one.bodies):
        window = (body["hop"] == "release" and body["decision"].get("window")) or {}
        if (shown := one.contents.get(window.get("shown", ""))) is not None:
            content = orjson.loads(shown)
            judged = zip(content["sentences"], window["labels"], window["scores"], strict=True)
            found = [{**sentence, "label": label, "score": score} for sentence, label, score in judged]
            return Released(content["citations"], found)
    return Released()


def uses(passages: Iterable[Mapping[str, Any]], shown: Released) -> list[Use]:
    """By version, in the order of the passages. A version that only a citation names comes last."""
    chunks: dict[tuple[str, str], list[str]] = {}
    for passage in passages:
        chunks.setdefault((passage["document"], passage["version"]), []).append(passage["chunk"])
    marked = {one["marker"]: one for one in shown.citations}
    cited: dict[tuple[str, str], list[int]] = {}
    for number, sentence in enumerate(shown.sentences, 1):
        for marker in sentence["citations"]:
            if (one := marked.get(marker)) is not None:
                cited.setdefault((one["document"], one["version"]), []).append(number)
    return [
        Use(*place, tuple(dict.fromkeys(chunks.get(place, ()))), tuple(dict.fromkeys(cited.get(place, ()))))
        for place in dict.fromkeys((*chunks, *cited))
    ]
