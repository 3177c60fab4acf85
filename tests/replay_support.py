"""A house over PostgreSQL whose models the test controls: runs are recorded there, and replayed from there."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from langgraph.checkpoint.memory import InMemorySaver

from fiel.graphs.answer.graph import Graph, build
from fiel.graphs.services import Services
from fiel.infra.callers import ConfigCallers
from fiel.infra.database.connect import Database
from fiel.infra.ledger import effects
from fiel.infra.ledger.keys import Cipher, key_of
from fiel.infra.ledger.postgres import PostgresStore
from fiel.infra.ledger.recorders import recording
from fiel.infra.ledger.subjects import SubjectKeys
from fiel.infra.ledger.vault import LedgerVault
from fiel.tools.review import MemoryReviews
from tests.graph.conftest import BreakablePolicies, House, Models


@dataclass(repr=False)
class Recorded(House):
    """The graph, its ports recorded; `database` keeps the ledger."""

    database: Database = None  # type: ignore[assignment]

    @property
    def served(self) -> Any:
        """As much of the service's house as replays need."""
        corpus = SimpleNamespace(database=self.database)
        return SimpleNamespace(recorder=self.recorder, services=self.services, corpus=corpus)


@asynccontextmanager
async def recorded_in(database: Database) -> AsyncIterator[Recorded]:
    """The house while the block runs."""
    cipher, models, policies, reviews = Cipher(key_of(b"k" * 32)), Models(), BreakablePolicies(), MemoryReviews()
    store = PostgresStore(database.system, database.aside)
    keys = SubjectKeys(database.system, cipher)
    recorder = recording(store, cipher, ConfigCallers(), policies, keys=keys)
    services = Services(
        callers=ConfigCallers(),
        chats={"test": effects.RecordedChat(models)},
        embed=effects.RecordedEmbedder(models),
        guard=effects.RecordedGuard(models),
        judge=effects.RecordedJudge(models),
        language=lambda text: "en",
        policies=effects.RecordedPolicies(policies),
        recorder=recorder,
        rerank=effects.RecordedReranker(models),
        search=effects.RecordedSearch(models),
        vault=LedgerVault(recorder),
        reviews=effects.RecordedReviews(reviews),
        timeout=5.0,
    )
    graph: Graph = build(services, InMemorySaver())
    try:
        yield Recorded(models, policies, store, recorder, graph, services, reviews, database)  # type: ignore[arg-type]
    finally:
        await recorder.close()
