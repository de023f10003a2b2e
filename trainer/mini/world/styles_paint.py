"""Styles made of colour fields: watercolour, oil, stained glass."""

from __future__ import annotations

import numpy as np

from .colours import ACCENT, BACKGROUND, DARK, GROUND, flat, mix, over, tinted
from .drawing import draw, palette_of
from .noise import SIZE, cells, field, pixel_grid, strokes
from .scene import Scene

_PAPERS = {"cream": (0.99, 0.96, 0.89), "white": (0.97, 0.98, 0.98)}


def watercolour(scene: Scene, bleed: float, paper: str, texture: float) -> np.ndarray:
    """Return a watercolour: thin pigment on paper, dark drying rims, blooms, an unpainted margin."""
    x, y = pixel_grid()
    seed = int(texture) * 10
    wobble_x = bleed * (field(seed, 14.0) + 0.5 * field(seed + 1, 6.0))
    wobble_y = bleed * (field(seed + 2, 14.0) + 0.5 * field(seed + 3, 6.0))
    drawing = draw(scene, x + wobble_x, y + wobble_y, pixel=1.2 + 0.5 * bleed)
    bloom = field(seed + 4, 24.0)
    granules = field(seed + 5, 3.0)
    palette = palette_of(scene)
    palette[ACCENT] = mix(palette[ACCENT], _PAPERS[paper], 0.7)
    palette[DARK] = (0.24, 0.22, 0.30)
    margin = np.minimum(np.minimum(x, SIZE - x), np.minimum(y, SIZE - y)) - 9.0 + 4.0 * field(seed + 6, 18.0)
    wash = np.clip(margin / 3.0 + 0.5, 0.0, 1.0) * (0.72 + 0.30 * bloom + 0.3 * np.exp(-np.abs(margin) / 1.8))
    rim = np.exp(-drawing.edge / 2.0)
    pigment = 0.70 + 0.26 * bloom + 0.14 * granules + 0.55 * rim - 0.25 * drawing.lit(scene.light)
    subject = drawing.subject()
    amount = np.clip(wash, 0.0, 1.1) * (1.0 - subject) + np.clip(pigment, 0.25, 1.5) * subject
    # Lambert-Beer: light passes the pigment layer, so twice the paint squares the colour.
    film = np.clip(drawing.paint(palette), 0.03, 1.0)
    return flat(_PAPERS[paper]) * np.exp(np.log(film) * amount)


def oil(scene: Scene, width: float, texture: float, tint: str) -> np.ndarray:
    """Return an oil painting: swirling strokes, coarse behind and finer on the subject, thick paint."""
    _, y = pixel_grid()
    seed = int(texture)
    drawing = draw(scene)
    palette = tinted(palette_of(scene), tint)
    lit = drawing.lit(scene.light)
    shaded = drawing.paint(palette) * (1.0 + 0.30 * np.maximum(lit, 0.0) + 0.45 * np.minimum(lit, 0.0))
    shaded = shaded * (1.0 - 0.35 * np.clip(1.6 - drawing.edge, 0.0, 1.0))
    # Every stroke takes the colour under its centre; strokes differ a little in hue and tone.
    hue = np.stack([field(seed + 80 + i, 9.0) for i in range(3)]) * np.float32(0.04)
    coarse, rough = strokes(seed, width * 4.0, width * 1.7)
    fine, smooth = strokes(seed + 5, width * 1.7, width * 0.7)
    behind = over(flat(palette[BACKGROUND]), palette[GROUND], np.clip(y - scene.horizon + 0.5, 0.0, 1.0)) + hue
    back = behind.reshape(3, -1)[:, coarse] + rough * np.float32(0.075)
    touch = (shaded + hue * 0.8).reshape(3, -1)[:, fine] + smooth * np.float32(0.075)
    subject = drawing.subject()
    cover = subject.reshape(-1)[fine]
    # The underpainting shows through, which keeps small parts readable between the strokes.
    touch = over(touch, shaded, 0.45 * subject)
    cover = np.maximum(np.clip((cover - 0.3) * 2.5, 0.0, 1.0) * (drawing.silhouette < 2.5), 0.8 * subject)
    return over(back, touch, cover)


def glass(scene: Scene, cell: float, lead: float, texture: float) -> np.ndarray:
    """Return a stained-glass window: lit panes cut by cells and by every outline, lead between them."""
    x, y = pixel_grid()
    drawing = draw(scene)
    index, centres, seam = cells(int(texture), cell)
    palette = tinted(palette_of(scene), "vivid")
    jitter = np.random.default_rng(int(texture)).uniform(0.78, 1.16, len(centres)).astype(np.float32)
    panes = jitter[index]
    glow = 1.16 - 0.5 * np.hypot(x - 64.0, y - 50.0) / SIZE
    # Each pane is brightest in its middle, where the lead throws no shade.
    body = 0.80 + 0.24 * np.clip(np.minimum(seam, drawing.edge) / 4.0, 0.0, 1.0)
    out = drawing.paint(palette) * (panes * glow * body)
    inside = drawing.silhouette < 0.0
    # Seams stop at small parts: a pane smaller than its lead would only be a blot.
    seams = np.clip(lead * np.where(inside, 0.32, 0.5) + 0.5 - seam, 0.0, 1.0)
    lines = np.maximum(seams, drawing.line(lead))
    if scene.ground:
        floor = np.clip(lead * 0.5 + 0.5 - np.abs(y - scene.horizon), 0.0, 1.0) * ~inside
        lines = np.maximum(lines, floor)
    return over(out, (0.07, 0.07, 0.08), lines)
