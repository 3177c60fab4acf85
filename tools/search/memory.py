"""The search port in plain Python: twin of the PostgreSQL adapter, for tests, evaluation and graphs without a server.

Same rules (who sees what, tombstones, fusion, order, ties); its words are those of `fiel.tools.text`, not the server's
lexemes, so text scores differ a little.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from fiel.tools.canonical import score
from fiel.tools.embed import Vector
from fiel.tools.errors import CollectionNotFound, ModelUnreadable
from fiel.tools.principal import CURATORS, Principal
from fiel.tools.search import CollectionInfo, Passage, SearchRequest, Trust
from fiel.tools.search.fusion import DEPTH, MOST_TOKENS, WIDTH, clean, fused, ideal, idf, saturated
from fiel.tools.text import words

VERSION = "memory:2"


@dataclass(frozen=True, slots=True)
class Stored:
    """A chunk as it is kept."""

    document: str
    version: str
    chunk: str
    text: str
    vector: Vector
    acl: frozenset[str]
    """Names of grants; those of curators are added when it is put into a collection."""
    uri: str = ""
    title: str = ""
    context: str = ""
    start: int = 0
    end: int = 0
    language: str = "und"
    model: str = ""
    licence: str = ""
    trust: Trust = "internal"


@dataclass(slots=True)
class _Entry:
    """A chunk with its words counted. `number` is its place in the order of arrival, which breaks ties of the lists."""

    number: int
    stored: Stored
    terms: Counter[str]
    tokens: int


@dataclass(slots=True)
class _Collection:
    policy: str
    entries: list[_Entry] = field(default_factory=list)


class MemorySearch:
    """Search over chunks in the process. Not for large collections: every search reads all of them."""

    def __init__(self, *, model: str = "", dimensions: int) -> None:
        self._model = model
        self._dimensions = dimensions
        self._collections: dict[tuple[str, str], _Collection] = {}
        self._next = 0

    @property
    def version(self) -> str:
        return VERSION

    def put(self, tenant: str, collection: str, chunks: Iterable[Stored] = (), *, policy: str = "") -> None:
        """Add `chunks` to a collection, which is made where there is none. Raises ValueError for a vector of zeros."""
        place = self._collections.setdefault((tenant, collection), _Collection(policy))
        for chunk in chunks:
            if not np.asarray(chunk.vector).any():
                raise ValueError("a vector without direction cannot be stored")
            self._next += 1
            terms = Counter(word.form for word in words(f"{chunk.context} {chunk.text}") if word.content)
            open_to = replace(chunk, acl=chunk.acl | frozenset(CURATORS))
            place.entries.append(_Entry(self._next, open_to, terms, sum(terms.values())))

    def delete(self, tenant: str, collection: str, document: str) -> None:
        """Take the chunks of `document` out of search."""
        place = self._collections[tenant, collection]
        place.entries = [entry for entry in place.entries if entry.stored.document != document]

    def allow(self, tenant: str, collection: str, document: str, acl: frozenset[str]) -> None:
        """Set who may read `document`, beside curators."""
        for entry in self._collections[tenant, collection].entries:
            if entry.stored.document == document:
                entry.stored = replace(entry.stored, acl=acl | frozenset(CURATORS))

    async def collection(self, principal: Principal, name: str) -> CollectionInfo:
        """See `Search.collection`. Raises CollectionNotFound."""
        place, visible = self._visible(principal, name)
        counts = Counter(entry.stored.language for entry in visible)
        languages = tuple(language for language, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0])))
        return CollectionInfo(name=name, policy=place.policy, languages=languages)

    async def search(self, principal: Principal, requests: Sequence[SearchRequest]) -> list[list[Passage]]:
        """See `Search.search`. Raises CollectionNotFound, and ModelUnreadable for a bad vector."""
        return [self._search(principal, request) for request in requests]

    def _visible(self, principal: Principal, name: str) -> tuple[_Collection, list[_Entry]]:
        place = self._collections.get((principal.tenant, name), _Collection(""))
        grants = frozenset(principal.grants)
        visible = [entry for entry in place.entries if not grants.isdisjoint(entry.stored.acl)]
        known = (principal.tenant, name) in self._collections and not grants.isdisjoint(CURATORS)
        if not (visible or known):
            raise CollectionNotFound(
                f"there is no collection {name[:80]!r} that you may read",
                hint="`fiel ingest PATH --collection NAME` makes one",
            )
        return place, visible

    def _search(self, principal: Principal, request: SearchRequest) -> list[Passage]:
        vector = np.asarray(request.vector, dtype=np.float32)
        if vector.shape != (self._dimensions,) or not np.isfinite(vector).all():
            raise ModelUnreadable(f"the question's vector is not {self._dimensions} finite numbers")
        _, visible = self._visible(principal, request.collection)
        width = max(WIDTH, request.k)
        similarity = self._similarities(vector, visible)
        order = sorted(visible, key=lambda entry: (-similarity.get(entry.number, -2.0), entry.number))
        dense = {entry.number: rank for rank, entry in enumerate(order[: max(DEPTH, width)], 1)}
        coverage = _coverage(clean(request.text), visible)
        listed = sorted(coverage, key=lambda number: (-coverage[number], number))[:width]
        texts = {number: rank for rank, number in enumerate(listed, 1)}
        near = [similarity[number] for number in dense if number in similarity]
        low, high = (min(near), max(near)) if near else (None, None)
        wanted = {*range(1, width + 1), len(near)}
        found = [
            _passage(
                entry.stored,
                fused(similarity.get(entry.number), low, high, coverage.get(entry.number, 0.0)),
                similarity.get(entry.number),
                dense.get(entry.number) if entry.number in similarity else None,
                texts.get(entry.number),
            )
            for entry in visible
            if dense.get(entry.number, 0) in wanted or entry.number in texts
        ]
        found.sort(key=lambda passage: (-float(passage["score"]), passage["chunk"]))
        return found[: max(0, request.k)]

    def _similarities(self, vector: Vector, entries: Sequence[_Entry]) -> dict[int, float]:
        """Cosine by number, of the chunks that this model embedded; none for a vector of zeros."""
        own = [entry for entry in entries if entry.stored.model == self._model]
        own = [entry for entry in own if len(entry.stored.vector) == self._dimensions]
        if not own or not vector.any():
            return {}
        stored = np.stack([np.asarray(entry.stored.vector, dtype=np.float64) for entry in own])
        cosines = stored @ vector / (np.linalg.norm(stored, axis=1) * np.linalg.norm(vector.astype(np.float64)))
        return {entry.number: float(cosine) for entry, cosine in zip(own, cosines, strict=True)}


def _coverage(text: str, entries: Sequence[_Entry]) -> dict[int, float]:
    """Coverage by number, of the chunks that hold a word of `text`; each language is counted apart."""
    asked = tuple(dict.fromkeys(word.form for word in words(text) if word.content))[:MOST_TOKENS]
    by_language: Mapping[str, list[_Entry]] = defaultdict(list)
    for entry in entries:
        by_language[entry.stored.language].append(entry)
    return {number: value for group in by_language.values() for number, value in _covered(asked, group)}


def _covered(asked: Sequence[str], entries: Sequence[_Entry]) -> Iterator[tuple[int, float]]:
    mean = max(1.0, sum(entry.tokens for entry in entries) / len(entries))
    weights = {form: idf(len(entries), sum(form in entry.terms for entry in entries)) for form in asked}
    most = ideal(weights.values())
    for entry in entries:
        held = [form for form in asked if form in entry.terms]
        if held:
            yield (
                entry.number,
                sum(weights[form] / most * saturated(entry.terms[form], entry.tokens, mean) for form in held),
            )


def _passage(
    stored: Stored, points: float, similarity: float | None, dense_rank: int | None, text_rank: int | None
) -> Passage:
    return Passage(
        document=stored.document,
        uri=stored.uri,
        title=stored.title,
        licence=stored.licence,
        trust=stored.trust,
        version=stored.version,
        chunk=stored.chunk,
        text=stored.text,
        context=stored.context,
        start=stored.start,
        end=stored.end,
        language=stored.language,
        score=score(points),
        dense_rank=dense_rank,
        text_rank=text_rank,
        similarity=None if similarity is None else score(similarity),
    )
