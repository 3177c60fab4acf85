"""Figures with their uncertainty."""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Z = 1.959964
"""Quantile of the normal distribution for 95 %."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A mean over `n` questions and its 95 % interval."""

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}] n={self.n}"


def share(hits: Sequence[bool]) -> Figure:
    """A share, with Wilson's interval. An empty sample is NaN."""
    n = len(hits)
    if n == 0:
        return Figure(math.nan, math.nan, math.nan, 0)
    return Figure(sum(hits) / n, *wilson(sum(hits), n), n)


def wilson(hits: int, n: int) -> tuple[float, float]:
    """The 95 % interval of the share `hits / n` (Wilson 1927); all of it where `n` is 0."""
    if n == 0:
        return 0.0, 1.0
    p = hits / n
    centre = (p + Z * Z / (2 * n)) / (1 + Z * Z / n)
    half = Z / (1 + Z * Z / n) * math.sqrt(p * (1 - p) / n + Z * Z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def difference(first: Figure, second: Figure) -> Figure:
    """`first - second`, two shares with Wilson's intervals, and its 95 % interval (Newcombe 1998, method 10)."""
    low = math.hypot(first.value - first.low, second.high - second.value)
    high = math.hypot(first.high - first.value, second.value - second.low)
    rise = first.value - second.value
    return Figure(rise, rise - low, rise + high, min(first.n, second.n))


def mean(values: Sequence[float], *, draws: int = 1000, seed: int = 1) -> Figure:
    """A mean, with the percentile interval of a seeded bootstrap."""
    n = len(values)
    if n == 0:
        return Figure(math.nan, math.nan, math.nan, 0)
    source = random.Random(seed)  # noqa: S311  (a bootstrap, no secret)
    means = sorted(sum(source.choices(values, k=n)) / n for _ in range(draws))
    return Figure(sum(values) / n, means[int(0.025 * draws)], means[int(0.975 * draws)], n)


def ndcg(rank: int | None, *, depth: int = 10) -> float:
    """nDCG of one relevant passage at `rank` (1-based; None: not found), cut at `depth`."""
    return 1.0 / math.log2(rank + 1) if rank is not None and rank <= depth else 0.0


def auc(positive: Sequence[float], negative: Sequence[float]) -> float:
    """Probability that a positive scores above a negative (ties count half)."""
    if not positive or not negative:
        return math.nan
    pairs: Callable[[float], float] = lambda score: sum(  # noqa: E731
        1.0 if score > other else 0.5 if score == other else 0.0 for other in negative
    )
    return sum(map(pairs, positive)) / (len(positive) * len(negative))
