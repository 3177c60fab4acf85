"""A collection of a given number of chunks, ingested the ordinary way, from words that are drawn as in real text."""

import random
from pathlib import Path

from fiel.infra.bench.instant import InstantEmbedder
from fiel.infra.corpus.ingest import ingest
from fiel.infra.database.connect import Database
from fiel.tools.principal import local_administrator

COLLECTION = "bench"
PER_FILE = 20
SENTENCES = 6


def write(folder: Path, chunks: int) -> None:
    """Markdown files of `PER_FILE` sections, each of which becomes one chunk of about 500 characters."""
    folder.mkdir(parents=True, exist_ok=True)
    draw = _Draw(1)
    for number in range(chunks // PER_FILE):
        sections = [
            f"## Section {number}-{section}\n\n{' '.join(draw.sentence(12) for _ in range(SENTENCES))}\n"
            for section in range(PER_FILE)
        ]
        (folder / f"{number:05d}.md").write_text(f"# File {number}\n\n" + "\n".join(sections), encoding="utf-8")


_SYLLABLES = [c + v + e for c in "bcdfglmnprstv" for v in "aeiou" for e in ("", "n", "r")]


class _Draw:
    """Draws made-up words whose frequency falls with their rank, as in real text (Zipf)."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 - no secret: the same words every time
        self._words = [first + second for first in _SYLLABLES for second in _SYLLABLES]
        self._weights = [1 / (rank + 2) for rank in range(len(self._words))]

    def words(self, count: int) -> str:
        return " ".join(self._random.choices(self._words, self._weights, k=count))

    def sentence(self, count: int) -> str:
        return f"{self.words(count).capitalize()}."


def questions(count: int) -> list[str]:
    """Questions of eight words, drawn like the text."""
    draw = _Draw(2)
    return [f"What is {draw.words(6)}?" for _ in range(count)]


async def fill(database: Database, folder: Path, chunks: int) -> int:
    """Ingest `chunks` chunks; how many there are."""
    write(folder, chunks)
    curator = local_administrator()
    report = await ingest(
        database, InstantEmbedder(), [folder], collection=COLLECTION, principal=curator, allow=["everyone"]
    )
    return report.embedded + report.reused
