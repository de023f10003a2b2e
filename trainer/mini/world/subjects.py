"""The twelve subjects and how an individual of one is told from another.

A subject is drawn in its own frame, about -1..1 on both axes with y pointing down, later parts on top.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from . import subjects_alive as alive
from . import subjects_made as made
from .colours import COLOURS
from .part import DrawSubject

DRAW: dict[str, DrawSubject] = {
    "cat": alive.cat,
    "fish": alive.fish,
    "teapot": made.teapot,
    "house": made.house,
    "tree": alive.tree,
    "car": made.car,
    "mushroom": alive.mushroom,
    "sailboat": made.sailboat,
    "flower": alive.flower,
    "robot": made.robot,
    "butterfly": alive.butterfly,
    "rocket": made.rocket,
}
SUBJECTS: tuple[str, ...] = tuple(DRAW)
SHAPE_NUMBERS = 4


@dataclass(frozen=True)
class Individual:
    """One particular subject: its class, its two colours and its proportions.

    Attributes:
        subject: a name of SUBJECTS.
        first: colour of the body, a name of COLOURS.
        second: colour of the trim, another name of COLOURS.
        shape: SHAPE_NUMBERS numbers in 0..1, read by the subject's drawing function.
    """

    subject: str
    first: str
    second: str
    shape: tuple[float, ...]

    def __post_init__(self) -> None:
        if self.subject not in DRAW:
            raise ValueError(f"Got subject {self.subject!r}, expected one of {', '.join(SUBJECTS)}; use a listed name.")
        for colour in (self.first, self.second):
            if colour not in COLOURS:
                raise ValueError(f"Got colour {colour!r}, expected one of {', '.join(COLOURS)}; use a listed name.")


def sample_individual(rng: np.random.Generator, subject: str | None = None) -> Individual:
    """Return a random individual, of the class `subject` if given."""
    name = SUBJECTS[int(rng.integers(len(SUBJECTS)))] if subject is None else subject
    first, second = (list(COLOURS)[int(i)] for i in rng.permutation(len(COLOURS))[:2])
    shape = tuple(round(float(v), 3) for v in rng.uniform(0.0, 1.0, SHAPE_NUMBERS))
    return Individual(name, first, second, shape)
