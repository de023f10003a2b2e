"""Styles made of flat shapes: poster, pixel art, papercut."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from .colours import BACKGROUND, CHARCOAL, CREAM, GROUND, flat, luminance, mix, over, tinted
from .drawing import draw, palette_of
from .noise import SIZE, field, pixel_grid
from .scene import Scene


def poster(scene: Scene, tint: str, rays: float) -> np.ndarray:
    """Return a screen-printed poster: rays behind, flat colours, one hard shadow tone, a pale halo."""
    x, y = pixel_grid()
    drawing = draw(scene)
    palette = tinted(palette_of(scene), tint)
    pose = scene.pose
    angle = np.arctan2(y - pose.y, x - pose.x)
    wave = np.sin(angle * rays)
    radius = np.hypot(y - pose.y, x - pose.x)
    ray = np.clip(wave * radius / rays + 0.5, 0.0, 1.0)
    back = palette[BACKGROUND]
    other = mix(back, CREAM, 0.55) if luminance(back[None])[0] < 0.8 else back * np.float32(0.84)
    behind = over(flat(back), other, ray)
    if scene.ground:
        behind = over(behind, palette[GROUND] * np.float32(0.8), drawing.weights[GROUND])
    halo = np.clip(3.5 - drawing.silhouette, 0.0, 1.0)
    behind = over(behind, CREAM, halo)
    ink = drawing.paint(palette)
    # One shadow tone with a hard border; gently curved surfaces would otherwise leave specks.
    shadow = np.clip((-drawing.lit(scene.light) - 0.22) * 6.0, 0.0, 1.0)
    return over(behind, ink * (1.0 - 0.26 * shadow), drawing.subject())


def pixel(scene: Scene, cells: float, tint: str) -> np.ndarray:
    """Return pixel art on a `cells` x `cells` grid: hard roles, two tones, a dark contour."""
    n = int(cells)
    size = SIZE / n
    axis = (np.arange(n, dtype=np.float32) + np.float32(0.5)) * np.float32(size)
    x, y = np.meshgrid(axis, axis)
    drawing = draw(scene, x, y, size)
    palette = np.round(tinted(palette_of(scene), tint) * 12.0) / 12.0
    role = drawing.weights.argmax(0)
    out = palette.T[:, role]
    subject = role > GROUND
    h = drawing.relief
    slope = np.zeros_like(h)
    slope[1:-1] = h[2:] - h[:-2]
    out = out * np.where(subject & (slope < -0.25 * size), 0.76, 1.0).astype(np.float32)
    # Dithered bands on the backdrop, one cell in two.
    band = ((np.arange(n)[:, None] + np.arange(n)) % 2 == 0) & (y < SIZE * 0.22) & ~subject
    out = np.where(band, out * np.float32(0.92), out)
    contour = (drawing.silhouette > 0.0) & (drawing.silhouette < size * 1.05) & ~subject
    out = np.where(contour, flat(CHARCOAL) * np.float32(0.7), out)
    index = np.minimum((np.arange(SIZE) / size).astype(np.int64), n - 1)
    return out[:, index][:, :, index]


def papercut(scene: Scene, tint: str, depth: float, texture: float) -> np.ndarray:
    """Return layered paper: a two-sheet frame, every part a sheet with a soft drop shadow."""
    drawing = draw(scene)
    palette = tinted(palette_of(scene), tint)
    light = scene.light
    back = palette[BACKGROUND]
    out = flat(back * np.float32(0.93))
    for level, sheet in enumerate(_frames(int(texture))):
        out = _lay(out, sheet, mix(back, CREAM, 0.30 + 0.35 * level), depth, light)
    if scene.ground:
        _, y = pixel_grid()
        hill = scene.horizon + 3.0 * field(int(texture) + 40, 48.0) - y
        out = _lay(out, hill, palette[GROUND], depth, light)
    for part in drawing.parts:
        out = _lay(out, part.distance, palette[part.role], depth, light)
    grain = field(int(texture) + 50, 2.5) * np.float32(0.022)
    return out + grain


def _lay(under: np.ndarray, distance: np.ndarray, colour: np.ndarray, depth: float, light: int) -> np.ndarray:
    """Return the picture with one sheet of paper laid on it, shadow first."""
    shift = int(depth * 0.7)
    cast = np.roll(distance, (shift, -light * shift), (0, 1))
    dark = np.clip(0.5 - cast / (depth * 1.6), 0.0, 1.0) * np.float32(0.42)
    cover = np.clip(0.5 - distance, 0.0, 1.0)
    # The cut edge catches the light.
    rim = np.clip(1.6 - np.abs(distance + 0.8), 0.0, 1.0) * np.float32(0.16)
    sheet = over(flat(colour), (1.0, 1.0, 1.0), rim)
    return over(under * (1.0 - dark), sheet, cover)


@lru_cache(maxsize=8)
def _frames(texture: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the signed distances of two wavy sheets that frame the picture."""
    x, y = pixel_grid()
    radius = np.hypot(x - SIZE / 2, y - SIZE / 2)
    first = 68.0 - radius + 5.0 * field(texture + 20, 26.0)
    second = 80.0 - radius + 5.0 * field(texture + 30, 30.0)
    return first.astype(np.float32), second.astype(np.float32)
