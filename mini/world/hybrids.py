"""Hybrids: individuals that no class has, joined from two classes along a wavy seam and bent as a whole.

Hybrids vary subjects as improvised styles vary styles. A network can memorise two dozen classes. It cannot memorise
hybrids, which are joined at random, so it has to copy them from the content reference. Held-out classes need the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .sdf import Array, turn
from .subject_part import SHAPE_NUMBERS

_LEAST_BEND, _MOST_BEND = 0.04, 0.11  # in units of the subject's half size; more tears thin parts


@dataclass(frozen=True)
class Hybrid:
    """What makes an individual more than its class.

    Attributes:
        other: the class whose parts stand beyond the seam, a name of SUBJECTS.
        shape: SHAPE_NUMBERS numbers in 0..1 for that class.
        angle: of the seam, radians; 0 is level, with the other class below.
        offset: of the seam from the centre, in the subject's frame.
        wide: how much wider than its class the whole is, a factor.
        bends: amplitude and phase of the waves along y and along x.
    """

    other: str
    shape: tuple[float, ...]
    angle: float
    offset: float
    wide: float
    bends: tuple[float, float, float, float]

    def bent(self, x: Array, y: Array) -> tuple[Array, Array]:
        """Return the coordinates h w at which the two classes are drawn."""
        sway, start, heave, begin = self.bends
        x = x / np.float32(self.wide)
        return (
            x + np.float32(sway) * np.sin(np.float32(3.0) * y + np.float32(start)),
            y * np.float32(self.wide**0.5) + np.float32(heave) * np.sin(np.float32(3.0) * x + np.float32(begin)),
        )

    def beyond(self, x: Array, y: Array) -> Array:
        """Return the signed distance h w to the side of the seam that the other class has."""
        return self.offset - turn(x, y, self.angle)[1]


def sample_hybrid(rng: np.random.Generator, others: tuple[str, ...]) -> Hybrid:
    """Return a random hybrid with one of the classes `others`."""

    def number(low: float, high: float) -> float:
        return round(float(rng.uniform(low, high)), 3)

    return Hybrid(
        others[int(rng.integers(len(others)))],
        tuple(number(0.0, 1.0) for _ in range(SHAPE_NUMBERS)),
        number(-np.pi, np.pi),
        number(-0.2, 0.2),
        number(0.85, 1.15),
        (
            number(_LEAST_BEND, _MOST_BEND),
            number(0.0, 2 * np.pi),
            number(_LEAST_BEND, _MOST_BEND),
            number(0.0, 2 * np.pi),
        ),
    )
