"""Fits what the check `topic_likeness` measures by: `python -m fiel.infra.training.topics`.

Topics are the articles of XQuAD, whose questions stand there in English and in Spanish, and ten of fiel's own with
everyday questions. Every other topic of a kind is fitted to; the rest is left to `fiel.infra.evaluation.topics`.
"""

import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
import numpy.typing as npt
import orjson

from fiel.infra.training.vectors import embedded
from fiel.policies.heads import Matrix, file_of
from fiel.policies.likeness import NAME, Likeness
from fiel.tools.errors import UsageError

DATA = Path("../shared/data")
SETS = {"en": "xquad-en", "es": "xquad-es"}
LANGUAGES = (("en", "en"), ("es", "es"), ("en", "es"))
"""Of the examples, and of the questions."""
LEAST = 12
"""Questions that a topic must have in both languages."""
ROUNDS = 5
SHAPES = ((1, 4), (1, 8), (3, 8))
"""Topics in a list, and examples of each."""
WRONG = 0.03
"""Share of questions about other things that reach one half."""

Floats = npt.NDArray[np.float64]
Questions = dict[str, dict[str, list[str]]]
"""Language to topic to questions."""
Topics = dict[str, dict[str, Matrix]]
"""Language to topic to the vectors of its questions, (questions, dimensions) of unit length."""


@dataclass(frozen=True, slots=True)
class Draw:
    """One list of examples, questions about the same topics, and questions about others."""

    examples: Matrix
    same: Matrix
    other: Matrix


def kinds(data: Path = DATA) -> dict[str, Topics]:
    """The topics of each kind, `articles` and `everyday`. Raises UsageError where the sets are missing."""
    own = orjson.loads(files("fiel.infra.training").joinpath("data/topics.json").read_bytes())
    everyday: Questions = {one: {topic: asked[one] for topic, asked in own.items()} for one in SETS}
    articles: Questions = {one: _questions(data, name) for one, name in SETS.items()}
    return {"articles": _vectors(articles), "everyday": _vectors(everyday)}


def _questions(data: Path, name: str) -> dict[str, list[str]]:
    try:
        documents, questions = ((data / f"qa/{name}.{what}.jsonl").read_bytes() for what in ("docs", "questions"))
    except OSError as error:
        raise UsageError(f"the questions are missing: {error.strerror}", where=str(data)) from error
    title = {one["id"]: one["title"] for one in map(orjson.loads, documents.splitlines())}
    found: dict[str, list[str]] = {}
    for one in map(orjson.loads, questions.splitlines()):
        found.setdefault(title[one["document"]], []).append(one["question"])
    return found


def _vectors(asked: Questions) -> Topics:
    both = set.intersection(*({topic for topic, own in asked[one].items() if len(own) >= LEAST} for one in SETS))
    rows = iter(embedded([text for one in SETS for topic in sorted(both) for text in asked[one][topic]]))
    return {one: {topic: np.stack([next(rows) for _ in asked[one][topic]]) for topic in sorted(both)} for one in SETS}


def split(found: Topics) -> tuple[list[str], list[str]]:
    """Names of the topics that are fitted to, and of those that are left out."""
    names = sorted(found["en"])
    return names[::2], names[1::2]


def draws(
    found: Topics, names: Sequence[str], others: Matrix | None, languages: tuple[str, str], shape: tuple[int, int]
) -> Iterator[Draw]:
    """Lists drawn from `names`: in each round every topic stands in at most one list, and no example is asked.

    `others`: questions about other things; None: those of the topics that are not listed.
    """
    (source, target), (topics_each, shots), rng = languages, shape, random.Random(1)  # noqa: S311 - a sample
    for _ in range(ROUNDS):
        order = list(names)
        rng.shuffle(order)
        for begin in range(0, len(order) - topics_each + 1, topics_each):
            listed = order[begin : begin + topics_each]
            examples, same = [], []
            for name in listed:
                chosen = rng.sample(range(min(len(found[one][name]) for one in languages)), shots)
                examples.append(found[source][name][chosen])
                same.append(np.delete(found[target][name], chosen, axis=0))
            rest = others if others is not None else together(found, target, [n for n in names if n not in listed])
            yield Draw(np.vstack(examples), np.vstack(same), rest)


def together(found: Topics, language: str, names: Sequence[str]) -> Matrix:
    """The questions of several topics."""
    return np.vstack([found[language][name] for name in names])


def fit(found: dict[str, Topics]) -> Likeness:
    """The fit to half the topics: a logistic regression on nearness and number of examples, moved to `WRONG`."""
    half = {kind: split(own)[0] for kind, own in found.items()}
    means = {
        (kind, one): together(own, one, half[kind]).mean(axis=0).astype(np.float64)
        for kind, own in found.items()
        for one in SETS
    }
    language = sum(means[kind, "es"] - means[kind, "en"] for kind in found)
    style = sum(means["everyday", one] - means["articles", one] for one in SETS)
    mean, aside = sum(means.values()) / len(means), np.linalg.qr(np.stack([language, style], axis=1))[0].T
    start = Likeness(mean.astype(np.float32), aside.astype(np.float32), 1.0, 0.0, 0.0)
    near, crowd, label, weight = (np.concatenate(column) for column in zip(*_table(start, found), strict=True))
    slope, many, _ = _logistic(np.stack([near, crowd, np.ones_like(near)], axis=1), label, weight)
    moved = near + many / slope * crowd
    middle = float(np.quantile(moved[label == 0], 1 - WRONG))
    return Likeness(start.mean, start.aside, float(slope), middle, float(-many / slope))


def _table(start: Likeness, found: dict[str, Topics]) -> Iterator[tuple[Floats, Floats, Floats, Floats]]:
    """Nearness, logarithm of the number of examples, label and weight of every question of every draw."""
    for own in found.values():
        for languages in LANGUAGES:
            for shape in SHAPES:
                for draw in draws(own, split(own)[0], None, languages, shape):
                    examples = start.turned(draw.examples)
                    for label, rows in ((1.0, draw.same), (0.0, draw.other)):
                        near = (start.turned(rows) @ examples.T).max(axis=1).astype(np.float64)
                        ones = np.ones_like(near)
                        yield near, ones * np.log(len(examples)), ones * label, ones / len(near)


def _logistic(table: Floats, label: Floats, weight: Floats) -> Floats:
    beta = np.zeros(table.shape[1])
    for _ in range(40):
        chance = 1.0 / (1.0 + np.exp(-np.clip(table @ beta, -30, 30)))
        curve = weight * np.maximum(chance * (1 - chance), 1e-6)
        step = table.T @ (weight * (label - chance)) - 1e-6 * beta
        beta = beta + np.linalg.solve((table * curve[:, None]).T @ table + 1e-6 * np.eye(len(beta)), step)
    return beta


def write(made: Likeness, file: Path) -> None:
    """Save the fit without pickles."""
    file.parent.mkdir(parents=True, exist_ok=True)
    scalars = np.array([made.slope, made.middle, made.crowd])
    np.savez(file, mean=made.mean, aside=made.aside, scalars=scalars)


def main() -> None:
    """Fit and write."""
    made = fit(kinds())
    write(made, file_of(NAME))
    print(f"slope {made.slope:.2f}, middle {made.middle:.3f}, crowd {made.crowd:.3f}", file=sys.stderr)


if __name__ == "__main__":
    main()
