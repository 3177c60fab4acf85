"""Figures of the check `topic_likeness` on topics that its fit had not seen: `python -m fiel.infra.evaluation.topics`.

A list of examples is drawn from one or three topics of a kind; the other questions of these topics should be found
alike, and those of the other topics of that kind, and all of the other kind, unlike. Lists are drawn five times over.
"""

from typing import Any

import numpy as np

from fiel.infra.evaluation.policies import auroc
from fiel.infra.evaluation.statistics import share
from fiel.infra.training.topics import LANGUAGES, SHAPES, Topics, draws, kinds, split, together
from fiel.policies.likeness import likeness

POINTS = (0.1, 0.3, 0.5, 0.7, 0.9)


def run() -> list[dict[str, Any]]:
    """A row a kind, shape of list, pair of languages and kind of other questions."""
    found, rows = kinds(), []
    for kind, own in found.items():
        for other, rest in found.items():
            for shape in SHAPES:
                for languages in LANGUAGES:
                    far = None if other == kind else together(rest, languages[1], split(rest)[1])
                    what = {"lists": kind, "others": other, "topics": shape[0], "examples": shape[1]}
                    rows.append({**what, "languages": "→".join(languages), **_figures(own, far, languages, shape)})
    return rows


def _figures(own: Topics, far: Any, languages: tuple[str, str], shape: tuple[int, int]) -> dict[str, Any]:
    """Shares at or above each threshold, and AUROC."""
    fit, same, other = likeness(), [], []
    for draw in draws(own, split(own)[1], far, languages, shape):
        examples = fit.turned(draw.examples)
        same.append(fit.chances(fit.turned(draw.same), examples))
        other.append(fit.chances(fit.turned(draw.other), examples))
    alike, unlike = np.concatenate(same), np.concatenate(other)
    return {
        "auroc": auroc(alike.tolist(), unlike.tolist()),
        "alike": {at: share((alike >= at).tolist()) for at in POINTS},
        "unlike": {at: share((unlike >= at).tolist()) for at in POINTS},
    }


def main() -> None:
    """Print the rows."""
    for row in run():
        print(
            f"\n{row['lists']}, others {row['others']}: {row['topics']} topics of {row['examples']} examples, "
            f"{row['languages']}, AUROC {row['auroc']:.3f}"
        )
        for at in POINTS:
            print(f"  from {at}: alike {row['alike'][at]}, unlike {row['unlike'][at]}")


if __name__ == "__main__":
    main()
