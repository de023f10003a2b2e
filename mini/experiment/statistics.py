"""Means and their intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

__all__ = ["Interval", "difference", "interval"]

LEVEL = 0.95


class Interval(NamedTuple):
    """A mean and half the width of its 95 % interval; None where a single value gives no interval."""

    mean: float
    half: float | None

    @property
    def text(self) -> str:
        """The two as a table shows them."""
        return f"{self.mean:.3f}" if self.half is None else f"{self.mean:.3f} \u00b1 {self.half:.3f}"


def interval(values: Sequence[float]) -> Interval:
    """Return the mean of independent runs and its interval by Student's t distribution."""
    mean, count = float(np.mean(values)), len(values)
    if count < 2:
        return Interval(mean, None)
    spread = float(np.std(values, ddof=1)) / count**0.5
    return Interval(mean, float(stats.t.ppf(0.5 + LEVEL / 2, count - 1)) * spread)


def difference(a: Sequence[float], b: Sequence[float]) -> Interval:
    """Return the mean of `a - b` of runs that share their seed pairwise, and its interval."""
    return interval([x - y for x, y in zip(a, b, strict=True)])
