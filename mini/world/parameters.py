"""Continuous parameters of styles, and which part of their range is kept from training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

import numpy as np

HELD_OUT_SHARE = 0.15
"""Upper part of every range that no network sees in training."""

Draw = TypeVar("Draw")


class Range(NamedTuple):
    """The values a parameter may have, from `low` to `high`."""

    low: float
    high: float

    @property
    def split(self) -> float:
        """The value above which training never goes."""
        return self.high - HELD_OUT_SHARE * (self.high - self.low)

    def sample(self, rng: np.random.Generator, beyond: bool = False) -> float:
        """Return a value of the training part, or `beyond` it of the part that is kept back."""
        low, high = (self.split, self.high) if beyond else (self.low, self.split)
        return round(float(rng.uniform(low, high)), 3)


@dataclass(frozen=True)
class Kind(Generic[Draw]):
    """A function of the world and the ranges of its parameters, by name."""

    draw: Draw
    ranges: dict[str, Range]
