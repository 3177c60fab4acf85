"""Recorded ports: the same answers, effects in the entry, contents by digest, and no draft in any span."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict, cast
from uuid import uuid4

import numpy as np
import orjson
import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.graph import END, START, StateGraph
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from fiel.infra.ledger import effects
from fiel.infra.ledger.frames import unpack
from fiel.infra.ledger.keys import Cipher, key_of
from fiel.infra.ledger.recorder import LedgerRecorder
from fiel.infra.ledger.store import MemoryStore
from fiel.policies.types import Bundle, Decision, Verdict
from fiel.tools.canonical import digest
from fiel.tools.chat import ChatRequest, Completion, DraftSentence, Quote, Turn, Usage
from fiel.tools.errors import ModelUnavailable
from fiel.tools.judge import Judgement, SentenceJudgement
from fiel.tools.principal import Principal
from fiel.tools.record import Hop
from fiel.tools.rerank import Ranking
from fiel.tools.search import CollectionInfo, Passage, SearchRequest

ANA = Principal("acme", "ana", frozenset(), frozenset({"reader"}))
PASSAGE = cast("Passage", {"document": "d", "chunk": "c", "text": "Text.", "uri": "a", "score": "0.1"})
VECTOR = np.linspace(-1, 1, 384, dtype=np.float32)
DRAFT = "the draft that nobody released"


class Model:
    """All ports in one, with fixed answers."""

    version, writes, dimensions = "m1", True, 384
    fails = False

    def threshold(self, language: str) -> float:
        return 0.5

    async def complete(self, request: ChatRequest) -> Completion:
        if self.fails:
            raise ModelUnavailable(f"cannot continue '{DRAFT}'")
        return Completion(
            DRAFT, Usage(5, 7), sentences=(DraftSentence(DRAFT, (Quote(0, 0, 3),)),), first_token={"a": 0.1}
        )

    async def query(self, text: str) -> Any:
        return VECTOR

    async def passages(self, texts: Sequence[str]) -> list[Any]:
        return [VECTOR for _ in texts]

    async def rank(self, question: str, passages: Sequence[Passage], *, language: str) -> Ranking:
        return Ranking((0,), (1.25,), 0.1 + 0.2)

    async def judge(self, question: str, draft: Any, passages: Any, *, language: str) -> Judgement:
        return Judgement((SentenceJudgement("supported", 0.9),), 0.7)

    async def collection(self, principal: Principal, name: str) -> CollectionInfo:
        return CollectionInfo(name, "default", ("en",))

    async def search(self, principal: Principal, requests: Sequence[SearchRequest]) -> list[list[Passage]]:
        return [[PASSAGE] for _ in requests]

    def bundle(self, name: str, version: str = "") -> Bundle:
        return cast("Bundle", self)

    def redact(self, bundle: Bundle, text: str) -> str:
        return text

    async def check(self, bundle: Any, stage: Any, parts: Sequence[str], facts: Any = None) -> Decision:
        verdict = Verdict("length", stage, "v", "allow", "0.1", "0.5", "ok", ms=asyncio.get_running_loop().time())
        return Decision("allow", (verdict,), tuple(parts), "ok")


class Callers:
    def principal(self, config: Mapping[str, Any]) -> Principal:
        return ANA


class State(TypedDict, total=False):
    question: str
    outcome: str


class House:
    def __init__(self) -> None:
        self.store = MemoryStore()
        self.cipher = Cipher(key_of(b"k" * 32))
        self.recorder = LedgerRecorder(self.store, self.cipher, Callers(), redact=str)

    async def run(self, work: Any) -> tuple[list[dict[str, Any]], dict[str, bytes], bytes]:
        """Effects, contents by digest and spans of a run whose only hop awaits `work`."""

        async def node(state: State, runtime: Any, config: RunnableConfig) -> dict[str, Any]:
            await work()
            return {"outcome": "answered"}

        graph = StateGraph(State)
        graph.add_node("hop", self.recorder.wear(Hop("hop", "CHAIN", first=True, terminal=True), node))
        graph.add_edge(START, "hop")
        graph.add_edge("hop", END)
        run = uuid4()
        try:
            await graph.compile().ainvoke({"question": "q"}, {"run_id": run})
        except ModelUnavailable:
            await self.recorder.writer.drain()
        (sealed,) = await self.store.entries(str(run))
        frames = [
            self.cipher.open("frame", str(run), blob.data, blob.key) for blob in await self.store.frames(str(run))
        ]
        spans = [self.cipher.open("spans", owner, blob.data, blob.key) for owner, blob in self.store.spans]
        contents = dict(pair for frame in frames for pair in unpack(frame, b""))
        return orjson.loads(sealed.body)["effects"], contents, b"".join(spans)


REQUEST = ChatRequest((Turn("user", "q"),), passages=[PASSAGE])
CALLS: dict[str, Any] = {
    "chat": lambda m: effects.RecordedChat(m).complete(REQUEST),
    "embed": lambda m: effects.RecordedEmbedder(m).query("q"),
    "rerank": lambda m: effects.RecordedReranker(m).rank("q", [PASSAGE], language="en"),
    "judge": lambda m: effects.RecordedJudge(m).judge("q", [DraftSentence("a")], [PASSAGE], language="en"),
    "collection": lambda m: effects.RecordedSearch(m).collection(ANA, "docs"),
    "search": lambda m: effects.RecordedSearch(m).search(ANA, [SearchRequest("docs", "q", VECTOR)]),
    "check": lambda m: effects.RecordedPolicies(m).check(m, "input", ["q"]),
}


@pytest.mark.parametrize("kind", CALLS)
async def test_each_port_is_recorded_with_contents_and_answers_the_same(kind: str) -> None:
    got: list[Any] = []

    async def work() -> None:
        got.append(await CALLS[kind](Model()))

    found, contents, _ = await House().run(work)
    assert [effect["kind"] for effect in found] == [kind]
    for name in ("request", "response"):
        assert digest(contents[found[0][name]]) == found[0][name]
    outside = await CALLS[kind](Model())
    if kind == "check":
        assert b'"ms":0' in contents[found[0]["response"]]
        assert outside.action == got[0].action
    else:
        assert repr(outside) == repr(got[0])


async def test_equal_requests_are_counted_and_order_does_not_show() -> None:
    async def work() -> None:
        embed = effects.RecordedEmbedder(Model())
        await asyncio.gather(embed.query("b"), embed.query("a"), embed.query("b"))

    async def other() -> None:
        embed = effects.RecordedEmbedder(Model())
        for text in ("a", "b", "b"):
            await embed.query(text)

    one, contents, _ = await House().run(work)
    two, _, _ = await House().run(other)
    assert one == two
    assert sorted(effect["n"] for effect in one) == [0, 0, 1]
    assert np.frombuffer(contents[one[0]["response"]], "<f4").tolist() == VECTOR.tolist()


async def test_an_error_is_an_effect() -> None:
    model = Model()
    model.fails = True
    found, contents, spans = await House().run(lambda: CALLS["chat"](model))
    assert found[0]["error"] == "model_unavailable"
    assert b"model_unavailable" in contents[found[0]["response"]]
    assert DRAFT.encode() not in spans


async def test_no_text_of_a_draft_stands_in_a_span_and_tokens_do() -> None:
    found, contents, spans = await House().run(lambda: CALLS["chat"](Model()))
    assert DRAFT.encode() in contents[found[0]["response"]]
    assert DRAFT.encode() not in spans
    assert found[0]["usage"] == {"input_tokens": 5, "output_tokens": 7, "cost": "0.000000"}
    named = {
        span.name: span
        for one in TracesData.FromString(spans).resource_spans
        for scope in one.scope_spans
        for span in scope.spans
    }
    assert named["chat"].parent_span_id == named["hop"].span_id
    facts = {one.key: one.value for one in named["chat"].attributes}
    assert facts["gen_ai.usage.output_tokens"].int_value == 7
    assert orjson.loads(facts["mlflow.chat.tokenUsage"].string_value)["total_tokens"] == 12
