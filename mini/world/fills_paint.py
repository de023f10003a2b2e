"""Fills made of paint and pieces: wash, strokes, dabs, tiles, panes, stitches, threads."""

from __future__ import annotations

import numpy as np

from .canvas import Canvas
from .colours import ACCENT, BACKGROUND, GROUND, flat, luminance, mix, over
from .drawing import Drawing
from .lattices import grid, scattered, stripes
from .noise import SIZE, pixel_grid
from .noise import strokes as brushwork

Filled = tuple[np.ndarray, Drawing]


def wash(canvas: Canvas, bleed: float, bloom: float, margin: float) -> Filled:
    """Thin pigment on paper: dark drying rims, blooms, an unpainted margin."""
    x, y = pixel_grid()
    drawing = canvas.bent(bleed, 12.0, pixel=1.2 + 0.5 * bleed)
    cloud, granules = canvas.field(3, 24.0), canvas.field(4, 3.0)
    palette = canvas.palette.copy()
    dark = luminance(palette[BACKGROUND][None])[0] < 0.35
    paper = np.array((0.98, 0.97, 0.93), np.float32) if not dark else palette[BACKGROUND]
    palette[ACCENT] = mix(palette[ACCENT], paper, 0.5)
    inside = np.minimum(np.minimum(x, SIZE - x), np.minimum(y, SIZE - y)) - margin + 4.0 * canvas.field(5, 18.0)
    layer = np.clip(inside / 3.0 + 0.5, 0.0, 1.0) * (0.72 + bloom * cloud + 0.3 * np.exp(-np.abs(inside) / 1.8))
    pigment = 0.72 + bloom * cloud + 0.14 * granules + 0.55 * np.exp(-drawing.edge / 2.0)
    pigment = pigment - 0.25 * drawing.lit(canvas.scene.light)
    subject = drawing.subject()
    amount = np.clip(layer, 0.0, 1.1) * (1.0 - subject) + np.clip(pigment, 0.25, 1.5) * subject
    if dark:
        return over(flat(paper), drawing.paint(palette), np.clip(amount, 0.0, 1.0)), drawing
    # Lambert-Beer: light passes the pigment layer, so twice the paint squares the colour.
    film = np.clip(drawing.paint(palette) / flat(paper), 0.03, 1.0)
    return flat(paper) * np.exp(np.log(film) * amount), drawing


def strokes(canvas: Canvas, width: float, relief: float) -> Filled:
    """Swirling brush strokes, coarse behind and finer on the subject, thick paint."""
    _, y = pixel_grid()
    drawing, palette = canvas.drawing, canvas.palette
    lit = drawing.lit(canvas.scene.light)
    shaded = drawing.paint(palette) * (1.0 + 0.30 * np.maximum(lit, 0.0) + 0.45 * np.minimum(lit, 0.0))
    shaded = shaded * (1.0 - 0.35 * np.clip(1.6 - drawing.edge, 0.0, 1.0))
    # Every stroke takes the colour under its centre; strokes differ a little in hue and tone.
    hue = np.stack([canvas.field(3 + i, 9.0) for i in range(3)]) * np.float32(0.05)
    width = round(width * 2) / 2
    coarse, rough = brushwork(canvas.seed, width * 4.0, width * 1.7)
    fine, smooth = brushwork(canvas.seed + 50, width * 1.7, width * 0.7)
    floor = np.clip(y - canvas.scene.horizon + 0.5, 0.0, 1.0)
    behind = over(np.broadcast_to(flat(palette[BACKGROUND]), (3, SIZE, SIZE)), palette[GROUND], floor) + hue
    back = behind.reshape(3, -1)[:, coarse] + rough * np.float32(relief)
    touch = (shaded + hue * 0.8).reshape(3, -1)[:, fine] + smooth * np.float32(relief)
    subject = drawing.subject()
    # The underpainting shows through, which keeps small parts readable between the strokes.
    touch = over(touch, shaded, 0.4 * subject)
    loose = np.clip((subject.reshape(-1)[fine] - 0.3) * 2.5, 0.0, 1.0) * (drawing.silhouette < 2.5)
    return over(back, touch, np.maximum(loose, 0.8 * subject)), drawing


def dabs(canvas: Canvas, size: float, spread: float) -> Filled:
    """Points of pure colour that differ from one another, with the ground showing between them."""
    drawing = canvas.drawing
    source, distance, _, number = scattered(canvas.seed, round(size * 4) / 4)
    plain = drawing.paint(canvas.palette) * (1.0 + 0.25 * drawing.lit(canvas.scene.light))
    turn = np.stack([np.sin(number * 6.283 + phase) for phase in (0.0, 2.1, 4.2)]).astype(np.float32)
    points = plain.reshape(3, -1)[:, source] + np.float32(spread) * turn
    cover = np.clip((0.52 - distance) * size + 0.6, 0.0, 1.0)
    return np.clip(
        over(mix(plain.transpose(1, 2, 0), (1, 1, 1), 0.25).transpose(2, 0, 1), points, cover), 0, 1
    ), drawing


def tiles(canvas: Canvas, size: float, round_: float, grout: float) -> Filled:
    """Square stones or round beads in rows, each of one colour, set in a pale or dark bed."""
    drawing = canvas.drawing
    source, u, v = grid(round(size * 4) / 4, 0.0, 0.5 if round_ > 0.5 else 0.0)
    plain = drawing.paint(canvas.palette)
    tone = 1.0 + 0.10 * canvas.field(3, 3.0).reshape(-1)[source]
    inside = np.hypot(u, v) - 0.46 if round_ > 0.5 else np.maximum(np.abs(u), np.abs(v)) - 0.42
    cover = np.clip(0.5 - inside * size, 0.0, 1.0)
    shine = 1.0 - 0.25 * (u + v)
    return over(
        np.full((3, SIZE, SIZE), np.float32(grout)), plain.reshape(3, -1)[:, source] * tone * shine, cover
    ), drawing


def panes(canvas: Canvas, size: float, lead: float) -> Filled:
    """Lit panes cut by cells and by every outline, dark lead between them."""
    x, y = pixel_grid()
    drawing = canvas.drawing
    _, _, seam, number = scattered(canvas.seed, round(size))
    light = 1.16 - 0.5 * np.hypot(x - 64.0, y - 50.0) / SIZE
    # Each pane is brightest in its middle, where the lead throws no shade.
    body = 0.80 + 0.24 * np.clip(np.minimum(seam, drawing.edge) / 4.0, 0.0, 1.0)
    out = drawing.paint(canvas.palette) * ((0.78 + 0.38 * number) * light * body)
    inside = drawing.silhouette < 0.0
    # Seams stop at small parts: a pane smaller than its lead would only be a blot.
    seams = np.clip(lead * np.where(inside, 0.32, 0.5) + 0.5 - seam, 0.0, 1.0)
    lines = np.maximum(seams, drawing.line(lead))
    floor = np.clip(lead * 0.5 + 0.5 - np.abs(y - canvas.scene.horizon), 0.0, 1.0) * ~inside * canvas.scene.ground
    return over(out, (0.07, 0.07, 0.08), np.maximum(lines, floor)), drawing


def knit(canvas: Canvas, size: float, relief: float) -> Filled:
    """One colour per stitch, every stitch a V of two slanted loops."""
    x, y = pixel_grid()
    drawing = canvas.drawing
    wide, tall = size * 1.2, size
    column = np.floor(x / wide)
    across = x / wide - column - 0.5
    # Loops lean outwards and up: the row's border is bent into a V.
    lean = (y + np.abs(across) * tall * 1.1) / tall
    row = np.floor(lean)
    loop = np.hypot((np.abs(across) - 0.25) / 0.30, (lean - row - 0.5) / 0.62)
    shade = np.clip(1.16 - relief * loop**2, 0.35, 1.1)
    cx = np.clip((column + 0.5) * wide, 0, SIZE - 1).astype(np.int64)
    cy = np.clip((row + 0.25) * tall, 0, SIZE - 1).astype(np.int64)
    return drawing.paint(canvas.palette).reshape(3, -1)[:, cy * SIZE + cx] * shade, drawing


def stitch(canvas: Canvas, size: float, thread: float) -> Filled:
    """Crosses of thread on cloth: an X in every cell."""
    drawing = canvas.drawing
    source, u, v = grid(round(size * 4) / 4)
    arm = np.minimum(np.abs(u - v), np.abs(u + v)) * np.float32(0.7071 * size)
    cover = np.clip(thread * 0.5 + 0.5 - arm, 0.0, 1.0)
    top = np.where(np.abs(u - v) < np.abs(u + v), 1.06, 0.88)
    cloth = mix(canvas.palette[BACKGROUND], (0.93, 0.90, 0.82), 0.55)
    holes = 1.0 - 0.30 * np.clip(1.3 - np.hypot(np.abs(u) - 0.5, np.abs(v) - 0.5) * size, 0.0, 1.0)
    sewn = drawing.paint(canvas.palette).reshape(3, -1)[:, source] * top
    bare = drawing.weights[BACKGROUND].reshape(-1)[source] > 0.5
    return over(flat(cloth) * holes, sewn, cover * ~bare), drawing


def weave(canvas: Canvas, size: float, relief: float) -> Filled:
    """Threads over and under one another, every crossing of one colour."""
    drawing = canvas.drawing
    source, u, v = grid(round(size * 4) / 4)
    x, y = pixel_grid()
    odd = (np.floor(x / size) + np.floor(y / size)) % 2 == 0
    across = np.where(odd, u, v)
    shade = 1.06 - np.float32(relief) * (2.0 * np.abs(across)) ** 2 - 0.10 * odd
    along = stripes(np.where(odd, y, x) * 1.0, max(size / 2, 1.5), 0.5) * np.float32(0.06)
    return drawing.paint(canvas.palette).reshape(3, -1)[:, source] * (shade - along), drawing
