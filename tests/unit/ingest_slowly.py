"""Run by a test in a process of its own, to be killed: an ingest whose embedder takes its time.

Arguments: address of the database, tenant, folder, seconds a text.
"""

import asyncio
import hashlib
import sys
from collections.abc import Sequence

import numpy as np

from fiel.infra.corpus.ingest import ingest
from fiel.infra.database.connect import Database
from fiel.tools.embed import Vector
from fiel.tools.principal import local_administrator


class Slow:
    """A vector a text, after a while."""

    version = "slow:1"
    dimensions = 8

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    async def query(self, text: str) -> Vector:
        return (await self.passages([text]))[0]

    async def passages(self, texts: Sequence[str]) -> list[Vector]:
        await asyncio.sleep(self.seconds * len(texts))
        raw = [np.frombuffer(hashlib.sha256(text.encode()).digest()[:8], np.uint8).astype(np.float32) for text in texts]
        return [(vector + 1) / np.linalg.norm(vector + 1) for vector in raw]


async def main(url: str, tenant: str, folder: str, seconds: float) -> None:
    async with Database(url) as database:
        report = await ingest(
            database, Slow(seconds), [folder], collection="c", principal=local_administrator(tenant), allow=["everyone"]
        )
    sys.stdout.write(f"{report.added} {report.updated} {report.unchanged} {report.embedded} {report.reused}\n")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4])))
