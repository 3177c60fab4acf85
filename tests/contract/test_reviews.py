"""The contract of reviews: in memory, and in PostgreSQL."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID, uuid4

import pytest

from fiel.infra.callers import KEY, RUN
from fiel.infra.database.connect import Database
from fiel.infra.ledger.keys import Cipher, key_of
from fiel.infra.runs.names import place
from fiel.infra.runs.reviews import STATUS, KeptReviews
from fiel.infra.runs.rows import run
from fiel.infra.runs.sealed import Sealer
from fiel.tools.principal import Principal
from fiel.tools.review import Case, MemoryReviews, Nobody, Reviews, Ruling
from fiel.tools.sql import load
from tests.conftest import Urls

ANA = Principal("acme", "ana", frozenset(), frozenset({"reader"}))
RUN_ROW = """
WITH thread AS (
    INSERT INTO fiel.threads (tenant, owner, thread_id) VALUES (%(tenant)s, %(owner)s, %(thread)s)
    RETURNING tenant, owner, thread_id
)
INSERT INTO fiel.thread_runs (run_id, tenant, owner, thread_id, assistant_id, graph_id, kwargs, temporary)
SELECT %(run)s, tenant, owner, thread_id, gen_random_uuid(), 'answer', '', %(temporary)s FROM thread
"""


@dataclass
class Place:
    """An adapter, a run that may ask, and a way to decide."""

    reviews: Reviews
    decide: Callable[[str, Ruling], Awaitable[None]]
    run: str
    temporary: str = ""

    def config(self, run: str = "", who: Principal = ANA) -> dict[str, Any]:
        return {"configurable": {KEY: who, RUN: run or self.run}}

    @property
    def case(self) -> Case:
        dossier = {"question": "¿Qué?", "draft": {}, "parts": ["¿Qué?"], "verdicts": []}
        return Case(self.run, "input", "a" * 64, "topic", "default", "docs", "es", dossier)


async def in_memory(urls: Urls) -> AsyncIterator[Place]:
    reviews = MemoryReviews()

    async def decide(review: str, ruling: Ruling) -> None:
        reviews.decide(review, ruling)

    yield Place(reviews, decide, str(uuid4()))


async def in_postgres(urls: Urls) -> AsyncIterator[Place]:
    sealer, sql, runs = Sealer(Cipher(key_of(b"k" * 32))), load("fiel.infra.runs", "reviews.sql"), (uuid4(), uuid4())
    async with Database(urls.runtime, size=2) as database:
        async with database.acting(ANA) as connection:
            for one, temporary in zip(runs, (False, True), strict=True):
                row = {"tenant": ANA.tenant, "owner": ANA.id, "thread": uuid4(), "run": one, "temporary": temporary}
                await connection.execute(RUN_ROW, row)

        async def decide(review: str, ruling: Ruling) -> None:
            told = sealer.seal_json(
                "ruling", place(ANA, UUID(review)), {"comment": ruling.comment, "text": ruling.text}
            )
            values = {"status": STATUS[ruling.decision], "by": ruling.by, "why": ruling.why, "ruling": told}
            async with database.acting(Principal("acme", "rita")) as connection:
                await run(connection, sql["decide"], values | {"tenant": "acme", "review_id": UUID(review)})

        yield Place(KeptReviews(database, sealer, 1.0), decide, str(runs[0]), str(runs[1]))


@pytest.fixture(params=[in_memory, in_postgres])
async def at(request: pytest.FixtureRequest, shared_urls: Urls) -> AsyncIterator[Place]:
    async for made in request.param(shared_urls):
        yield made


async def test_who_asks_twice_asks_the_same(at: Place) -> None:
    review = await at.reviews.ask(at.config(), at.case)
    assert review is not None
    assert await at.reviews.ask(at.config(), at.case) == review
    assert await at.reviews.ask(at.config(), replace(at.case, subject="b" * 64)) != review


async def test_a_bundle_that_names_nobody_asks_nobody(at: Place) -> None:
    assert await at.reviews.ask(at.config(), replace(at.case, roles=frozenset())) is None
    assert await at.reviews.ask(at.config(), replace(at.case, roles=frozenset({"curator"}))) is not None


async def test_nothing_is_decided_until_somebody_decides(at: Place) -> None:
    review = await at.reviews.ask(at.config(), at.case)
    assert review is not None
    assert await at.reviews.ruling(ANA, review) is None
    said = Ruling(at.case.subject, "edit", "rita", "", "fine", "well", "Así [1].")
    await at.decide(review, said)
    await at.decide(review, replace(said, decision="reject", text=""))
    found = await at.reviews.ruling(ANA, review)
    assert found is not None
    assert replace(found, at="") == said


async def test_another_caller_waits_for_nothing(at: Place) -> None:
    review = await at.reviews.ask(at.config(), at.case)
    assert review is not None
    await at.decide(review, Ruling(at.case.subject, "approve", "rita"))
    for other in (Principal("acme", "bob"), Principal("other", "ana")):
        assert await at.reviews.ruling(other, review) is None
    assert await at.reviews.ruling(ANA, str(uuid4())) is None


async def test_nobody_is_asked_without_a_run_that_lasts(shared_urls: Urls) -> None:
    async for at in in_postgres(shared_urls):
        assert await at.reviews.ask({"configurable": {KEY: ANA}}, at.case) is None
        assert await at.reviews.ask(at.config(str(uuid4())), at.case) is None
        assert await at.reviews.ask(at.config(at.temporary), at.case) is None
        assert await at.reviews.ask(at.config(who=Principal("acme", "bob")), at.case) is None
        assert await Nobody().ask(at.config(), at.case) is None
