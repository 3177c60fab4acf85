"""The search port, one suite on both adapters: PostgreSQL and its twin in the process."""

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from fiel.infra.corpus.bulk import Bulk
from fiel.infra.database.connect import Database
from fiel.tools.errors import CollectionNotFound, ModelUnreadable
from fiel.tools.principal import Principal, local_administrator
from fiel.tools.search import Passage, Search, SearchRequest
from fiel.tools.search.memory import MemorySearch, Stored
from fiel.tools.search.postgres import PostgresSearch

DIMENSIONS = 8
MODEL = "model:1"
ADMINISTRATOR = local_administrator()
ANA = Principal("default", "ana", roles=frozenset({"reader"}))
BOB = Principal("default", "bob", groups=frozenset({"finance"}), roles=frozenset({"reader"}))
NOBODY = Principal("default", "nobody", groups=frozenset({"finance"}))
STRANGER = local_administrator("other")

EVERYONE = frozenset({"everyone"})
FINANCE = frozenset({"finance"})


def unit(*values: float) -> np.ndarray[Any, np.dtype[np.float32]]:
    vector = np.zeros(DIMENSIONS, dtype=np.float32)
    vector[: len(values)] = values
    return vector / np.linalg.norm(vector)


def stored(text: str, vector: Any = None, acl: frozenset[str] = EVERYONE, **more: Any) -> Stored:
    vector = unit(1.0) if vector is None else vector
    values = {"document": str(uuid.uuid4()), "version": str(uuid.uuid4()), "chunk": str(uuid.uuid4()), "model": MODEL}
    values |= {"language": "en", "end": len(text), "uri": "notes.md", "title": "Notes"}
    return Stored(text=text, vector=vector, acl=acl, **{**values, **more})


@dataclass
class World:
    """An adapter, and how chunks get into it."""

    search: Search
    put: Callable[..., Awaitable[None]]
    delete: Callable[[str], Awaitable[None]]
    allow: Callable[[str, frozenset[str]], Awaitable[None]]
    extra: dict[str, Any] = field(default_factory=dict)

    async def find(self, principal: Principal, text: str, vector: Any = None, **more: Any) -> list[Passage]:
        request = SearchRequest("c", text, unit(1.0) if vector is None else vector, **{"language": "en", **more})
        return (await self.search.search(principal, [request]))[0]


def memory_world() -> World:
    search = MemorySearch(model=MODEL, dimensions=DIMENSIONS)

    async def put(collection: str, chunks: Sequence[Stored] = (), policy: str = "", tenant: str = "default") -> None:
        search.put(tenant, collection, chunks, policy=policy)

    async def delete(document: str) -> None:
        search.delete("default", "c", document)

    async def allow(document: str, acl: frozenset[str]) -> None:
        search.allow("default", "c", document, acl)

    return World(search, put, delete, allow)


def postgres_world(database: Database, **options: Any) -> World:
    search = PostgresSearch(database.read, model=MODEL, dimensions=DIMENSIONS, **options)

    async def put(collection: str, chunks: Sequence[Stored] = (), policy: str = "", tenant: str = "default") -> None:
        await Bulk(database.acting, local_administrator(tenant)).put(collection, chunks, policy=policy)

    bulk = Bulk(database.acting, ADMINISTRATOR)
    return World(search, put, bulk.delete, bulk.allow)


@pytest.fixture(scope="module")
def address(postgres: Any, template: str) -> Iterator[str]:
    """One database for the module; each test finds it without collections."""
    name = postgres.create(template)
    yield postgres.urls(name).runtime
    postgres.drop(name)


@pytest.fixture
async def emptied(address: str) -> AsyncIterator[Database]:
    async with Database(address, size=2, timeout=10.0) as database:
        yield database
        for principal in (ADMINISTRATOR, STRANGER):
            async with database.acting(principal) as connection:
                await connection.execute("DELETE FROM fiel.collections")


@pytest.fixture(params=["memory", "postgres", "postgres-indexed", "postgres-common"])
def world(request: pytest.FixtureRequest) -> World:
    """Both adapters; PostgreSQL also as it goes with very many visible chunks, and with very common words."""
    if request.param == "memory":
        return memory_world()
    options = {"postgres": {}, "postgres-indexed": {"exact": 0}, "postgres-common": {"common": 1}}[request.param]
    return postgres_world(request.getfixturevalue("emptied"), **options)


def texts(passages: Sequence[Passage]) -> list[str]:
    return [passage["text"] for passage in passages]


async def test_passage_is_whole(world: World) -> None:
    chunk = stored("The harbour closes at nine.", unit(1, 1), context="Town > Harbour", start=7, end=34)
    await world.put("c", [chunk])
    (passage,) = await world.find(ANA, "When does the harbour close?", unit(1.0))
    assert passage == {
        "document": chunk.document,
        "uri": "notes.md",
        "title": "Notes",
        "version": chunk.version,
        "licence": "",
        "trust": "internal",
        "chunk": chunk.chunk,
        "text": "The harbour closes at nine.",
        "context": "Town > Harbour",
        "start": 7,
        "end": 34,
        "language": "en",
        "score": passage["score"],
        "dense_rank": 1,
        "text_rank": 1,
        "similarity": "0.707107",
    }
    assert 0 < float(passage["score"]) <= 1
    assert len(passage["score"].split(".")[1]) == 6


async def test_each_reads_what_is_open_to_them(world: World) -> None:
    open_one, closed = stored("open harbour"), stored("closed harbour", acl=FINANCE)
    hers = stored("harbour of ana", acl=frozenset({"user:ana"}))
    await world.put("c", [open_one, closed, hers])
    assert sorted(texts(await world.find(ANA, "harbour"))) == ["harbour of ana", "open harbour"]
    assert sorted(texts(await world.find(BOB, "harbour"))) == ["closed harbour", "open harbour"]
    assert len(await world.find(ADMINISTRATOR, "harbour")) == 3
    for other in (NOBODY, STRANGER):
        with pytest.raises(CollectionNotFound):
            await world.find(other, "harbour")


async def test_a_changed_acl_counts_at_once(world: World) -> None:
    chunk, other = stored("harbour"), stored("lighthouse")
    await world.put("c", [chunk, other])
    await world.allow(chunk.document, FINANCE)
    assert texts(await world.find(ANA, "harbour")) == ["lighthouse"]
    assert len(await world.find(BOB, "harbour")) == 2
    await world.allow(chunk.document, EVERYONE)
    assert texts(await world.find(ANA, "harbour"))[0] == "harbour"


async def test_scores_do_not_tell_of_what_is_hidden(world: World) -> None:
    await world.put("c", [stored("harbour lights", unit(1, 1)), stored("lighthouse keeper", unit(1, 2))])
    before = await world.find(ANA, "harbour keeper")
    hidden = [stored(f"harbour keeper {number}", unit(1, number), acl=FINANCE) for number in range(5)]
    await world.put("c", hidden)
    assert await world.find(ANA, "harbour keeper") == before


async def test_deleted_documents_are_gone(world: World) -> None:
    gone, kept = stored("harbour"), stored("harbour too")
    await world.put("c", [gone, kept])
    await world.delete(gone.document)
    assert texts(await world.find(ADMINISTRATOR, "harbour")) == ["harbour too"]
    await world.delete(kept.document)
    assert await world.find(ADMINISTRATOR, "harbour") == []
    with pytest.raises(CollectionNotFound):
        await world.find(ANA, "harbour")


async def test_unknown_and_forbidden_collections_look_the_same(world: World) -> None:
    await world.put("c", [stored("secret", acl=FINANCE)])
    await world.put("empty")
    messages = []
    for name in ("c", "empty", "none"):
        for call in (
            world.search.collection(ANA, name),
            world.search.search(ANA, [SearchRequest(name, "secret", unit(1.0))]),
        ):
            with pytest.raises(CollectionNotFound) as caught:
                await call
            messages.append(str(caught.value).replace(repr(name), "NAME"))
    assert len(set(messages)) == 1


async def test_collection_tells_policy_and_languages_of_what_is_visible(world: World) -> None:
    chunks = [stored("uno", language="es"), stored("one"), stored("two"), stored("eins", language="de", acl=FINANCE)]
    await world.put("c", chunks, policy="strict")
    info = await world.search.collection(ANA, "c")
    assert (info.name, info.policy, info.languages) == ("c", "strict", ("en", "es"))
    assert (await world.search.collection(BOB, "c")).languages == ("en", "de", "es")
    await world.put("empty", policy="default")
    assert (await world.search.collection(ADMINISTRATOR, "empty")).languages == ()
    assert await world.search.search(ADMINISTRATOR, [SearchRequest("empty", "x", unit(1.0))]) == [[]]


async def test_collections_and_tenants_do_not_mix(world: World) -> None:
    await world.put("c", [stored("harbour here")])
    await world.put("d", [stored("harbour there")])
    await world.put("c", [stored("harbour abroad")], tenant="other")
    assert texts(await world.find(ADMINISTRATOR, "harbour")) == ["harbour here"]
    assert texts(await world.find(STRANGER, "harbour")) == ["harbour abroad"]


async def test_never_fewer_than_there_are(world: World) -> None:
    rng = np.random.default_rng(3)
    vectors = rng.standard_normal((120, DIMENSIONS)).astype(np.float32)
    chunks = [
        stored(f"word{number} filler", vector / np.linalg.norm(vector), acl=EVERYONE if number % 10 == 0 else FINANCE)
        for number, vector in enumerate(vectors)
    ]
    await world.put("c", chunks)
    for k in (0, 1, 5, 12, 50):
        assert len(await world.find(ANA, "nothing of that", unit(1, -1), k=k)) == min(k, 12)
    assert len(await world.find(BOB, "word3", unit(1, -1), k=100)) == 100
    assert len(await world.find(BOB, "word3", unit(1, -1), k=500)) == 120


async def test_both_lists_count(world: World) -> None:
    near = stored("completely different words", unit(1, 0.1))
    named = stored("invoice 4711 of the harbour", unit(0, 1))
    neither = stored("something else again", unit(0, 0, 1))
    await world.put("c", [neither, near, named])
    found = await world.find(ANA, "Where is invoice 4711?")
    assert {passage["text"]: (passage["dense_rank"], passage["text_rank"]) for passage in found} == {
        near.text: (1, None),
        named.text: (found[texts(found).index(named.text)]["dense_rank"], 1),
        neither.text: (found[texts(found).index(neither.text)]["dense_rank"], None),
    }
    assert found[-1]["text"] == neither.text
    assert [passage["score"] for passage in found] == sorted((p["score"] for p in found), reverse=True)


async def test_cosines_are_stretched_over_the_first_fifty(world: World) -> None:
    angles = np.radians(np.arange(60))
    await world.put("c", [stored("of no such word", unit(np.cos(angle), np.sin(angle))) for angle in angles])
    found = await world.find(ANA, "harbour", k=10)
    low = np.cos(angles[49])
    expected = [(np.cos(angle) - low) / (1 - low) / 3.5 for angle in angles[:10]]
    assert [float(passage["score"]) for passage in found] == pytest.approx(expected, abs=3e-6)
    assert [passage["dense_rank"] for passage in found] == list(range(1, 11))


async def test_words_alone_where_the_question_has_no_direction(world: World) -> None:
    await world.put("c", [stored("lighthouse"), stored("harbour"), stored("meadow")])
    found = await world.find(ANA, "harbour", np.zeros(DIMENSIONS, dtype=np.float32))
    assert texts(found)[0] == "harbour"
    assert len(found) == 3
    assert {passage["similarity"] for passage in found} == {None}
    assert {passage["dense_rank"] for passage in found} == {None}


async def test_chunks_of_another_model_are_found_by_words_alone(world: World) -> None:
    foreign = stored("harbour", np.ones(3, dtype=np.float32), model="other:1")
    same_width = stored("lighthouse harbour", unit(1.0), model="other:2")
    await world.put("c", [foreign, same_width, stored("meadow", unit(0, 1))])
    found = await world.find(ANA, "harbour", k=10)
    assert len(found) == 3
    by_text = {passage["text"]: passage for passage in found}
    assert by_text["harbour"]["similarity"] is None
    assert by_text["lighthouse harbour"]["dense_rank"] is None
    assert by_text["meadow"]["dense_rank"] == 1


@pytest.mark.parametrize("language", ["en", "es", "und", "xx", "de"])
async def test_names_and_numbers_meet_across_languages(world: World, language: str) -> None:
    await world.put(
        "c",
        [
            stored("The Panthers won 24 games in 2015", unit(0, 1), language="en"),
            stored("La defensa ganó en otoño", unit(0, 1), language="es"),
            stored("nothing of the kind", unit(0, 1), language="und"),
        ],
    )
    found = await world.find(ANA, "¿Cuándo ganaron los Panthers en 2015?", unit(0, 1), language=language)
    assert found[0]["text"].startswith("The Panthers")
    assert found[0]["text_rank"] is not None


async def test_forms_of_a_word_meet(world: World) -> None:
    await world.put("c", [stored("they walked home", unit(0, 1)), stored("blue sky", unit(0, 1))])
    found = await world.find(ANA, "who was walking?", unit(0, 1))
    assert found[0]["text"] == "they walked home"
    assert found[0]["text_rank"] == 1


async def test_order_is_the_same_every_time(world: World) -> None:
    chunks = [stored("the same words", unit(1.0)) for _ in range(20)]
    await world.put("c", chunks)
    first = await world.find(ANA, "same words", k=20)
    assert [passage["chunk"] for passage in first] == sorted(chunk.chunk for chunk in chunks)
    for _ in range(6):  # more often than a statement is executed before the server prepares it
        assert await world.find(ANA, "same words", k=20) == first
    assert [p["chunk"] for p in await world.find(ANA, "same words", k=5)] == [p["chunk"] for p in first[:5]]


async def test_several_requests_at_once(world: World) -> None:
    await world.put("c", [stored("harbour", unit(1.0)), stored("meadow", unit(0, 1))])
    requests = [SearchRequest("c", "harbour", unit(1.0), "en", 1), SearchRequest("c", "meadow", unit(0, 1), "en", 1)]
    found = await world.search.search(ANA, requests)
    assert [texts(passages) for passages in found] == [["harbour"], ["meadow"]]
    assert await world.search.search(ANA, []) == []
    with pytest.raises(CollectionNotFound):
        await world.search.search(ANA, [*requests, SearchRequest("none", "harbour", unit(1.0))])
    assert len(await world.find(ANA, "harbour")) == 2


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \t\n",
        "\x00\x01\x1f harbour \x7f",
        "'; DROP TABLE fiel.chunks; --",
        "%s %(text)s $1 {0} :*",
        "harbour & | ! ( ) <-> :* \\",
        "harbour \ud800 \ufffe \U0010ffff",
        "ｈａｒｂｏｕｒ 港 ميناء हार्बर 👩‍👩‍👧 \u202e",
        "harbour " * 12_500,
        "x" * 100_000,
        " ".join(f"word{number}" for number in range(15_000)),
        "a.b.c/d?e=f@g.h --i 1.5e300 1e999 -.5 http://[::1]/%00",
    ],
    ids=range(12),
)
@pytest.mark.parametrize("world", ["memory", "postgres"], indirect=True)
async def test_hostile_questions(world: World, text: str) -> None:
    await world.put("c", [stored("harbour"), stored("meadow")])
    found = await world.find(ANA, text, language="en\x00'")
    assert sorted(texts(found)) == ["harbour", "meadow"]


@pytest.mark.parametrize("name", ["", "c\x00", "c'--", "\ud800", "c" * 100_000, "C", "c "])
@pytest.mark.parametrize("world", ["memory", "postgres"], indirect=True)
async def test_hostile_names(world: World, name: str) -> None:
    await world.put("c", [stored("harbour")])
    with pytest.raises(CollectionNotFound):
        await world.search.collection(ADMINISTRATOR, name)
    with pytest.raises(CollectionNotFound):
        await world.search.search(ADMINISTRATOR, [SearchRequest(name, "harbour", unit(1.0))])


@pytest.mark.parametrize(
    "vector",
    [np.ones(DIMENSIONS + 1), np.ones((1, DIMENSIONS)), np.full(DIMENSIONS, np.nan), np.full(DIMENSIONS, np.inf), []],
    ids=["longer", "matrix", "nan", "infinite", "empty"],
)
@pytest.mark.parametrize("world", ["memory", "postgres"], indirect=True)
async def test_bad_vectors_are_refused(world: World, vector: Any) -> None:
    await world.put("c", [stored("harbour")])
    with pytest.raises(ModelUnreadable):
        await world.find(ANA, "harbour", vector)


@pytest.mark.parametrize("dimensions", [1_200, 1_201])
@pytest.mark.parametrize("exact", [None, 0], ids=["compared", "indexed"])
async def test_vectors_too_wide_for_an_index_entry(emptied: Database, dimensions: int, exact: int | None) -> None:
    rng = np.random.default_rng(4)
    vectors = rng.standard_normal((20, dimensions)).astype(np.float32)
    chunks = [stored(f"word{number}", vector / np.linalg.norm(vector)) for number, vector in enumerate(vectors)]
    await Bulk(emptied.acting, ADMINISTRATOR).put("c", [*chunks, stored("foreign", unit(1.0), model="other:1")])
    search = PostgresSearch(emptied.read, model=MODEL, dimensions=dimensions, exact=exact)
    (found,) = await search.search(ANA, [SearchRequest("c", "", vectors[7], "en", 30)])
    near = np.argsort(-np.stack([chunk.vector for chunk in chunks]) @ vectors[7])
    ranked = sorted((passage["dense_rank"] or 99, passage["text"]) for passage in found)
    assert [text for _, text in ranked] == [*(f"word{number}" for number in near), "foreign"]


async def test_version_is_named(world: World) -> None:
    assert world.search.version.split(":")[0] in ("memory", "postgres")


async def test_licence_and_trust_of_a_source_come_with_its_passages(world: World) -> None:
    await world.put("c", [stored("alpha one", licence="CC-BY-4.0", trust="external"), stored("alpha two")])
    found = {passage["text"]: passage for passage in await world.find(ANA, "alpha")}
    assert {text: (one["licence"], one["trust"]) for text, one in found.items()} == {
        "alpha one": ("CC-BY-4.0", "external"),
        "alpha two": ("", "internal"),
    }
