"""The subjects and how an individual of one is told from another.

A subject is drawn in its own frame, about -1..1 on both axes with y pointing down, later parts on top.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...uso_model.errors import UserError
from . import subjects_alive as alive
from . import subjects_made as made
from . import subjects_more_alive as more_alive
from . import subjects_more_made as more_made
from .colours import ACCENTS, COLOURS
from .hybrids import Hybrid, sample_hybrid
from .markings import MARKINGS
from .sdf import Array, within
from .subject_part import SHAPE_NUMBERS, DrawSubject, Part

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
    "bird": more_alive.bird,
    "rabbit": more_alive.rabbit,
    "turtle": more_alive.turtle,
    "snail": more_alive.snail,
    "owl": more_alive.owl,
    "cactus": more_alive.cactus,
    "mug": more_made.mug,
    "guitar": more_made.guitar,
    "umbrella": more_made.umbrella,
    "lighthouse": more_made.lighthouse,
    "balloon": more_made.balloon,
    "lamp": more_made.lamp,
}
SUBJECTS: tuple[str, ...] = tuple(DRAW)
HELD_OUT_SUBJECTS = ("butterfly", "turtle", "guitar", "lighthouse")
"""Classes that no stage with references shows."""

TRAINING_SUBJECTS: tuple[str, ...] = tuple(name for name in SUBJECTS if name not in HELD_OUT_SUBJECTS)


@dataclass(frozen=True)
class Individual:
    """One particular subject: its class, its colours, its markings and its proportions.

    Attributes:
        subject: a name of SUBJECTS.
        first: colour of the body, a name of COLOURS.
        second: colour of the trim, another name of COLOURS.
        accent: colour of markings and small parts, a name of ACCENTS.
        marking: a name of MARKINGS.
        shape: SHAPE_NUMBERS numbers in 0..1, read by the subject's drawing function.
        hybrid: what it has of another class, or None.
    """

    subject: str
    first: str
    second: str
    accent: str
    marking: str
    shape: tuple[float, ...]
    hybrid: Hybrid | None = None

    def __post_init__(self) -> None:
        for name in self.classes:
            if name not in DRAW:
                raise UserError(f"Got subject {name!r}, expected one of {', '.join(SUBJECTS)}; use a listed name.")
        for value, known in ((self.accent, ACCENTS), (self.marking, MARKINGS)):
            if value not in known:
                raise UserError(f"Got {value!r}, expected one of {', '.join(known)}; use a listed name.")
        for colour in (self.first, self.second):
            if colour not in COLOURS:
                raise UserError(f"Got colour {colour!r}, expected one of {', '.join(COLOURS)}; use a listed name.")

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of its class and, for a hybrid, of the other class."""
        return (self.subject, self.hybrid.other) if self.hybrid else (self.subject,)

    def parts(self, x: Array, y: Array, move: float) -> list[Part]:
        """Return its parts from back to front, before its markings.

        Args:
            x: coordinates h w in the subject's frame.
            y: coordinates h w.
            move: where its moving parts are, 0..1.
        """
        hybrid = self.hybrid
        if hybrid is None:
            return DRAW[self.subject](x, y, self.shape, move)
        x, y = hybrid.bent(x, y)
        beyond = hybrid.beyond(x, y)
        sides = ((self.subject, self.shape, -beyond), (hybrid.other, hybrid.shape, beyond))
        return [
            Part(part.role, within(part.distance, side), part.bevel)
            for name, shape, side in sides
            for part in DRAW[name](x, y, shape, move)
        ]


def sample_individual(rng: np.random.Generator, subject: str | None = None, hybrid: bool = False) -> Individual:
    """Return a random individual, of the class `subject` if given, or a `hybrid` of it and a training class."""
    name = SUBJECTS[int(rng.integers(len(SUBJECTS)))] if subject is None else subject
    first, second = (list(COLOURS)[int(i)] for i in rng.permutation(len(COLOURS))[:2])
    shape = tuple(round(float(v), 3) for v in rng.uniform(0.0, 1.0, SHAPE_NUMBERS))
    accent, marking = (list(table)[int(rng.integers(len(table)))] for table in (ACCENTS, MARKINGS))
    joined = sample_hybrid(rng, tuple(n for n in TRAINING_SUBJECTS if n != name)) if hybrid else None
    return Individual(name, first, second, accent, marking, shape, joined)
