"""How long a grant takes, and its end: on a collection and on a document of it.

    python -m fiel.infra.bench.grants [chunks]

Chunks of random words and vectors in an embedded server of its own, ten to a document. Each time is that of one change,
committed and recorded; whom it concerns searches after it, so a change that does not count at once fails.
"""

import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import numpy as np
import uvloop

from fiel.infra.bench.search import DIMENSIONS, MODEL, Corpus, fill
from fiel.infra.corpus.bulk import Bulk
from fiel.infra.corpus.grants import Changed, Grants
from fiel.infra.database.connect import Database
from fiel.infra.database.embedded import Embedded
from fiel.infra.database.migrate import migrate
from fiel.tools.errors import CollectionNotFound
from fiel.tools.principal import Principal, local_administrator
from fiel.tools.search import SearchRequest
from fiel.tools.search.postgres import PostgresSearch

TIMES = 5
READER = Principal("default", "bench", frozenset({"guests"}), frozenset({"reader"}))


async def bench(database: Database, chunks: int) -> None:
    """Fill, change, print."""
    corpus = Corpus()
    await fill(database, chunks, corpus)
    document = list(corpus.document())
    await Bulk(database.acting, local_administrator()).put("c", document)
    print(f"{'grant on':>12} {'chunks':>8} {'given ms':>9} {'ended ms':>9}   (median of {TIMES})")
    for what, target in (("collection", "c"), ("document", document[0].document)):
        given, ended, moved = [], [], 0
        for _ in range(TIMES):
            taken, done = await _timed(database, corpus, Grants(database).grant, target, finds=True)
            given.append(taken)
            moved = done.chunks
            ended.append((await _timed(database, corpus, Grants(database).revoke, target, finds=False))[0])
        print(f"{what:>12} {moved:>8} {np.median(given) * 1e3:>9.1f} {np.median(ended) * 1e3:>9.1f}", flush=True)


async def _timed(
    database: Database,
    corpus: Corpus,
    change: Callable[[Principal, str, str], Awaitable[Changed]],
    target: str,
    *,
    finds: bool,
) -> tuple[float, Changed]:
    """Seconds that `change` takes. Raises RuntimeError unless a guest then finds something, or nothing."""
    begun = time.perf_counter()
    done = await change(local_administrator(), target, "group:guests")
    taken = time.perf_counter() - begun
    search = PostgresSearch(database.read, model=MODEL, dimensions=DIMENSIONS)
    try:
        (found,) = await search.search(READER, [SearchRequest("c", corpus.words(6), corpus.vector(), "en")])
    except CollectionNotFound:
        found = []
    if bool(found) != finds:
        raise RuntimeError(f"{len(found)} passages are found after the change of {target}")
    return taken, done


def main() -> None:
    """Entry point."""
    chunks = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with tempfile.TemporaryDirectory(prefix="fiel-bench-") as folder, Embedded(Path(folder)) as server:
        migrate(server.owner_url)

        async def run() -> None:
            async with Database(server.url) as database:
                await bench(database, chunks)

        uvloop.run(run())


if __name__ == "__main__":
    main()
