"""Means with 95 % intervals that hold for other subjects or styles and for other prompts.

Pictures of one subject are alike, and so are those of one prompt: intervals over pictures alone would be too narrow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm, rankdata, t

__all__ = ["DRAWS", "SEED", "Interval", "interval", "placements"]

DRAWS, SEED = 10_000, 0
_LEVEL = 0.95
_AT_ONCE = 1 << 22
"""Numbers that are drawn at once, so that memory stays small."""


@dataclass(frozen=True)
class Interval:
    """A mean, and where the mean of other subjects and prompts may lie."""

    mean: float
    low: float | None
    """None where only one subject and one prompt were seen: nothing is known of others."""
    high: float | None
    count: int
    """Pictures."""

    def holds(self, value: float) -> bool:
        """Whether the interval contains a value; one without bounds contains all."""
        return self.low is None or self.high is None or self.low <= value <= self.high


def interval(
    values: Sequence[float] | np.ndarray,
    first: Sequence[object],
    second: Sequence[object],
    bounds: tuple[float, float] = (-np.inf, np.inf),
    draws: int = DRAWS,
    seed: int = SEED,
) -> Interval:
    """Return the mean and its 95 % interval over two crossed units, such as subjects and prompts.

    Subjects are drawn anew with replacement, and prompts, and both deviations from the mean are added. Their spread is
    brought to the two-way cluster-robust variance, the sum of both less that of single cells and never less than one
    of them (Cameron, Gelbach and Miller 2011, "Robust Inference With Multiway Clustering", eq. 2.12; MacKinnon, Nielsen
    and Webb 2021, "Wild Bootstrap and Asymptotic Inference With Multiway Clustering", sect. 3): drawing both at once
    would count the noise of single pictures three times (Owen 2007, "The pigeonhole bootstrap", theorem 3). For few
    units the percentiles are widened as Student's t is wider than the normal distribution (Hesterberg 2015, "What
    Teachers Should Know About the Bootstrap", sect. 3.3), with Satterthwaite's degrees of freedom.

    Args:
        values: one for each picture, `n`.
        first: the picture's subject or style, `n`.
        second: its prompt, `n`.
        bounds: between which the mean can lie at all.
        draws: how many.
        seed: of the draws.
    """
    numbers = np.asarray(values, float)
    units = [unit for unit in (_numbered(first), _numbered(second)) if unit.max() > 0]
    mean, count = float(numbers.mean()), len(numbers)
    cells = _numbered(list(zip(*units, strict=True))) if len(units) > 1 else None
    if cells is not None and cells.max() == units[1].max():
        units = units[:1]  # each prompt belongs to one subject: who draws subjects draws prompts with them
    elif cells is not None and cells.max() == units[0].max():
        units = units[1:]
    if not units:
        return Interval(mean, None, None, count)
    rng = np.random.default_rng(seed)
    deviations = np.zeros(draws)
    variances, freedom = [], []
    for unit in units:
        deviations += _drawn(numbers - mean, unit, draws, rng)
        freedom.append(int(unit.max()))
        variances.append(_variance(numbers - mean, unit) * (1 + 1 / freedom[-1]))
    counted_twice = _variance(numbers - mean, cells) if cells is not None and len(units) > 1 else 0.0
    variance = max(sum(variances) - counted_twice, *variances)
    spread = deviations.std()
    if spread == 0 or variance == 0:
        return Interval(mean, mean, mean, count)
    degrees = sum(variances) ** 2 / sum(v**2 / f for v, f in zip(variances, freedom, strict=True))
    tail = (1 + _LEVEL) / 2
    scale = np.sqrt(variance) / spread * t.ppf(tail, degrees) / norm.ppf(tail)
    low, high = np.clip(mean + scale * np.quantile(deviations, [1 - tail, tail]), *bounds)
    return Interval(mean, float(low), float(high), count)


def placements(right: Sequence[float] | np.ndarray, wrong: Sequence[float] | np.ndarray) -> np.ndarray:
    """Return a number for each pair, `n`, whose mean is the area under the ROC curve and whose spread is that of it.

    Source: DeLong, DeLong and Clarke-Pearson 1988, "Comparing the areas under two or more correlated receiver operating
    characteristic curves" (placement values); by units as in Obuchowski 1997, "Nonparametric analysis of clustered ROC
    curve data". Ties count half.
    """
    a, b = np.asarray(right, float), np.asarray(wrong, float)
    n = len(a)
    ranks = rankdata(np.concatenate([a, b]))
    below = (ranks[:n] - rankdata(a)) / n  # of the wrong ones, for each right one
    above = 1 - (ranks[n:] - rankdata(b)) / n  # of the right ones, for each wrong one
    return below + above - below.mean()


def _numbered(labels: Sequence[object]) -> np.ndarray:
    numbers: dict[object, int] = {}
    return np.array([numbers.setdefault(label, len(numbers)) for label in labels], np.int64)


def _sums(values: np.ndarray, unit: np.ndarray) -> np.ndarray:
    return np.bincount(unit, values)


def _variance(residuals: np.ndarray, unit: np.ndarray) -> float:
    """Return the variance of the mean where pictures of one level are alike."""
    return float((_sums(residuals, unit) ** 2).sum()) / len(residuals) ** 2


def _drawn(residuals: np.ndarray, unit: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
    """Return how far the mean moves when the levels of a unit are drawn with replacement, once for each draw."""
    sums, counts = _sums(residuals, unit), np.bincount(unit)
    levels = len(sums)
    equal = bool((counts == counts[0]).all())
    found = []
    at_once = max(1, _AT_ONCE // levels)
    for start in range(0, draws, at_once):
        drawn = rng.integers(0, levels, (min(at_once, draws - start), levels), dtype=np.int32)
        found.append(sums[drawn].sum(1) / (counts[0] * levels if equal else counts[drawn].sum(1)))
    return np.concatenate(found)
