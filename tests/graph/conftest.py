"""A whole graph in memory: the real recorder, vault and policies around models that the test controls."""

import asyncio
import re
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any

import numpy as np
import pytest
from langchain_core.messages import HumanMessage
from langgraph.checkpoint.memory import InMemorySaver

from fiel.graphs.answer.graph import Graph, build
from fiel.graphs.answer.options import Options
from fiel.graphs.services import Services
from fiel.infra.callers import KEY, ConfigCallers
from fiel.infra.ledger import effects
from fiel.infra.ledger.keys import Cipher, key_of
from fiel.infra.ledger.recorder import LedgerRecorder
from fiel.infra.ledger.recorders import recording
from fiel.infra.ledger.store import MemoryStore
from fiel.infra.ledger.subjects import DataKey, data_key
from fiel.infra.ledger.vault import LedgerVault
from fiel.policies.bundle import load_bundles
from fiel.policies.plain import PlainPolicies
from fiel.policies.types import Bundle, Decision, Stage
from fiel.tools.chat import ChatRequest, Completion, DraftSentence, Quote, Stretch, Usage
from fiel.tools.chat.streams import Pieces, Streams
from fiel.tools.embed import Vector
from fiel.tools.errors import CollectionNotFound
from fiel.tools.guard import Assessment
from fiel.tools.judge import Judgement, SentenceJudgement
from fiel.tools.principal import Principal, local_administrator
from fiel.tools.rerank import Ranking
from fiel.tools.review import MemoryReviews
from fiel.tools.search import CollectionInfo, Passage, SearchRequest

DRAFT = "The vault holds the secret word xylophone-7731."
"""The sentence that the model drafts: nobody may see it before it is released."""

READER = Principal("default", "ana", frozenset(), frozenset({"reader"}))
DEVELOPER = Principal("default", "dev", frozenset(), frozenset({"developer"}))

Fault = Callable[[], Awaitable[Any]]


async def raising() -> Any:
    raise RuntimeError("a secret of the model")


async def hanging() -> Any:
    await asyncio.sleep(60)


@dataclass
class Models:
    """Every model of the house; `faults` breaks the one named."""

    faults: dict[str, Fault] = field(default_factory=dict)
    relevance: float = 0.9
    label: Any = "supported"
    answered: float = 0.9
    writes: bool = False
    text: str = DRAFT
    written: str | None = None
    wording: str = ""
    searched: list[str] = field(default_factory=list)
    asked: list[ChatRequest] = field(default_factory=list)
    reads_answers: bool = True
    harm: dict[str, float] = field(default_factory=dict)
    harm_in_answer: bool = False
    version: str = "test"
    dimensions: int = 2
    tokens: Callable[[str], Sequence[str]] = lambda text: re.findall(r"\S+\s*", text)
    """How the model writes a text, piece by piece."""
    labels: Callable[[DraftSentence], Any] | None = None
    streams: Streams = field(default_factory=Streams)
    takers: int = 0
    wanted: asyncio.Event = field(default_factory=asyncio.Event)

    async def _fault(self, name: str) -> Any:
        return await self.faults[name]() if name in self.faults else None

    async def query(self, text: str) -> Vector:
        await self._fault("embed")
        return np.array([1.0, 0.0], dtype=np.float32)

    async def passages(self, texts: Sequence[str]) -> list[Vector]:
        return [await self.query(text) for text in texts]

    async def collection(self, principal: Principal, name: str) -> CollectionInfo:
        await self._fault("collection")
        if name == "secret" and not principal.may("administrator"):
            raise CollectionNotFound("no such collection")
        return CollectionInfo(name, "", ("en",))

    async def search(self, principal: Principal, requests: Sequence[SearchRequest]) -> list[list[Passage]]:
        await self._fault("search")
        self.searched += [request.text for request in requests]
        return [[self.passage()] for _ in requests]

    def passage(self) -> Passage:
        return Passage(
            document="d1", uri="notes.md", title="Notes", version="v1", chunk="c1", text=self.text, context="",
            start=0, end=len(self.text), language="en", score="0.500000", dense_rank=1, text_rank=1, similarity=None,
        )  # fmt: skip

    def threshold(self, language: str) -> float:
        return 0.5

    async def rank(self, question: str, passages: Sequence[Passage], *, language: str) -> Ranking:
        await self._fault("rerank")
        return Ranking(tuple(range(len(passages))), (1.0,) * len(passages), self.relevance)

    async def complete(self, request: ChatRequest) -> Completion:
        self.asked.append(request)
        broken = await self._fault("chat")
        if broken is not None:
            return broken  # type: ignore[no-any-return]
        if not request.passages:
            return Completion(
                self.wording or f"Which word is held{', again' * len(self.asked)}", Usage(3, 2, "0.000010")
            )
        if self.written is not None:
            return Completion(self.written, Usage(10, 5, "0.000100"))
        text = request.passages[0]["text"]
        sentence = DraftSentence(text, (Quote(0, 0, len(text)),))
        return Completion(text, Usage(10, 5, "0.000100"), sentences=(sentence,))

    async def stretch(self, request: ChatRequest, stream: str, number: int) -> Stretch:
        self.takers += 1
        self.wanted.set()
        try:
            return await self.streams.stretch(lambda: self._pieces(request), stream, number)
        finally:
            self.takers -= 1
            if not self.takers:
                self.wanted.clear()

    async def _pieces(self, request: ChatRequest) -> Pieces:
        completion = await self.complete(request)
        for piece in self.tokens(completion.text):
            await self.wanted.wait()  # written only while somebody waits for it: the same windows on any machine
            yield piece
            await asyncio.sleep(0)
        yield completion

    async def assess(self, question: str, answer: str = "") -> Assessment:
        broken = await self._fault("guard")
        if broken is not None:
            return broken  # type: ignore[no-any-return]
        return Assessment({"hate": 0.0, **self.harm} if bool(answer) == self.harm_in_answer else {"hate": 0.0})

    async def judge(
        self, question: str, draft: Sequence[DraftSentence], passages: Sequence[Passage], *, language: str
    ) -> Judgement:
        broken = await self._fault("judge")
        if broken is not None:
            return broken  # type: ignore[no-any-return]
        labels = [self.labels(sentence) if self.labels else self.label for sentence in draft]
        return Judgement(tuple(SentenceJudgement(label, 0.9) for label in labels), self.answered)


class BreakablePolicies(PlainPolicies):
    """The real policies, of which one stage can be broken."""

    def __init__(self) -> None:
        super().__init__(load_bundles())
        self.broken: Stage | None = None
        self.fault: Fault = raising

    async def check(self, bundle: Bundle, stage: Stage, parts: Sequence[str], facts: Any = None) -> Decision:
        if stage == self.broken:
            found = await self.fault()
            assert isinstance(found, Decision)
            return found
        return await super().check(bundle, stage, parts, facts)


@dataclass(repr=False)
class House:
    """The graph and what it stands on."""

    models: Models
    policies: BreakablePolicies
    store: MemoryStore
    recorder: LedgerRecorder
    graph: Graph
    services: Services
    reviews: MemoryReviews = field(default_factory=MemoryReviews)

    async def ask(self, question: str = "What does the vault hold?", **more: Any) -> dict[str, Any]:
        return await self.graph.ainvoke(
            {"messages": [HumanMessage(question)]},
            config=self.config(**more),
            context=more.get("options", Options()),
        )

    def impatient(self) -> None:
        """From now on a hop that hangs is cut off soon; a busy machine's hops may be, too."""
        self.services = replace(self.services, timeout=0.5)
        self.graph = build(self.services, InMemorySaver())

    def config(
        self, thread: str | None = None, principal: Principal | None = None, run: str | None = None, **_: Any
    ) -> Any:
        return {
            "run_id": uuid.UUID(run) if run else uuid.uuid4(),
            "configurable": {
                "thread_id": thread or str(uuid.uuid4()),
                KEY: principal or local_administrator(),
            },
        }


@pytest.fixture(scope="session")
def bundles() -> Any:
    return load_bundles()


class KeyEach:
    """A data key for each caller, without a database."""

    def __init__(self) -> None:
        self._made: dict[str, DataKey] = {}

    async def of(self, tenant: str, subject: str, collection: str = "") -> DataKey:
        key = data_key(key_of(sha256(f"{tenant}:{subject}".encode()).digest()))
        return self._made.setdefault(key.id, key)

    async def named(self, id: str) -> DataKey:
        return self._made[id]


@pytest.fixture
async def house() -> Any:
    store = MemoryStore()
    policies = BreakablePolicies()
    cipher = Cipher(key_of(b"k" * 32))
    recorder = recording(store, cipher, ConfigCallers(), policies, patience=1.0, keys=KeyEach())
    models = Models()
    services = Services(
        callers=ConfigCallers(),
        chats={"test": models},
        embed=models,
        guard=models,
        judge=models,
        language=lambda text: "en",
        policies=policies,
        recorder=recorder,
        rerank=models,
        search=models,
        vault=LedgerVault(recorder),
        timeout=30.0,
    )
    yield House(models, policies, store, recorder, build(services, InMemorySaver()), services)
    await recorder.close()


@pytest.fixture
def recorded(house: House) -> House:
    """The house, its ports recorded."""
    models, services = house.models, house.services
    house.services = replace(
        services,
        chats={"test": effects.RecordedChat(models)},
        embed=effects.RecordedEmbedder(models),
        guard=effects.RecordedGuard(models),
        judge=effects.RecordedJudge(models),
        rerank=effects.RecordedReranker(models),
        search=effects.RecordedSearch(models),
        policies=effects.RecordedPolicies(house.policies),
    )
    house.graph = build(house.services, InMemorySaver())
    return house
