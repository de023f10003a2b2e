"""Smooth random fields and cell maps, cached because every picture of a style variant shares them."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from PIL import Image

SIZE = 128


@lru_cache(maxsize=1)
def pixel_grid() -> tuple[np.ndarray, np.ndarray]:
    """Return the x and y coordinates of the pixel centres, both SIZE SIZE float32."""
    axis = np.arange(SIZE, dtype=np.float32) + np.float32(0.5)
    x, y = np.meshgrid(axis, axis)
    return _frozen(x), _frozen(y)


@lru_cache(maxsize=256)
def field(seed: int, width: float, height: float | None = None) -> np.ndarray:
    """Return smooth noise in -1..1, SIZE SIZE, with blobs about `width` x `height` pixels large."""
    height = width if height is None else height
    cells = max(2, round(SIZE / height) + 2), max(2, round(SIZE / width) + 2)
    values = np.random.default_rng([seed, cells[0], cells[1]]).uniform(-1.0, 1.0, cells).astype(np.float32)
    # Crop one cell at each side, where the resize has no neighbours and turns flat.
    crop = (cells[1] / (2.0 * SIZE), cells[0] / (2.0 * SIZE), cells[1] - 0.5, cells[0] - 0.5)
    image = Image.fromarray(values).resize((SIZE, SIZE), Image.Resampling.BICUBIC, box=crop)
    out = np.asarray(image, np.float32)
    return _frozen(out / max(float(np.abs(out).max()), 1e-6))


@lru_cache(maxsize=128)
def cells(seed: int, size: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a Voronoi map of jittered cells about `size` pixels wide.

    Returns:
        index: SIZE SIZE, cell of each pixel; centres: n 2 as x y;
        seam: SIZE SIZE, pixels to the border of the cell.
    """
    rng = np.random.default_rng([seed, round(size * 16)])
    count = int(np.ceil(SIZE / size)) + 4
    grid = (np.stack(np.meshgrid(np.arange(count), np.arange(count)), -1) - 1.5) * size
    centres = (grid + rng.uniform(-0.36, 0.36, grid.shape) * size).reshape(-1, 2).astype(np.float32)
    x, y = pixel_grid()
    # Centres leave their place on the grid by less than half a cell, so the nearest two are among nine.
    column, row = (np.floor(a / size + 2.0).astype(np.int64) for a in (x, y))
    around = [(row + i) * count + column + j for i in (-1, 0, 1) for j in (-1, 0, 1)]
    index = np.stack(around, -1).clip(0, count * count - 1)
    distance = np.hypot(x[..., None] - centres[index, 0], y[..., None] - centres[index, 1])
    order = np.argsort(distance, axis=-1)[..., :2]
    near = np.take_along_axis(distance, order, -1)
    first = np.take_along_axis(index, order[..., :1], -1)[..., 0]
    seam = (near[..., 1] - near[..., 0]) * np.float32(0.5)
    return _frozen(first), _frozen(centres), _frozen(seam.astype(np.float32))


@lru_cache(maxsize=128)
def strokes(seed: int, length: float, width: float) -> tuple[np.ndarray, np.ndarray]:
    """Return a map of overlapping brush strokes along a swirling flow.

    Returns:
        source: SIZE SIZE, flat index of the pixel in whose colour each pixel is painted (a stroke's centre);
        relief: SIZE SIZE in -1..1, the paint's bristle marks and edges.
    """
    rng = np.random.default_rng([seed, round(length * 8), round(width * 8)])
    x, y = pixel_grid()
    step = width * 0.8
    count = int(np.ceil(SIZE / step)) + 2
    grid = (np.stack(np.meshgrid(np.arange(count), np.arange(count)), -1).reshape(-1, 2) - 0.5) * step
    centres = rng.permutation(grid + rng.uniform(-0.5, 0.5, grid.shape) * step)
    flow = field(seed + 71, 70.0) * np.pi
    source = np.zeros((SIZE, SIZE), np.int64)
    relief = np.zeros((SIZE, SIZE), np.float32)
    for cx, cy in centres:
        column, row = (int(np.clip(c, 0, SIZE - 1)) for c in (cx, cy))
        reach = int(length) + 2
        top, left = max(row - reach, 0), max(column - reach, 0)
        window = np.s_[top : row + reach + 1, left : column + reach + 1]
        angle = flow[row, column] + rng.normal(0.0, 0.15)
        dx, dy = x[window] - cx, y[window] - cy
        along = (dx * np.cos(angle) + dy * np.sin(angle)) / (length * 0.5)
        across = (dy * np.cos(angle) - dx * np.sin(angle)) / (width * 0.5)
        inside = along**4 + across**2 < 1.0
        source[window][inside] = row * SIZE + column
        tone = rng.uniform(-0.5, 0.5)
        relief[window][inside] = (tone + 0.5 * across * (1.0 - 0.4 * along))[inside]
    return _frozen(source), _frozen(np.clip(relief, -1.0, 1.0))


def _frozen(array: np.ndarray) -> np.ndarray:
    array.setflags(write=False)
    return array
