"""Fills made of marks on paper: hatching, engraving, woodcut, stippling, halftone dots, crayon."""

from __future__ import annotations

import numpy as np

from .canvas import Canvas
from .colours import BACKGROUND, DARK, GROUND, luminance, mix, over
from .drawing import Drawing
from .lattices import grid, scattered, stripes
from .noise import SIZE, pixel_grid
from .palettes import line_colour

Filled = tuple[np.ndarray, Drawing]


def hatch(canvas: Canvas, period: float, angle: float, wash: float, cross: float) -> Filled:
    """Parallel strokes by tone, crossed in the dark; `wash` colours the paper beneath."""
    x, y = pixel_grid()
    drawing = canvas.bent(1.2, 22.0)
    tone = canvas.tone(drawing)
    c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    wobble = 1.2 * canvas.field(3, 22.0)
    first = stripes(x * c + y * s + wobble, period, np.clip(tone * 0.70 - 0.02, 0.0, 0.55))
    second = stripes(y * c - x * s + wobble, period, np.clip(tone * cross - 0.42, 0.0, 0.45))
    cover = np.maximum(np.maximum(first, second), drawing.weights[DARK])
    return over(_paper(canvas, drawing, wash), _marks(canvas, drawing), cover), drawing


def engrave(canvas: Canvas, period: float, angle: float, bend: float) -> Filled:
    """Lines that follow the bulge of the surface and swell with the tone, as in a copper plate."""
    x, y = pixel_grid()
    drawing = canvas.drawing
    c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    along = x * c + y * s + np.float32(bend) * drawing.relief
    share = np.clip(0.12 + 0.72 * canvas.tone(drawing), 0.0, 0.85)
    cover = np.maximum(stripes(along, period, share), drawing.weights[DARK] * np.float32(0.9))
    return over(_paper(canvas, drawing, 0.0), _marks(canvas, drawing), cover), drawing


def contour(canvas: Canvas, period: float, wash: float, rough: float) -> Filled:
    """Cuts along the outlines, as in wood or lino: areas of ink opened by bands that follow the shape."""
    drawing = canvas.bent(0.8, 12.0)
    tone = canvas.tone(drawing)
    along = np.where(drawing.silhouette < 0, drawing.edge, drawing.silhouette * 0.8) + rough * canvas.field(3, 7.0)
    share = np.clip(0.18 + 0.9 * tone, 0.0, 0.92) * np.where(drawing.silhouette < 0, 1.0, 0.75)
    cover = np.maximum(stripes(along, period, share), drawing.weights[DARK])
    cover = cover * (1.0 - 0.35 * np.clip(canvas.field(4, 2.0) * rough - 0.5, 0.0, 1.0))
    return over(_paper(canvas, drawing, wash), _marks(canvas, drawing), cover), drawing


def stipple(canvas: Canvas, size: float, wash: float) -> Filled:
    """Dots of ink at random places, larger in the dark."""
    drawing = canvas.drawing
    source, distance, _, _ = scattered(canvas.seed, round(size * 4) / 4)
    tone = canvas.tone(drawing).reshape(-1)[source]
    radius = np.sqrt(np.clip(tone * 0.9 + 0.03, 0.0, 0.9)) * 0.56
    cover = np.clip((radius - distance) * size + 0.5, 0.0, 1.0)
    return over(
        _paper(canvas, drawing, wash), _marks(canvas, drawing), np.maximum(cover, drawing.weights[DARK])
    ), drawing


def dots(canvas: Canvas, size: float, angle: float, wash: float) -> Filled:
    """A printer's screen: dots on a turned lattice over a pale print."""
    _, y = pixel_grid()
    drawing = canvas.drawing
    source, u, v = grid(round(size * 4) / 4, round(angle, 2))
    amount = 0.20 + 0.55 * canvas.tone(drawing) + 0.10 * (0.5 - y / SIZE)
    radius = np.sqrt(np.clip(amount.reshape(-1)[source], 0.03, 0.85) / np.pi)
    cover = np.clip((radius - np.hypot(u, v)) * size + 0.5, 0.0, 1.0)
    cover = np.maximum(cover, drawing.weights[DARK])
    return over(_paper(canvas, drawing, wash), drawing.paint(_strong(canvas)), cover), drawing


def crayon(canvas: Canvas, period: float, angle: float, grain: float) -> Filled:
    """Broad strokes with the side of a stick, broken up by the grain of what lies beneath."""
    x, y = pixel_grid()
    drawing = canvas.bent(1.6, 16.0)
    tooth = canvas.field(3, 2.2)
    c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    strokes = stripes(x * c + y * s + 3.0 * canvas.field(4, 12.0), period, 0.72)
    covered = 1.0 - drawing.weights[BACKGROUND] - 0.45 * drawing.weights[GROUND]
    cover = covered * np.clip(0.55 * strokes + 0.32 + grain * tooth, 0.0, 0.95)
    paper = np.broadcast_to(canvas.palette[BACKGROUND].reshape(3, 1, 1), (3, SIZE, SIZE))
    return over(paper, drawing.paint(canvas.palette), cover), drawing


def _paper(canvas: Canvas, drawing: Drawing, wash: float) -> np.ndarray:
    """Return what the marks lie on: the bare background, tinted with the scene's colours by `wash`."""
    back = canvas.palette[BACKGROUND]
    pale = mix(np.broadcast_to(back, canvas.palette.shape), canvas.palette, wash)
    return drawing.paint(pale)


def _marks(canvas: Canvas, drawing: Drawing) -> np.ndarray:
    """Return the colour of the marks: mostly that of lines, with something of each part's own."""
    return drawing.paint(mix(_strong(canvas), line_colour(canvas.palette), 0.65))


def _strong(canvas: Canvas) -> np.ndarray:
    """Return the palette as full marks of it look: darker on light ground, lighter on dark ground."""
    palette = canvas.palette
    if luminance(palette[BACKGROUND][None])[0] < 0.35:
        strong = mix(palette, (1.0, 1.0, 1.0), 0.15)
    else:
        strong = palette * np.float32(0.88)
    strong[BACKGROUND] = mix(palette[BACKGROUND], line_colour(palette), 0.45)
    strong[GROUND] = mix(palette[GROUND], line_colour(palette), 0.45)
    return strong
