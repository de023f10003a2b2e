"""The photo-like picture of a scene: shaded surfaces, a soft shadow, gradients and grain."""

from __future__ import annotations

import numpy as np

from .colours import BACKGROUND, GROUND, flat, over
from .drawing import draw, palette_of
from .noise import SIZE, field, pixel_grid
from .scene import Scene


def photo(scene: Scene) -> np.ndarray:
    """Return the scene as a photo, 3 h w in 0..1."""
    x, y = pixel_grid()
    drawing = draw(scene)
    palette = palette_of(scene)
    lit = drawing.lit(scene.light)
    # Daylight falls off away from the light, on the backdrop and, less, on the subject.
    glow = 0.10 * scene.light * (x / SIZE - 0.5) - 0.16 * (y / SIZE - 0.5)
    behind = flat(palette[BACKGROUND]) * (1.0 + glow)
    if scene.ground:
        floor = flat(palette[GROUND]) * (1.0 + 0.25 * (y - scene.horizon) / SIZE)
        behind = over(behind, floor, drawing.weights[GROUND])
    behind = behind * (1.0 - 0.5 * _shadow(scene))
    subject = drawing.subject()
    colour = np.tensordot(palette[GROUND + 1 :], drawing.weights[GROUND + 1 :], ((0,), (0,)))
    shade = 0.86 + 0.34 * np.maximum(lit, 0.0) + 0.52 * np.minimum(lit, 0.0) + 0.8 * glow
    # A thin dark seam where parts meet stands in for contact shadows.
    shade = shade * (1.0 - 0.22 * np.clip(1.0 - drawing.edge / 2.0, 0.0, 1.0))
    gloss = np.maximum(lit - 0.55, 0.0) ** 2 * 1.1 * subject
    out = behind * (1.0 - subject) + colour * shade + gloss
    return out + field(scene.seed % 16, 1.5) * np.float32(0.018)


def _shadow(scene: Scene) -> np.ndarray:
    """Return the darkness h w in 0..1 of the subject's soft shadow on what lies below it."""
    x, y = pixel_grid()
    pose = scene.pose
    cx = pose.x - scene.light * pose.scale * 0.22
    cy = pose.y + pose.scale * 0.98
    reach = np.hypot((x - cx) / (pose.scale * 0.95), (y - cy) / (pose.scale * 0.20))
    near = np.clip(1.25 - reach, 0.0, 1.0)
    return near * near * (3.0 - 2.0 * near)
