"""Fills made of areas: flat colour, shading, sheets of paper, relief, light."""

from __future__ import annotations

import numpy as np

from .canvas import Canvas
from .colours import BACKGROUND, CREAM, DARK, GROUND, SECOND, flat, luminance, mix, over
from .drawing import Drawing, draw
from .lattices import stripes
from .noise import SIZE, pixel_grid

Filled = tuple[np.ndarray, Drawing]


def cel(canvas: Canvas, shade: float, rays: float, halo: float) -> Filled:
    """Flat colours with one hard shadow tone and a pale halo, before rays of light."""
    x, y = pixel_grid()
    drawing, palette, pose = canvas.drawing, canvas.palette, canvas.scene.pose
    back = palette[BACKGROUND]
    behind = np.broadcast_to(flat(back), (3, SIZE, SIZE))
    angle, radius = np.arctan2(y - pose.y, x - pose.x), np.hypot(y - pose.y, x - pose.x)
    ray = np.clip(np.sin(angle * round(rays)) * radius / rays + 0.5, 0.0, 1.0) * (rays >= 6.0)
    behind = over(behind, mix(back, CREAM, 0.5) if luminance(back[None])[0] < 0.8 else back * np.float32(0.84), ray)
    behind = over(behind, palette[GROUND], drawing.weights[GROUND])
    behind = over(behind, CREAM, np.clip(halo - drawing.silhouette, 0.0, 1.0))
    dark = np.clip((-drawing.lit(canvas.scene.light) - 0.22) * 6.0, 0.0, 1.0)
    return over(behind, drawing.paint(palette) * (1.0 - np.float32(shade) * dark), drawing.subject()), drawing


def soft(canvas: Canvas, gloss: float, depth: float) -> Filled:
    """Smooth shading, as of clay or glossy plastic."""
    x, y = pixel_grid()
    drawing, light = canvas.drawing, canvas.scene.light
    lit = drawing.lit(light)
    glow = 0.14 * light * (x / SIZE - 0.5) - 0.20 * (y / SIZE - 0.5)
    shade = 1.0 + glow + depth * (0.40 * np.maximum(lit, 0.0) + 0.75 * np.minimum(lit, 0.0))
    dark = np.clip(1.0 - drawing.edge / 3.0, 0.0, 1.0) * drawing.subject()
    shine = np.clip((lit - 0.5) * 5.0, 0.0, 1.0) * np.float32(gloss)
    return over(drawing.paint(canvas.palette) * shade * (1.0 - 0.25 * dark), (1.0, 1.0, 1.0), shine), drawing


def sheets(canvas: Canvas, depth: float, frame: float) -> Filled:
    """Layered paper: a wavy frame, every part a sheet with a soft drop shadow."""
    x, y = pixel_grid()
    drawing, palette, light = canvas.drawing, canvas.palette, canvas.scene.light
    back = palette[BACKGROUND]
    out = np.broadcast_to(flat(back * np.float32(0.93)), (3, SIZE, SIZE))
    radius = np.hypot(x - SIZE / 2, y - SIZE / 2)
    for level in range(2):
        hole = frame + 12.0 * level - radius + 5.0 * canvas.field(3 + level, 28.0)
        out = _lay(out, hole, mix(back, CREAM, 0.3 + 0.35 * level), depth, light)
    if canvas.scene.ground:
        out = _lay(out, canvas.scene.horizon + 3.0 * canvas.field(5, 48.0) - y, palette[GROUND], depth, light)
    for part in drawing.parts:
        out = _lay(out, part.distance, palette[part.role], depth, light)
    return out, drawing


def _lay(under: np.ndarray, distance: np.ndarray, colour: np.ndarray, depth: float, light: int) -> np.ndarray:
    """Return the picture with one sheet of paper laid on it, shadow first."""
    shift = int(depth * 0.7)
    cast = np.roll(distance, (shift, -light * shift), (0, 1))
    dark = np.clip(0.5 - cast / (depth * 1.6), 0.0, 1.0) * np.float32(0.42)
    cover = np.clip(0.5 - distance, 0.0, 1.0)
    # The cut edge catches the light.
    rim = np.clip(1.6 - np.abs(distance + 0.8), 0.0, 1.0) * np.float32(0.16)
    return over(under * (1.0 - dark), over(flat(colour), (1.0, 1.0, 1.0), rim), cover)


def emboss(canvas: Canvas, depth: float, tint: float) -> Filled:
    """Relief pressed into a card: light and dark flanks, hardly any colour."""
    drawing, palette = canvas.drawing, canvas.palette
    card = mix(palette[BACKGROUND], CREAM, 0.35)
    lit = drawing.lit(canvas.scene.light)
    near = np.exp(-drawing.edge / 1.6)
    flank = np.clip(lit * depth, -0.7, 0.6)
    out = flat(card) * (1.0 - 0.12 * near)
    out = over(out, drawing.paint(palette), np.float32(tint) * drawing.subject())
    return np.where(flank > 0, out + (1.0 - out) * flank, out * (1.0 + flank)), drawing


def glow(canvas: Canvas, reach: float, fill: float) -> Filled:
    """A dark wall lit by the outlines, which shine in the colour of their part."""
    _, y = pixel_grid()
    drawing, palette = canvas.drawing, canvas.palette
    colour = palette.T[:, drawing.owner]
    halo = 0.62 * np.exp(-drawing.edge / reach) + 0.16 * np.exp(-drawing.edge / (reach * 4.0))
    wall = flat(palette[BACKGROUND] * np.float32(0.8))
    out = wall + colour * halo + np.float32(fill) * drawing.paint(palette) * drawing.subject()
    if canvas.scene.ground:
        strip = np.abs(y - canvas.scene.horizon) + 100.0 * (drawing.silhouette < 4.0)
        out = out + flat(mix(palette[GROUND], palette[DARK], 0.4)) * (0.5 * np.exp(-strip / reach))
    return np.clip(out, 0.0, 1.0), drawing


def trace(canvas: Canvas, wash: float, trim: float) -> Filled:
    """A technical drawing's ground: nearly empty areas, hatched trim, centre lines, dimensions."""
    x, y = pixel_grid()
    drawing, palette, pose = canvas.drawing, canvas.palette, canvas.scene.pose
    mark, back = palette[DARK], palette[BACKGROUND]
    outside = np.clip(drawing.silhouette - 1.0, 0.0, 1.0)
    axes = np.maximum(_dash(np.abs(x - pose.x), y), _dash(np.abs(y - pose.y), x)) * np.float32(0.4)
    reach = pose.scale * 1.12
    sizes = np.maximum(
        _dimension(x - pose.x, y - min(pose.y + reach, SIZE - 5.0), reach),
        _dimension(y - pose.y, x - max(pose.x - reach, 5.0), reach),
    )
    marks = np.maximum(axes, 0.7 * sizes) * outside
    if canvas.scene.ground:
        marks = np.maximum(marks, 0.7 * np.clip(1.4 - np.abs(y - canvas.scene.horizon), 0.0, 1.0) * outside)
    hatched = stripes((x - y) * np.float32(0.7071), 5.0, 0.34) * drawing.weights[SECOND] * np.float32(trim)
    marks = np.maximum(np.maximum(marks, hatched), 0.6 * drawing.weights[DARK])
    out = over(
        np.broadcast_to(flat(back), (3, SIZE, SIZE)), drawing.paint(palette), np.float32(wash) * drawing.subject()
    )
    return over(out, mark, marks), drawing


def _dash(distance: np.ndarray, along: np.ndarray) -> np.ndarray:
    """Return the coverage of a dashed line at `distance` 0."""
    return np.clip(1.2 - distance, 0.0, 1.0) * ((along % 10.0) < 6.0)


def _dimension(along: np.ndarray, across: np.ndarray, reach: float) -> np.ndarray:
    """Return the coverage of a dimension line of half length `reach` with a tick at each end."""
    bar = np.clip(1.2 - np.abs(across), 0.0, 1.0) * (np.abs(along) < reach)
    tick = np.clip(1.2 - np.abs(np.abs(along) - reach), 0.0, 1.0) * (np.abs(across) < 4.0)
    return np.maximum(bar, tick)


def spray(canvas: Canvas, blur: float, speckle: float) -> Filled:
    """Paint sprayed through a stencil: soft, speckled borders and gaps between the parts."""
    drawing, palette = canvas.bent(1.0, 20.0), canvas.palette
    grain = canvas.field(3, 2.0)
    wall = np.broadcast_to(flat(palette[BACKGROUND]), (3, SIZE, SIZE)) * (1.0 + 0.06 * canvas.field(4, 5.0))
    wall = over(wall, palette[GROUND], drawing.weights[GROUND] * np.float32(0.6))
    # The stencil's bridges keep a gap along every outline; mist goes beyond it.
    solid = np.clip((drawing.edge - 0.8) / blur, 0.0, 1.0) * drawing.subject()
    mist = np.exp(-np.maximum(drawing.silhouette, 0.0) / (blur * 2.0)) * (1.0 - drawing.subject()) * 0.55
    amount = np.clip((solid + mist) * (1.0 + 0.15 * grain) - speckle * (grain > 0.45) * (solid < 0.95), 0.0, 1.0)
    colour = drawing.paint(palette) * drawing.subject() + palette.T[:, drawing.owner] * (1.0 - drawing.subject())
    return over(wall, colour, amount), drawing


def pixels(canvas: Canvas, cells: float, contour: float) -> Filled:
    """A coarse grid of pixels: hard areas, two tones, a contour."""
    n = round(cells)
    size = SIZE / n
    axis = (np.arange(n, dtype=np.float32) + np.float32(0.5)) * np.float32(size)
    x, y = np.meshgrid(axis, axis)
    drawing = draw(canvas.scene, x, y, size)
    role = drawing.weights.argmax(0)
    out = canvas.palette.T[:, role]
    subject = role > GROUND
    slope = np.zeros_like(drawing.relief)
    slope[1:-1] = drawing.relief[2:] - drawing.relief[:-2]
    out = out * np.where(subject & (slope < -0.25 * size), 0.76, 1.0).astype(np.float32)
    band = ((np.arange(n)[:, None] + np.arange(n)) % 2 == 0) & (y < SIZE * 0.22) & ~subject
    out = np.where(band, out * np.float32(0.90), out)
    edge = (drawing.silhouette > 0.0) & (drawing.silhouette < size * 1.05) & ~subject & (contour > 0.3)
    dark = canvas.palette[DARK] if luminance(canvas.palette[DARK][None])[0] < 0.5 else canvas.palette[BACKGROUND]
    out = np.where(edge, flat(dark * np.float32(0.6)), out)
    index = np.minimum((np.arange(SIZE) / size).astype(np.int64), n - 1)
    return out[:, index][:, :, index], canvas.drawing
