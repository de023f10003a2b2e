"""Means with 95 % intervals that hold for other subjects, other styles and other prompts.

Pictures of one subject are alike, and so are those of one prompt: intervals over pictures alone would be too narrow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import combinations

import numpy as np
from scipy.stats import beta, norm, rankdata, t

__all__ = ["DRAWS", "SEED", "Interval", "interval", "placements"]

DRAWS, SEED = 10_000, 0
_LEVEL = 0.95
_NOTHING = 1e-12
"""Less is rounding alone."""
_AT_ONCE = 1 << 22
"""Numbers that are drawn at once, so that memory stays small."""


@dataclass(frozen=True)
class Interval:
    """A mean, and where the mean of other subjects and prompts may lie."""

    mean: float
    low: float | None
    """None where nothing is known of others: one subject and one prompt, or numbers without any spread."""
    high: float | None
    count: int
    """Pictures."""

    def holds(self, value: float) -> bool:
        """Whether the interval contains a value; one without bounds contains all."""
        return self.low is None or self.high is None or self.low <= value <= self.high


def interval(
    values: Sequence[float] | np.ndarray,
    *over: Sequence[object],
    bounds: tuple[float, float] = (-np.inf, np.inf),
    shares: bool = False,
    draws: int = DRAWS,
    seed: int = SEED,
) -> Interval:
    """Return the mean and its 95 % interval over crossed units, such as subjects, styles and prompts.

    Subjects are drawn anew with replacement, and so are prompts; their deviations from the mean are added. Their spread
    is brought to the multiway cluster-robust variance: the sum of the units' less that of the cells of two, plus that
    of the cells of three, and never less than one unit's (Cameron, Gelbach and Miller 2011, "Robust Inference With
    Multiway Clustering", eq. 2.12 for two units and the section on multiway clustering for more; MacKinnon, Nielsen and
    Webb 2021, "Wild Bootstrap and Asymptotic Inference With Multiway Clustering", sect. 3). It is divided by the share
    of pairs of pictures that have no unit in common, for the mean is of the same pictures: of one unit with levels of
    one size that is the usual G / (G - 1). Drawing all at once would count the noise of single pictures several times
    (Owen 2007, "The pigeonhole bootstrap", theorem 3). For few units the percentiles are widened as Student's t is
    wider than the normal distribution (Hesterberg 2015, "What Teachers Should Know About the Bootstrap", sect. 3.3),
    with Satterthwaite's degrees of freedom.

    Shares take the bounds of Clopper and Pearson (1934) with as many pictures as would have that variance if each stood
    alone (Korn and Graubard 1998, "Confidence Intervals for Proportions With Small Expected Number of Positive Counts
    Estimated From Survey Data"). Where all pictures are equal no variance is seen: each level then counts once.

    Args:
        values: one for each picture, `n`.
        over: for each unit its level of each picture, `n`, such as the picture's subject.
        bounds: between which the mean can lie at all.
        shares: the values are answers of yes or no, a tie being half; ignored where other values are among them.
        draws: how many.
        seed: of the draws.
    """
    numbers = np.asarray(values, float)
    units = _crossed([unit for unit in map(_numbered, over) if unit.max() > 0])
    mean, count = float(numbers.mean()), len(numbers)
    residuals = numbers - mean
    flat = bool((numbers == numbers[0]).all())
    answers = shares and bool(np.isin(numbers, (0, 0.5, 1)).all())
    if not units or (flat and not (answers and numbers[0] in (0, 1))):
        return Interval(mean, None, None, count)
    if flat:
        return Interval(mean, *_exact(mean, min(int(unit.max()) + 1 for unit in units)), count)
    every = [
        ((-1) ** (size + 1), reduce(_cells, some))
        for size in range(1, len(units) + 1)
        for some in combinations(units, size)
    ]
    freedom, ones = [int(unit.max()) for unit in units], np.ones(count)
    variances = [_variance(residuals, unit) / (1 - _variance(ones, unit)) for unit in units]
    apart = 1 - sum(sign * _variance(ones, cells) for sign, cells in every)
    summed = sum(sign * _variance(residuals, cells) for sign, cells in every)
    variance = max(summed / apart if apart > _NOTHING else 0.0, *variances)
    if variance < _NOTHING * float((residuals**2).mean()):  # every level has the same mean: no spread is seen
        return Interval(mean, None, None, count)
    degrees = sum(variances) ** 2 / sum(v**2 / f for v, f in zip(variances, freedom, strict=True))
    tail = (1 + _LEVEL) / 2
    if answers:
        alone = min(count, mean * (1 - mean) / variance)
        alone *= (t.ppf(tail, count - 1) / t.ppf(tail, degrees)) ** 2
        return Interval(mean, *_exact(mean, alone), count)
    rng = np.random.default_rng(seed)
    deviations = np.sum([_drawn(residuals, unit, draws, rng) for unit in units], axis=0)
    scale = np.sqrt(variance) / deviations.std() * t.ppf(tail, degrees) / norm.ppf(tail)
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


def _crossed(units: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return units without those inside others: where each prompt belongs to one subject, subjects draw prompts."""
    found: list[np.ndarray] = []
    for unit in units:
        if not any(_inside(unit, other) for other in found):
            found = [other for other in found if not _inside(other, unit)] + [unit]
    return found


def _inside(unit: np.ndarray, other: np.ndarray) -> bool:
    return bool(_cells(unit, other).max() == unit.max())


def _cells(unit: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return a number for each pair of levels that a picture has."""
    return np.unique(unit * (other.max() + 1) + other, return_inverse=True)[1]


def _exact(share: float, pictures: float) -> tuple[float, float]:
    """Return the bounds of Clopper and Pearson; pictures may be a fraction."""
    yes, tail = share * pictures, (1 - _LEVEL) / 2
    low = 0.0 if share == 0 else float(beta.ppf(tail, yes, pictures - yes + 1))
    return low, 1.0 if share == 1 else float(beta.ppf(1 - tail, yes + 1, pictures - yes))


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
