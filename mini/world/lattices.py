"""Regular and irregular lattices over the picture: for each pixel the centre of its cell and its place in it."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from .noise import SIZE, cells, pixel_grid


@lru_cache(maxsize=128)
def grid(size: float, angle: float = 0.0, jitter: float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a square lattice: flat index of the pixel at each cell's centre, and the place in the cell.

    Args:
        size: side of a cell in pixels.
        angle: of the rows, radians.
        jitter: how far every second row is shifted, in cells.

    Returns:
        source, h w; u and v, h w in -0.5..0.5.
    """
    x, y = pixel_grid()
    c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    u, v = (x * c + y * s) / np.float32(size), (y * c - x * s) / np.float32(size)
    row = np.floor(v)
    shift = (row % 2) * np.float32(jitter)
    column = np.floor(u + shift)
    cu, cv = column + 0.5 - shift, row + 0.5
    return _source((cu * c - cv * s) * size, (cu * s + cv * c) * size), u - cu, v - cv


@lru_cache(maxsize=128)
def scattered(seed: int, size: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return irregular cells about `size` pixels wide.

    Returns:
        source, h w; distance to the cell's centre in cells, h w; pixels to the cell's border, h w; a number in 0..1 for
        each cell, h w.
    """
    index, centres, seam = cells(seed, size)
    x, y = pixel_grid()
    near = centres[index]
    distance = np.hypot(x - near[..., 0], y - near[..., 1]) / np.float32(size)
    number = np.random.default_rng([seed, 7]).uniform(0.0, 1.0, len(centres)).astype(np.float32)
    return _source(near[..., 0], near[..., 1]), distance.astype(np.float32), seam, number[index]


def stripes(along: np.ndarray, period: float, share: np.ndarray | float) -> np.ndarray:
    """Return the coverage h w of parallel bands across `along` (in pixels), of which `share` (0..1) is ink."""
    distance = np.abs((along / np.float32(period)) % 1.0 - 0.5) * np.float32(period)
    width = np.asarray(share, np.float32) * np.float32(period * 0.5)
    return np.clip(width - distance + 0.5, 0.0, 1.0) * np.clip(np.asarray(share, np.float32) * 12.0, 0.0, 1.0)


def _source(cx: np.ndarray, cy: np.ndarray) -> np.ndarray:
    column, row = (np.clip(a, 0, SIZE - 1).astype(np.int64) for a in (cx, cy))
    return row * SIZE + column
