"""Styles made of lines: ink, neon, blueprint, chalk."""

from __future__ import annotations

import numpy as np

from .colours import BACKGROUND, DARK, GROUND, SECOND, flat, luminance, mix, over, tinted
from .drawing import draw, palette_of
from .noise import SIZE, field, pixel_grid
from .scene import Scene

_PAPERS = {"cream": (0.97, 0.94, 0.85), "grey": (0.86, 0.86, 0.84)}
_INKS = {"black": (0.08, 0.08, 0.10), "sepia": (0.30, 0.16, 0.08)}
_WALLS = {"black": (0.03, 0.03, 0.04), "navy": (0.03, 0.05, 0.15), "plum": (0.12, 0.03, 0.13)}
_BLUES = {"royal": (0.10, 0.25, 0.62), "prussian": (0.05, 0.17, 0.36), "cyan": (0.08, 0.42, 0.66)}
_BOARDS = {"green": (0.13, 0.27, 0.21), "black": (0.12, 0.12, 0.13), "slate": (0.20, 0.25, 0.32)}
_CHALK = (0.95, 0.95, 0.92)


def ink(scene: Scene, hatch: float, paper: str, colour: str) -> np.ndarray:
    """Return a pen drawing: swelling outlines, slanted hatching by tone, cross-hatching in the dark."""
    x, y = pixel_grid()
    wobble = field(3, 22.0)
    drawing = draw(scene, x + 1.2 * wobble, y + 1.2 * field(4, 22.0))
    light = luminance(palette_of(scene))
    light[BACKGROUND], light[GROUND] = 1.0, 0.80
    # Spread the subject's tones so that its two colours differ in hatching.
    tone = 1.0 - drawing.tone(light) - 0.28 * np.clip(drawing.lit(scene.light), -1.0, 0.6)
    first = _hatching(x + y + 1.5 * wobble, hatch, np.clip(tone * 0.62 - 0.06, 0.0, 0.46))
    second = _hatching(x - y + 1.5 * wobble, hatch, np.clip(tone * 0.9 - 0.50, 0.0, 0.34))
    fill = np.maximum(np.maximum(first, second), drawing.weights[DARK])
    line = drawing.line(2.1 + 0.9 * wobble)
    return over(flat(_PAPERS[paper]), _INKS[colour], np.maximum(fill, line))


def _hatching(along: np.ndarray, period: float, share: np.ndarray) -> np.ndarray:
    """Return the coverage of parallel lines across `along`, of which `share` (0..1) is ink."""
    # 1 / sqrt(2): lines are slanted, so a step along x + y is longer than a pixel.
    distance = np.abs((along * np.float32(0.7071) / period) % 1.0 - 0.5) * period
    width = share * period * 0.5
    return np.clip(width - distance + 0.5, 0.0, 1.0) * np.clip(share * 12.0, 0.0, 1.0)


def neon(scene: Scene, wall: str, glow: float) -> np.ndarray:
    """Return a neon sign: glowing tubes along every outline in the colour of their part."""
    drawing = draw(scene)
    tubes = palette_of(scene)
    tubes = np.clip(tubes / tubes.max(1, keepdims=True) * 1.05, 0.0, 1.0)
    tubes[DARK] = (0.75, 0.75, 0.85)
    colour = tubes.T[:, drawing.owner]
    near = drawing.edge
    # Tube, its own halo, and the wide light that it throws on the wall.
    tube = np.clip(2.1 - near, 0.0, 1.0)
    halo = 0.62 * np.exp(-near / glow) + 0.16 * np.exp(-near / (glow * 4.0))
    fill = 0.13 * drawing.subject()
    out = flat(_WALLS[wall]) + colour * (halo + fill)
    core = np.clip(1.1 - near, 0.0, 1.0) * np.float32(0.65)
    out = over(over(out, colour, tube), (1.0, 1.0, 1.0), core)
    if scene.ground:
        _, y = pixel_grid()
        strip = np.abs(y - scene.horizon) * (1.0 + 100.0 * (drawing.silhouette < 4.0))
        back = palette_of(scene)[BACKGROUND]
        back = back / back.max()
        out = out + flat(back) * (0.30 * np.exp(-strip / glow) + 0.6 * np.clip(1.8 - strip, 0.0, 1.0))
    return out


def blueprint(scene: Scene, paper: str, grid: float) -> np.ndarray:
    """Return a technical drawing: white lines, hatched trim, grid, centre lines, dimensions."""
    x, y = pixel_grid()
    drawing = draw(scene)
    pose = scene.pose
    fine = np.maximum(_rule(x, grid), _rule(y, grid)) * np.float32(0.20)
    axes = np.maximum(_dash(np.abs(x - pose.x), y), _dash(np.abs(y - pose.y), x)) * np.float32(0.45)
    outside = np.clip(drawing.silhouette - 1.0, 0.0, 1.0)
    white = np.maximum(fine, axes * outside)
    if scene.ground:
        white = np.maximum(white, 0.75 * np.clip(1.4 - np.abs(y - scene.horizon), 0.0, 1.0) * outside)
    reach = pose.scale * 1.12
    sizes = np.maximum(
        _dimension(x - pose.x, y - min(pose.y + reach, SIZE - 5.0), reach),
        _dimension(y - pose.y, x - max(pose.x - reach, 5.0), reach),
    )
    white = np.maximum(white, 0.7 * sizes * outside)
    trim = _hatching(x - y, 6.0, np.full_like(x, 0.30)) * drawing.weights[SECOND] * np.float32(0.75)
    dark = drawing.weights[DARK] * np.float32(0.55)
    body = 0.10 * drawing.subject()
    white = np.maximum(np.maximum(white, trim + body), np.maximum(dark, drawing.line(1.9)))
    shade = 1.0 + 0.08 * field(9, 60.0)
    return over(flat(_BLUES[paper]) * shade, (0.95, 0.97, 1.0), white)


def _rule(along: np.ndarray, period: float) -> np.ndarray:
    """Return the coverage of one line per `period` pixels."""
    return np.clip(1.0 - np.abs((along + period / 2) % period - period / 2), 0.0, 1.0)


def _dash(distance: np.ndarray, along: np.ndarray) -> np.ndarray:
    """Return the coverage of a dashed line at `distance` 0."""
    return np.clip(1.2 - distance, 0.0, 1.0) * ((along % 10.0) < 6.0)


def _dimension(along: np.ndarray, across: np.ndarray, reach: float) -> np.ndarray:
    """Return the coverage of a dimension line of half length `reach` with a tick at each end."""
    bar = np.clip(1.2 - np.abs(across), 0.0, 1.0) * (np.abs(along) < reach)
    tick = np.clip(1.2 - np.abs(np.abs(along) - reach), 0.0, 1.0) * (np.abs(across) < 4.0)
    return np.maximum(bar, tick)


def chalk(scene: Scene, board: str, texture: float) -> np.ndarray:
    """Return a blackboard: grainy outlines and slanted chalk fill in pale colours, wiped dust."""
    x, y = pixel_grid()
    seed = int(texture)
    drawing = draw(scene, x + 1.6 * field(seed + 60, 16.0), y + 1.6 * field(seed + 61, 16.0))
    sticks = mix(tinted(palette_of(scene), "vivid"), _CHALK, 0.22)
    sticks[DARK] = _CHALK
    grain = field(seed + 62, 2.2)
    dust = np.clip(field(seed + 63, 60.0, 14.0), 0.0, 1.0) * np.float32(0.16)
    out = over(flat(_BOARDS[board]), _CHALK, dust)
    if scene.ground:
        strip = np.clip(2.2 - np.abs(y - scene.horizon + 1.5 * grain), 0.0, 1.0)
        out = over(out, sticks[BACKGROUND], 0.7 * strip * (drawing.silhouette > 2.0))
    # The side of the stick: slanted strokes, broken up by the board's grain.
    strokes = _hatching(x + y + 3.0 * field(seed + 64, 12.0), 6.5, np.full_like(x, 0.72))
    cover = drawing.subject() * (1.0 - drawing.weights[DARK])
    fill = cover * np.clip(0.62 * strokes + 0.20 + 0.42 * grain, 0.0, 0.92)
    out = over(out, drawing.paint(sticks), fill)
    line = np.clip(drawing.line(3.0 + 1.2 * grain) * (0.95 + 0.5 * grain), 0.0, 1.0)
    pale = mix(sticks, _CHALK, 0.40)
    return over(out, pale.T[:, drawing.owner], line)
