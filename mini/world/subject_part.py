"""The unit that subjects are made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np


class Part(NamedTuple):
    """One flat-coloured part of a subject.

    Attributes:
        role: the colour role, see `colours`.
        distance: signed distance to its outline, h w, negative inside.
        bevel: how far its surface rises from the outline inwards, in the units of `distance`.
    """

    role: int
    distance: np.ndarray
    bevel: float


SHAPE_NUMBERS = 4
"""How many numbers make the shape of an individual within its class."""

DrawSubject = Callable[[np.ndarray, np.ndarray, Sequence[float], float], list[Part]]
"""A subject: coordinates x, y (h w), its SHAPE_NUMBERS numbers in 0..1, and where its moving parts are, 0..1 -> parts
from back to front."""
