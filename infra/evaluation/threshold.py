"""Choosing the threshold of a score on labelled pairs: as low as the allowed share of false *yes* permits."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from fiel.infra.evaluation.statistics import auc, wilson


@dataclass(frozen=True, slots=True)
class Rate:
    """A share with its sample size and its 95 % interval (Wilson 1927)."""

    hits: int
    of: int

    @property
    def value(self) -> float:
        return self.hits / self.of if self.of else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        return wilson(self.hits, self.of)

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.value:.3f} [{low:.3f}, {high:.3f}] n={self.of}"


@dataclass(frozen=True, slots=True)
class Chosen:
    """A threshold and what it does on the pairs that it was chosen on."""

    threshold: float
    true_yes: Rate
    """Pairs that deserve a yes and get it."""
    false_yes: Rate
    """Pairs that deserve a no and get a yes."""
    auc: float


def choose(scored: Sequence[tuple[float, bool]], *, false_yes: float = 0.05) -> Chosen:
    """The least threshold at which at most `false_yes` of the pairs labelled False pass.

    It lies midway between the scores around it, so that it does not stand on a pair, and within (0, 1): where too many
    wrong pairs score 1 there is no such threshold, which the returned share then shows. Raises ValueError where one of
    the two labels is missing.
    """
    right = sorted(score for score, label in scored if label)
    wrong = sorted((score for score, label in scored if not label), reverse=True)
    if not right or not wrong:
        raise ValueError("calibration needs pairs of both kinds")
    allowed = math.floor(false_yes * len(wrong))
    above = wrong[allowed] if allowed < len(wrong) else 0.0
    higher = min((score for score, _ in scored if score > above), default=1.0)
    middle = (above + higher) / 2
    threshold = min(max(middle if middle > above else higher, 1e-9), 1 - 1e-9)
    return Chosen(
        threshold=threshold,
        true_yes=Rate(sum(score >= threshold for score in right), len(right)),
        false_yes=Rate(sum(score >= threshold for score in wrong), len(wrong)),
        auc=auc(right, wrong),
    )
