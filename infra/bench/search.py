"""How long a search takes and what it misses, by how much of the collection its caller may read.

    python -m fiel.infra.bench.search [chunks] [latent]

Vectors vary in `latent` directions with falling strength, and a little in all others, as those of texts do; words have
natural frequencies. The server is embedded and its own. With `latent` 0 the vectors are random in all directions: then
nothing is near anything, which no embedding model does, and the index misses much. The floor is a caller's transaction
with nothing in it. Times are milliseconds, client included: of a search by words and vector, and of one by vector
alone. The stores of LlamaIndex and LangChain are asked the same over the same chunks (`fiel.infra.bench.peers`).
"""

import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psycopg
import uvloop

from fiel.infra.bench import peers
from fiel.infra.bench.peers import Asked, Question
from fiel.infra.corpus.bulk import Bulk
from fiel.infra.corpus.index import build, drop
from fiel.infra.database.connect import Database
from fiel.infra.database.embedded import Embedded
from fiel.infra.database.migrate import migrate
from fiel.tools.embed import Vector
from fiel.tools.principal import Principal, local_administrator
from fiel.tools.search import SearchRequest
from fiel.tools.search.memory import Stored
from fiel.tools.search.postgres import PostgresSearch

DIMENSIONS = 384
SHARES = {"group-001": 0.001, "group-01": 0.01, "group-10": 0.1, "group-50": 0.5}
"""Share of the chunks that each group reads; administrators read all."""
DOCUMENT = 10
LATENT = 32
NOISE = 0.2
TOGETHER = 200
"""Documents that are written in one transaction."""
MODEL = "random"
TIMES = 200
"""Questions of each caller."""
K = 10


_SIZES = """
SELECT what, pg_size_pretty(pg_relation_size(index::regclass)) FROM (VALUES
    ('vector index', 'fiel.chunks_hnsw_384'), ('vectors by shelf', 'fiel.vectors_pkey'),
    ('words', 'fiel.postings_pkey'), ('words by chunk', 'fiel.words')
) AS named (what, index)
UNION ALL SELECT 'memory of an index build, at most', current_setting('maintenance_work_mem')
"""


@dataclass(frozen=True, slots=True)
class Line:
    """One caller's figures."""

    share: float
    floor: float
    p50: float
    p95: float
    near: float
    """Median of the searches by vector alone."""
    recall: float
    """Share of the ten nearest visible chunks, compared one by one, that are among the ten given for the vector."""


class Corpus:
    """Random chunks and questions, the same for the same seed."""

    def __init__(self, seed: int = 7, latent: int = LATENT) -> None:
        self._rng = np.random.default_rng(seed)
        self._documents = 0
        strength = 1 / np.sqrt(np.arange(1, latent + 1))
        self._directions = self._rng.standard_normal((latent, DIMENSIONS)) * strength[:, None]

    def vector(self) -> Vector:
        drawn = self._rng.standard_normal(DIMENSIONS)
        if len(self._directions):
            drawn = self._rng.standard_normal(len(self._directions)) @ self._directions + NOISE * drawn
        unit: Vector = (drawn / np.linalg.norm(drawn)).astype(np.float32)
        return unit

    def words(self, count: int) -> str:
        """Ranks by Zipf's law without the hundred commonest words, which questions hardly hold once stopped."""
        return " ".join(f"w{rank % 50_000}" for rank in self._rng.zipf(1.15, count) + 100)

    def document(self) -> Iterator[Stored]:
        """Chunks of one document, all open to the same groups."""
        document, version = str(uuid.uuid4()), str(uuid.uuid4())
        acl = frozenset(group for group, share in SHARES.items() if self._documents % round(1 / share) == 0)
        self._documents += 1
        for _ in range(DOCUMENT):
            text = self.words(80)
            yield Stored(document, version, str(uuid.uuid4()), text, self.vector(), acl, language="en", model=MODEL)


async def fill(database: Database, chunks: int, corpus: Corpus) -> float:
    """Chunks written a second, index included."""
    bulk = Bulk(database.acting, local_administrator())
    begun = time.perf_counter()
    for start in range(0, chunks // DOCUMENT, TOGETHER):
        many = min(TOGETHER, chunks // DOCUMENT - start)
        await bulk.put("c", [chunk for _ in range(many) for chunk in corpus.document()])
    return chunks / (time.perf_counter() - begun)


async def ask(database: Database, caller: Principal, share: float, corpus: Corpus) -> Asked:
    """Questions of one caller, with the chunks that are truly nearest."""
    exact = PostgresSearch(database.read, model=MODEL, dimensions=DIMENSIONS, exact=2**31 - 1)
    questions = []
    for _ in range(TIMES):
        text, vector = corpus.words(6), corpus.vector()
        (nearest,) = await exact.search(caller, [SearchRequest("c", "", vector, "en", K)])
        questions.append(Question(text, vector, tuple(passage["chunk"] for passage in nearest)))
    return Asked(caller, share, questions)


async def measure(database: Database, asked: Asked) -> Line:
    """Figures of one caller."""
    search = PostgresSearch(database.read, model=MODEL, dimensions=DIMENSIONS)

    async def timed(question: Question, text: str) -> tuple[float, set[str]]:
        begun = time.perf_counter()
        (found,) = await search.search(asked.caller, [SearchRequest("c", text, question.vector, "en", K)])
        return time.perf_counter() - begun, {passage["chunk"] for passage in found}

    for question in asked.questions[:10]:
        await timed(question, question.text)
    both, near, empty, hits = [], [], [], 0
    for question in asked.questions:
        both.append((await timed(question, question.text))[0])
        taken, found = await timed(question, "")
        near.append(taken)
        hits += len(found & set(question.nearest))
        begun = time.perf_counter()
        async with database.acting(asked.caller) as connection:
            await connection.execute("SELECT 1")
        empty.append(time.perf_counter() - begun)
    p50, p95 = np.quantile(both, (0.5, 0.95)) * 1e3
    recall = hits / max(1, sum(len(question.nearest) for question in asked.questions))
    return Line(
        asked.share, float(np.median(empty)) * 1e3, float(p50), float(p95), float(np.median(near)) * 1e3, recall
    )


async def bench(database: Database, owner: str, chunks: int, latent: int = LATENT) -> None:
    """Fill, measure, print."""
    corpus = Corpus(latent=latent)
    drop(owner, DIMENSIONS)  # bulk first, index then
    written = await fill(database, chunks, corpus)
    begun = time.perf_counter()
    build(owner, DIMENSIONS)
    print(f"{chunks} chunks, written at {written:.0f} a second, indexed in {time.perf_counter() - begun:.0f} s")
    with psycopg.connect(owner, autocommit=True) as connection:
        connection.execute("VACUUM (ANALYZE)")
        for name, size in connection.execute(_SIZES):
            print(f"{name}: {size}")
    callers = {
        share: Principal("default", "bench", frozenset({group}), frozenset({"reader"}))
        for group, share in SHARES.items()
    }
    callers[1.0] = local_administrator()
    asked = [await ask(database, caller, share, corpus) for share, caller in callers.items()]
    print(f"{'visible':>8} {'floor':>7} {'p50':>7} {'p95':>7} {'vector':>7} {'recall@10':>10}")
    for one in asked:
        line = await measure(database, one)
        print(
            f"{line.share:>8.1%} {line.floor:>7.2f} {line.p50:>7.2f} {line.p95:>7.2f} {line.near:>7.2f}"
            f" {line.recall:>10.3f}",
            flush=True,
        )
    if not peers.PYTHON.exists():
        print("LlamaIndex and LangChain are left out: `make .venv-peers/.installed` installs their stores")
        return
    peers.prepare(owner, local_administrator(), DIMENSIONS)
    await peers.compare(owner, DIMENSIONS, asked)


def main() -> None:
    """Entry point."""
    chunks = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    latent = int(sys.argv[2]) if len(sys.argv) > 2 else LATENT
    with tempfile.TemporaryDirectory(prefix="fiel-bench-") as folder, Embedded(Path(folder)) as server:
        migrate(server.owner_url)

        async def run() -> None:
            async with Database(server.url) as database:
                await bench(database, server.owner_url, chunks, latent)

        uvloop.run(run())


if __name__ == "__main__":
    main()
