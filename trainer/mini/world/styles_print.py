"""Styles on a lattice: halftone dots, knitted stitches."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from .colours import BACKGROUND, CHARCOAL, CREAM, GROUND, luminance, mix, over, tinted
from .drawing import draw, palette_of
from .noise import SIZE, pixel_grid
from .scene import Scene


def halftone(scene: Scene, cell: float, angle: float, tint: str) -> np.ndarray:
    """Return a comic print: pale colours under big dots of the full colour, heavy black outlines."""
    _, y = pixel_grid()
    drawing = draw(scene)
    palette = tinted(palette_of(scene), tint)
    light = luminance(palette)
    centre, reach = _dots(cell, angle)
    pale = mix(palette, CREAM, 0.62)
    if light[BACKGROUND] > 0.3:
        pale[BACKGROUND] = CREAM
        pale[GROUND] = mix(palette[GROUND], CREAM, 0.5)
    else:
        pale[BACKGROUND], pale[GROUND] = palette[BACKGROUND] * 2.0, palette[GROUND] * 1.8
    strong = palette * np.float32(0.94)
    # Dots grow in the shade, and towards the top of the picture.
    shade = 0.44 - 0.26 * drawing.lit(scene.light)
    subject = drawing.subject()
    amount = shade * subject + (0.46 - 0.30 * y / SIZE) * (1.0 - subject)
    radius = np.sqrt(np.clip(amount.reshape(-1)[centre], 0.04, 0.85) / np.pi) * np.float32(cell)
    dots = np.clip(radius - reach + 0.5, 0.0, 1.0)
    out = over(drawing.paint(pale), drawing.paint(strong), dots)
    return over(out, CHARCOAL, drawing.line(2.8))


@lru_cache(maxsize=8)
def _dots(cell: float, angle: float) -> tuple[np.ndarray, np.ndarray]:
    """Return, per pixel, the flat index of the pixel at its dot's centre and the distance to it."""
    x, y = pixel_grid()
    c, s = np.cos(angle), np.sin(angle)
    u, v = (x * c + y * s) / cell, (y * c - x * s) / cell
    u0, v0 = np.floor(u) + 0.5, np.floor(v) + 0.5
    cx, cy = (u0 * c - v0 * s) * cell, (u0 * s + v0 * c) * cell
    column, row = (np.clip(a, 0, SIZE - 1).astype(np.int64) for a in (cx, cy))
    return row * SIZE + column, np.hypot(x - cx, y - cy).astype(np.float32)


def knit(scene: Scene, cell: float, tint: str) -> np.ndarray:
    """Return a knitted patch: one colour per stitch, every stitch a V of two slanted loops."""
    source, relief = _stitches(cell)
    drawing = draw(scene)
    palette = tinted(palette_of(scene), tint)
    lit = 1.0 + 0.12 * drawing.lit(scene.light)
    yarn = drawing.paint(palette) * lit
    return yarn.reshape(3, -1)[:, source] * relief


@lru_cache(maxsize=8)
def _stitches(cell: float) -> tuple[np.ndarray, np.ndarray]:
    """Return, per pixel, the flat index of its stitch's centre and the brightness of the loop there."""
    x, y = pixel_grid()
    wide, tall = cell * 1.2, cell
    column = np.floor(x / wide)
    across = x / wide - column - 0.5
    # Loops lean outwards and up: the row's border is bent into a V.
    lean = y + np.abs(across) * tall * 1.1
    row = np.floor(lean / tall)
    along = lean / tall - row - 0.5
    loop = np.hypot((np.abs(across) - 0.25) / 0.30, along / 0.62)
    relief = np.clip(1.16 - 0.55 * loop**2, 0.42, 1.1)
    cx = np.clip((column + 0.5) * wide, 0, SIZE - 1).astype(np.int64)
    cy = np.clip((row + 0.25) * tall, 0, SIZE - 1).astype(np.int64)
    return cy * SIZE + cx, relief.astype(np.float32)
