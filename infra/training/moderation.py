"""Trains the moderation heads and writes them with their model card: `python -m fiel.infra.training.moderation`.

Data: the sets of `../shared/data/safety` and `qa`, and the Spanish templates in `data/hate-es.json`. All figures of the
card come from predictions on rows that the head in question was not fitted on: five folds, in which all sentences of a
template stand on one side.
"""

import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fiel.infra.training.vectors import embedded

DATA = Path("../shared/data")
TARGET = Path("tools/guard")
SCALE = 8.0
STRENGTH = 0.03
"""C of the logistic regressions: chosen among .01 to 10 by the mean AUROC over categories."""
FOLDS = 5
HEADS: dict[str, tuple[str, ...]] = {
    "hate/en": ("H", "H2"),
    "hate/romance": ("H", "H2"),
    "harassment": ("HR",),
    "self_harm": ("SH",),
    "sexual": ("S", "S3"),
    "minors": ("S3",),
    "violence": ("V", "V2"),
}
"""Head to the labels of moderation.openai that make a row positive."""


@dataclass(frozen=True, slots=True)
class Row:
    """One labelled text."""

    source: str
    text: str
    labels: dict[str, int]
    group: str
    """Rows of a group are never split over folds."""


def rows(data: Path = DATA) -> list[Row]:
    """All rows there are, in a fixed order."""
    found = [Row("openai", one["text"], one["labels"], f"o{i}") for i, one in _lines(data, "safety/moderation.openai")]
    for i, one in _lines(data, "safety/moderation.hatecheck-portuguese"):
        found.append(Row("hatecheck-pt", one["text"], {"H": one["label"]}, f"p{i // 12}"))
    for name in ("squad-en", "xquad-es"):
        for i, one in _lines(data, f"qa/{name}.questions"):
            if i % 9 == 0:
                found.append(Row(name, one["question"], {}, f"{name}{i}"))
    return found + _spanish()


def _lines(data: Path, name: str) -> list[tuple[int, Any]]:
    with (data / f"{name}.jsonl").open(encoding="utf-8") as file:
        return [(number, json.loads(line)) for number, line in enumerate(file)]


def _spanish() -> list[Row]:
    given = json.loads(files("fiel.infra.training").joinpath("data", "hate-es.json").read_text(encoding="utf-8"))
    found = []
    for kind, label in (("hateful", 1), ("benign", 0)):
        for number, template in enumerate(given[kind]):
            for group in given["groups"]:
                text = template.replace("{g}", group)
                found.append(Row("templates-es", text[0].upper() + text[1:], {"H": label}, f"{kind}{number}"))
    for number, text in enumerate(given["others_benign"]):
        found.append(Row("templates-es", text, {"H": 0}, f"other{number}"))
    return found


def label(row: Row, head: str) -> int | None:
    """1 or 0; None where the row says nothing about the head."""
    if row.source in ("squad-en", "xquad-es"):
        return 0 if head != "hate/en" else None
    if head == "hate/romance" and (row.source != "openai" or "H" not in row.labels):
        # A text of another harm, whose hate nobody has looked at, is harmless to this head.
        return row.labels.get("H", 0 if any(row.labels.values()) else None)
    if row.source != "openai":
        return None
    given = [row.labels[name] for name in HEADS[head] if name in row.labels]
    return max(given) if given else None


@dataclass(frozen=True, slots=True)
class Head:
    """One fitted head, and how it did on rows that it had not seen."""

    name: str
    weights: npt.NDArray[np.float32]
    bias: float
    slope: float
    shift: float
    positives: int
    negatives: int
    auroc: float
    interval: tuple[float, float]
    unseen: npt.NDArray[np.float64]
    """Calibrated chance of each row by the folds; NaN where the row was not among them."""


def fit(name: str, vectors: npt.NDArray[np.float32], labels: Sequence[int | None], groups: Sequence[str]) -> Head:
    """Fit on all rows that have a label; figures from grouped folds."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedGroupKFold

    index = np.array([place for place, one in enumerate(labels) if one is not None])
    truth = np.array([labels[place] for place in index])
    place_groups = np.array([groups[place] for place in index])

    def model() -> Any:
        return LogisticRegression(C=STRENGTH, class_weight="balanced", max_iter=2000)

    scores = np.full(len(index), np.nan)
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0)
    for train, test in folds.split(index, truth, place_groups):
        fitted = model().fit(vectors[index[train]], truth[train])
        scores[test] = fitted.decision_function(vectors[index[test]])
    calibrated = LogisticRegression(C=1e6).fit(scores[:, None], truth)
    slope, shift = float(calibrated.coef_[0, 0]), float(calibrated.intercept_[0])
    unseen = np.full(len(labels), np.nan)
    unseen[index] = 1 / (1 + np.exp(-(slope * scores + shift)))
    whole = model().fit(vectors[index], truth)
    return Head(
        name, whole.coef_[0].astype(np.float32), float(whole.intercept_[0]), slope, shift,
        int(truth.sum()), int((truth == 0).sum()), float(roc_auc_score(truth, scores)),
        _interval(truth, scores), unseen,
    )  # fmt: skip


def _interval(truth: npt.NDArray[Any], scores: npt.NDArray[Any], rounds: int = 500) -> tuple[float, float]:
    """95 % interval of the AUROC by bootstrap over rows."""
    from sklearn.metrics import roc_auc_score

    random = np.random.default_rng(0)
    found: list[float] = []
    while len(found) < rounds:
        chosen = random.integers(0, len(truth), len(truth))
        if 0 < truth[chosen].sum() < len(chosen):
            found.append(float(roc_auc_score(truth[chosen], scores[chosen])))
    low, high = np.quantile(found, (0.025, 0.975))
    return float(low), float(high)


def train(data: Path = DATA) -> tuple[list[Row], npt.NDArray[np.float32], list[Head]]:
    """Rows, the mean of their vectors, and the heads."""
    found = rows(data)
    vectors = embedded([row.text for row in found])
    mean = vectors.mean(axis=0)
    centred = np.asarray((vectors - mean) * SCALE, dtype=np.float32)
    groups = [row.group for row in found]
    return found, mean, [fit(name, centred, [label(row, name) for row in found], groups) for name in HEADS]


def write(mean: npt.NDArray[np.float32], heads: Sequence[Head], target: Path = TARGET) -> str:
    """The weights; returns their SHA-256."""
    file = target / "heads.npz"
    np.savez(
        file,
        names=np.array([head.name for head in heads]),
        mean=mean.astype(np.float32),
        scale=np.array([SCALE], dtype=np.float32),
        weights=np.stack([head.weights for head in heads]),
        bias=np.array([head.bias for head in heads], dtype=np.float32),
        slope=np.array([head.slope for head in heads], dtype=np.float32),
        shift=np.array([head.shift for head in heads], dtype=np.float32),
    )
    return hashlib.sha256(file.read_bytes()).hexdigest()


CARD = """# The moderation heads

One logistic regression a category on the sentence vector of the built-in embedder (multilingual-e5-small, 384 numbers).
They read questions. `python -m fiel.infra.training.moderation` trains them again and writes this page.

- Weights: `heads.npz`, SHA-256 `{sha}`.
- Data: moderation.openai (MIT), HateCheck Portuguese (CC BY 4.0), questions of SQuAD 2.0 and XQuAD (CC BY-SA 4.0) as
  harmless text, and Spanish templates written for fiel (Apache-2.0).
- Figures: on rows that a head was not fitted on, in {folds} folds; sentences of one template stay together. AUROC with
  its 95 % interval by bootstrap; recall and false alarms at the thresholds of the bundle `default`.

| head | harmful | harmless | AUROC | 95 % | recall at {flag} | false alarms at {flag} | recall at {block} | false alarms at {block} |
|---|---|---|---|---|---|---|---|---|
{table}

Hate in Spanish, from the head that saw Portuguese and other Spanish templates: AUROC {spanish:.3f} ({spanish_n} sentences).
Harmless questions of SQuAD 2.0 and XQuAD that any head of theirs would flag: {flagged} of {harmless}.

The heads are weak instruments: they know topics better than intentions, and much that is harmful they miss. Where
moderation matters, name a guard model in `FIEL_GUARD`.
"""  # noqa: E501 - a table's row cannot be broken
FLAG, BLOCK = 0.6, 0.99
"""Thresholds of the bundle `default`."""


def card(found: Sequence[Row], heads: Sequence[Head], sha: str) -> str:
    """The model card."""
    lines = []
    for head in heads:
        truth = np.array([label(row, head.name) == 1 for row in found])
        known = ~np.isnan(head.unseen)
        parts = [f"{head.auroc:.3f}", f"{head.interval[0]:.3f}–{head.interval[1]:.3f}"]
        for threshold in (FLAG, BLOCK):
            over = head.unseen >= threshold
            parts += [f"{over[known & truth].mean():.3f}", f"{over[known & ~truth].mean():.3f}"]
        lines.append(f"| {head.name} | {head.positives} | {head.negatives} | {' | '.join(parts)} |")
    asked = np.array([row.source in ("squad-en", "xquad-es") for row in found])
    flagged = np.zeros(len(found), dtype=bool)
    for head in heads:
        flagged |= np.nan_to_num(head.unseen) >= FLAG
    spanish = np.array([row.source == "templates-es" for row in found])
    return CARD.format(
        sha=sha, folds=FOLDS, flag=FLAG, block=BLOCK, table="\n".join(lines),
        spanish=_auroc(heads, found, spanish), spanish_n=int(spanish.sum()),
        flagged=int((flagged & asked).sum()), harmless=int(asked.sum()),
    )  # fmt: skip


def _auroc(heads: Sequence[Head], found: Sequence[Row], which: npt.NDArray[np.bool_]) -> float:
    from sklearn.metrics import roc_auc_score

    head = next(one for one in heads if one.name == "hate/romance")
    truth = [label(row, head.name) for row, chosen in zip(found, which, strict=True) if chosen]
    return float(roc_auc_score(truth, head.unseen[which]))


def main() -> int:
    """Train, write, print the card."""
    if not DATA.is_dir():
        print(f"there is no data at {DATA}", file=sys.stderr)
        return 2
    found, mean, heads = train()
    text = card(found, heads, write(mean, heads))
    (TARGET / "heads.md").write_text(text, encoding="utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
