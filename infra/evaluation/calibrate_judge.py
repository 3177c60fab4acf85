"""`python -m fiel.infra.evaluation.calibrate_judge`: thresholds for the model that `FIEL_JUDGE` names.

Small models say yes far too often, each in its own measure, so a threshold holds for one model and one version of the
prompts. Pairs are made from questions with known answers: a claim with the right answer against its own paragraph must
be supported; the same claim with another answer of that paragraph, or against a paragraph of another article, must not.
A sentence that holds the answer must count as answering, any other must not.
"""

import argparse
import asyncio
import json
import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fiel.infra import models
from fiel.infra.evaluation.threshold import Chosen, choose
from fiel.infra.settings import load
from fiel.tools.errors import FielError, SettingsError, UsageError
from fiel.tools.judge.model import ModelJudge
from fiel.tools.text import sentences

CLAIMS = {
    "en": 'The answer to the question "{question}" is: {answer}.',
    "es": "La respuesta a la pregunta «{question}» es: {answer}.",
}


@dataclass(frozen=True, slots=True)
class Case:
    """One pair: what is judged, and what would be right."""

    kind: str
    """`support` (first: source, second: claim) or `answers` (first: question, second: sentence)."""
    first: str
    second: str
    right: bool


@dataclass(frozen=True, slots=True)
class Item:
    """An answerable question with its paragraph, another answer from the paragraph, and a foreign paragraph."""

    question: str
    answer: str
    paragraph: str
    other_answer: str
    foreign: str
    language: str


def _rows(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


def items(folder: Path, name: str, language: str, count: int, seed: int) -> list[Item]:
    """`count` items of the set `name`, drawn by `seed`. Raises UsageError where the data are missing."""
    try:
        documents = {row["id"]: row for row in _rows(folder / f"{name}.docs.jsonl")}
        asked = [row for row in _rows(folder / f"{name}.questions.jsonl") if row["answerable"]]
    except OSError as error:
        raise UsageError("the questions for the calibration are missing", where=str(folder)) from error
    draw = random.Random(seed)  # noqa: S311 - a sample, repeatable on purpose
    by_document: dict[str, list[str]] = {}
    for row in asked:
        by_document.setdefault(row["document"], []).append(row["answers"][0])
    found = []
    for row in draw.sample(asked, len(asked)):
        document = documents[row["document"]]
        right = {answer.casefold() for answer in row["answers"]}
        others = [one for one in by_document[row["document"]] if one.casefold() not in right]
        foreign = [one["text"] for one in documents.values() if one["title"] != document["title"]]
        if others and foreign:
            found.append(
                Item(
                    row["question"],
                    row["answers"][0],
                    document["text"],
                    draw.choice(others),
                    draw.choice(foreign),
                    language,
                )
            )
        if len(found) == count:
            break
    return found


def cases(item: Item) -> Iterator[Case]:
    """The pairs of one item: support right, wrong answer, wrong article; answers right, wrong sentence."""
    claim = CLAIMS[item.language]
    right = claim.format(question=item.question, answer=item.answer)
    wrong = claim.format(question=item.question, answer=item.other_answer)
    yield Case("support", item.paragraph, right, True)
    yield Case("support", item.paragraph, wrong, False)
    yield Case("support", item.foreign, right, False)
    parts = [span.of(item.paragraph) for span in sentences(item.paragraph)]
    holding = [part for part in parts if item.answer in part]
    others = [part for part in parts if item.answer not in part]
    if holding and others:
        yield Case("answers", item.question, holding[0], True)
        yield Case("answers", item.question, others[0], False)


async def ask(judge: ModelJudge, all_cases: Sequence[Case]) -> list[tuple[Case, float]]:
    """P(yes) of every case. Raises SettingsError where the model gives no probabilities."""
    scored = []
    for number, case in enumerate(all_cases, start=1):
        call = judge.support if case.kind == "support" else judge.answers
        value = await call(case.first, case.second)
        if value is None:
            raise SettingsError("the judge's model gives no probabilities; only its labels can be used")
        scored.append((case, value))
        if number % 20 == 0:
            print(f"{number} of {len(all_cases)}", file=sys.stderr)
    return scored


def report(judge: ModelJudge, scored: Sequence[tuple[Case, float]], false_yes: float) -> dict[str, Any]:
    """The chosen thresholds, what they do on these pairs, and the setting to write."""
    chosen = {
        kind: choose([(value, case.right) for case, value in scored if case.kind == kind], false_yes=false_yes)
        for kind in ("support", "answers")
    }
    return {
        "judge": judge.version,
        "FIEL_JUDGE_THRESHOLDS": f"{chosen['support'].threshold:.4f}/{chosen['answers'].threshold:.4f}",
        "fit": all(one.false_yes.value <= false_yes and one.auc > 0.7 for one in chosen.values()),
        **{kind: _shown(one) for kind, one in chosen.items()},
    }


def _shown(chosen: Chosen) -> dict[str, str]:
    return {
        "threshold": f"{chosen.threshold:.4f}",
        "true_yes": str(chosen.true_yes),
        "false_yes": str(chosen.false_yes),
        "auc": f"{chosen.auc:.3f}",
    }


async def calibrate(folder: Path, count: int, false_yes: float, seed: int) -> dict[str, Any]:
    """Ask the model of the settings about `count` items of each language."""
    models.quiet_threads()
    judge = ModelJudge(models.judging_chat(load()))
    drawn = [
        item
        for name, language in (("squad-en", "en"), ("xquad-es", "es"))
        for item in items(folder, name, language, count, seed)
    ]
    return report(judge, await ask(judge, [case for item in drawn for case in cases(item)]), false_yes)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="calibrate_judge", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data/qa"), help="folder with questions")
    parser.add_argument("--count", type=int, default=40, help="questions of each language")
    parser.add_argument("--false-yes", type=float, default=0.05, help="allowed share of false yes")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(arguments)
    try:
        found = asyncio.run(calibrate(given.data, given.count, given.false_yes, given.seed))
    except FielError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    print(json.dumps(found, indent=2, ensure_ascii=False))
    return 0 if found["fit"] else 1


if __name__ == "__main__":
    sys.exit(main())
