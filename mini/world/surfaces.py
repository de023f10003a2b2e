"""What a picture lies on or is seen through: paper, canvas, dust, a grid, a screen."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .canvas import Canvas
from .colours import flat, mix, over
from .noise import SIZE, pixel_grid
from .palettes import line_colour
from .parameters import Kind, Range


def plain(picture: np.ndarray, canvas: Canvas) -> np.ndarray:
    """Change nothing."""
    return picture


def paper(picture: np.ndarray, canvas: Canvas, grain: float, yellow: float) -> np.ndarray:
    """Show the fibres and the colour of the paper."""
    tooth = 0.6 * canvas.field(21, 2.5) + 0.4 * canvas.field(22, 7.0)
    colour = mix(np.ones(3, np.float32), (0.97, 0.90, 0.74), yellow)
    return picture * flat(colour) * (1.0 + np.float32(grain) * tooth)


def cloth(picture: np.ndarray, canvas: Canvas, weave: float, size: float) -> np.ndarray:
    """Show the threads of a canvas."""
    x, y = pixel_grid()
    threads = np.sin(x * np.float32(6.283 / size)) * np.sin(y * np.float32(6.283 / size))
    return picture * (1.0 + np.float32(weave) * threads)


def dust(picture: np.ndarray, canvas: Canvas, amount: float) -> np.ndarray:
    """Leave wiped chalk or dirt on it."""
    cloud = np.clip(0.7 * canvas.field(23, 40.0) + 0.5 * canvas.field(24, 9.0), 0.0, 1.0)
    return over(picture, (0.80, 0.79, 0.76), cloud * np.float32(amount))


def ruled(picture: np.ndarray, canvas: Canvas, period: float, strength: float) -> np.ndarray:
    """Rule squared paper over it."""
    x, y = pixel_grid()
    lines = [np.clip(1.0 - np.abs((a + period / 2) % period - period / 2), 0.0, 1.0) for a in (x, y)]
    return over(picture, line_colour(canvas.palette), np.maximum(*lines) * np.float32(strength))


def vignette(picture: np.ndarray, canvas: Canvas, strength: float) -> np.ndarray:
    """Darken the corners."""
    x, y = pixel_grid()
    far = np.hypot(x - SIZE / 2, y - SIZE / 2) / (SIZE * 0.7)
    return picture * (1.0 - np.float32(strength) * far**3)


def screen(picture: np.ndarray, canvas: Canvas, period: float, strength: float) -> np.ndarray:
    """Show the dark rows of a tube screen."""
    _, y = pixel_grid()
    return picture * (1.0 - np.float32(strength) * (0.5 + 0.5 * np.cos(y * np.float32(6.283 / period))))


def border(picture: np.ndarray, canvas: Canvas, width: float, tone: float) -> np.ndarray:
    """Leave a plain margin with a thin line around the picture."""
    x, y = pixel_grid()
    inside = np.minimum(np.minimum(x, SIZE - x), np.minimum(y, SIZE - y)) - width
    out = over(picture, (tone, tone * 0.98, tone * 0.93), np.clip(0.5 - inside, 0.0, 1.0))
    return over(out, line_colour(canvas.palette), np.clip(1.5 - np.abs(inside), 0.0, 1.0) * np.float32(0.8))


SURFACES: dict[str, Kind[Callable[..., np.ndarray]]] = {
    "plain": Kind(plain, {}),
    "paper": Kind(paper, {"grain": Range(0.03, 0.12), "yellow": Range(0.0, 1.0)}),
    "cloth": Kind(cloth, {"weave": Range(0.04, 0.12), "size": Range(3.0, 5.0)}),
    "dust": Kind(dust, {"amount": Range(0.15, 0.45)}),
    "ruled": Kind(ruled, {"period": Range(9.0, 18.0), "strength": Range(0.12, 0.30)}),
    "vignette": Kind(vignette, {"strength": Range(0.25, 0.65)}),
    "screen": Kind(screen, {"period": Range(3.0, 5.0), "strength": Range(0.2, 0.5)}),
    "border": Kind(border, {"width": Range(5.0, 11.0), "tone": Range(0.7, 0.98)}),
}
"""Kinds of surfaces: picture 3 h w, canvas and parameters -> picture 3 h w."""
