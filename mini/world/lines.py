"""The lines that a style draws along the visible outlines."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .canvas import Canvas
from .colours import luminance, mix, over
from .drawing import Drawing
from .palettes import line_colour
from .parameters import Kind, Range


def none(picture: np.ndarray, canvas: Canvas, drawing: Drawing) -> np.ndarray:
    """Leave the outlines undrawn."""
    return picture


def ink(picture: np.ndarray, canvas: Canvas, drawing: Drawing, width: float, swell: float) -> np.ndarray:
    """Draw them in one colour, swelling as a pen does."""
    cover = drawing.line(width * (1.0 + swell * canvas.field(11, 22.0)))
    return over(picture, line_colour(canvas.palette), cover)


def own(picture: np.ndarray, canvas: Canvas, drawing: Drawing, width: float, dark: float) -> np.ndarray:
    """Draw them in a darker shade of each part."""
    colour = (canvas.palette * np.float32(1.0 - dark)).T[:, drawing.owner]
    return over(picture, colour, drawing.line(width))


def rough(picture: np.ndarray, canvas: Canvas, drawing: Drawing, width: float, grain: float) -> np.ndarray:
    """Draw them with a stick of chalk or charcoal, grainy and uneven."""
    tooth = canvas.field(12, 2.2)
    cover = np.clip(drawing.line(width + grain * 1.5 * tooth) * (0.9 + grain * tooth), 0.0, 1.0)
    dark = luminance(canvas.palette[:1])[0] < 0.35
    towards = (0.95, 0.95, 0.92) if dark else line_colour(canvas.palette)
    return over(picture, mix(canvas.palette, towards, 0.6).T[:, drawing.owner], cover)


def tube(picture: np.ndarray, canvas: Canvas, drawing: Drawing, width: float, core: float) -> np.ndarray:
    """Draw them as glass tubes with a white core."""
    colour = canvas.palette.T[:, drawing.owner]
    out = over(picture, colour, np.clip(width - drawing.edge, 0.0, 1.0))
    return over(out, (1.0, 1.0, 1.0), np.clip(width - 1.0 - drawing.edge, 0.0, 1.0) * np.float32(core))


def pale(picture: np.ndarray, canvas: Canvas, drawing: Drawing, width: float) -> np.ndarray:
    """Draw them nearly white."""
    return over(picture, (0.96, 0.97, 0.98), drawing.line(width))


LINES: dict[str, Kind[Callable[..., np.ndarray]]] = {
    "none": Kind(none, {}),
    "ink": Kind(ink, {"width": Range(1.4, 3.2), "swell": Range(0.0, 0.5)}),
    "own": Kind(own, {"width": Range(1.5, 3.0), "dark": Range(0.45, 0.75)}),
    "rough": Kind(rough, {"width": Range(1.8, 3.4), "grain": Range(0.3, 0.9)}),
    "tube": Kind(tube, {"width": Range(1.8, 2.8), "core": Range(0.4, 0.9)}),
    "pale": Kind(pale, {"width": Range(1.5, 2.6)}),
}
"""Kinds of lines: picture 3 h w, canvas, drawing and parameters -> picture 3 h w."""
