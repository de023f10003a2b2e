"""A scene: one individual, posed, in front of a background."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...uso_model.errors import UserError
from .colours import BACKGROUNDS
from .markings import MARKINGS
from .noise import SIZE
from .subjects import Individual, sample_individual

MIN_SCALE, MAX_SCALE = 42.0, 54.0
MAX_ANGLE = float(np.deg2rad(16.0))
HORIZON = 0.62  # where the ground begins, below the centre of the subject, in units of its scale


@dataclass(frozen=True)
class Pose:
    """How the subject stands.

    Attributes:
        x, y: centre in pixels.
        scale: half size in pixels.
        angle: of the whole, radians.
        mirror: looking the other way.
        lean: how far it bends to a side, -0.2..0.2.
        move: where its moving parts are (tail, wings, sail, ...), 0..1.
    """

    x: float
    y: float
    scale: float
    angle: float
    mirror: bool
    lean: float
    move: float


@dataclass(frozen=True)
class Scene:
    """Everything a picture shows, before any style.

    Attributes:
        individual: who is shown.
        pose: where and how large.
        background: a name of BACKGROUNDS.
        ground: whether there is a floor.
        light: -1 when the light comes from the upper left, 1 from the upper right.
        seed: picks the grain of the photo, nothing else.
    """

    individual: Individual
    pose: Pose
    background: str
    ground: bool
    light: int
    seed: int

    def __post_init__(self) -> None:
        if self.background not in BACKGROUNDS:
            raise UserError(
                f"Got background {self.background!r}, expected one of {', '.join(BACKGROUNDS)}; use a listed name."
            )

    @property
    def subject(self) -> str:
        """Return the class of the individual."""
        return self.individual.subject

    @property
    def horizon(self) -> float:
        """Return the height in pixels at which the ground begins, or the picture's height without ground."""
        return min(self.pose.y + HORIZON * self.pose.scale, SIZE - 12.0) if self.ground else float(SIZE)

    def caption(self) -> str:
        """Return the scene in words, such as `a spotted red and blue teapot on a sand background`."""
        who = self.individual
        looks = f"{MARKINGS[who.marking].word} {who.first}".strip()
        article = "an" if looks[0] in "aeiou" else "a"
        place = "floor" if self.ground else "background"
        return f"{article} {looks} and {who.second} {who.subject} on a {self.background} {place}"

    def repose(self, rng: np.random.Generator) -> Scene:
        """Return the same individual in a new pose, light and background."""
        return _place(rng, self.individual)


def sample_scene(rng: np.random.Generator, subject: str | None = None, hybrid: bool = False) -> Scene:
    """Return a random scene, showing the class `subject` if given, or a `hybrid` of it and another.

    Raises:
        UserError: for a subject that is not in SUBJECTS.
    """
    return _place(rng, sample_individual(rng, subject, hybrid))


def _place(rng: np.random.Generator, individual: Individual) -> Scene:
    scale = float(rng.uniform(MIN_SCALE, MAX_SCALE))
    room = SIZE / 2 - scale * 1.04
    dx, dy = rng.uniform(-1.0, 1.0, 2) * room * 0.8
    pose = Pose(
        round(SIZE / 2 + float(dx), 2),
        round(SIZE / 2 + float(dy), 2),
        round(scale, 2),
        round(float(rng.uniform(-MAX_ANGLE, MAX_ANGLE)), 4),
        bool(rng.integers(2)),
        round(float(rng.uniform(-0.2, 0.2)), 3),
        round(float(rng.uniform(0.0, 1.0)), 3),
    )
    names = list(BACKGROUNDS)
    return Scene(
        individual,
        pose,
        names[int(rng.integers(len(names)))],
        bool(rng.integers(2)),
        int(rng.integers(2)) * 2 - 1,
        int(rng.integers(2**31)),
    )
