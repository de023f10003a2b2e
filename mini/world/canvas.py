"""What a renderer works on: the scene, the colours a style gave it, and a seed for its textures."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .colours import BACKGROUND, GROUND, luminance
from .drawing import Drawing, draw
from .noise import field, pixel_grid
from .scene import Scene


@dataclass(frozen=True)
class Canvas:
    """One picture to be made.

    Attributes:
        scene: what is shown.
        palette: one colour per role, ROLES 3.
        seed: picks the textures; two pictures in one style share it.
    """

    scene: Scene
    palette: np.ndarray
    seed: int

    @cached_property
    def drawing(self) -> Drawing:
        """The scene's fields at every pixel centre."""
        return draw(self.scene)

    def bent(self, amount: float, width: float, pixel: float = 1.0) -> Drawing:
        """Return the scene's fields with outlines bent by `amount` pixels over about `width` pixels, as by a hand."""
        x, y = pixel_grid()
        return draw(
            self.scene,
            x + np.float32(amount) * self.field(1, width),
            y + np.float32(amount) * self.field(2, width),
            pixel,
        )

    def field(self, number: int, width: float) -> np.ndarray:
        """Return smooth noise of this style, -1..1; `number` tells several fields of one renderer apart."""
        return field(self.seed * 100 + number, width)

    def tone(self, drawing: Drawing) -> np.ndarray:
        """Return how dark each point should be, 0..1, from its colour and from the light."""
        light = luminance(self.palette)
        # On a dark ground marks stand for light instead.
        dark = 1.0 - light if light[BACKGROUND] >= 0.35 else light.copy()
        dark[BACKGROUND] = 0.0
        dark[GROUND] = min(dark[GROUND], 0.22)
        return np.clip(drawing.tone(dark) - 0.30 * drawing.lit(self.scene.light), 0.0, 1.0)
