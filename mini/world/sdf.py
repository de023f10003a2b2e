"""Signed distances to plane shapes: negative inside, in the units of the coordinates.

Only what the subjects need. Distances are exact next to the outline, which is where anti-aliasing and
strokes look, and merely monotone far from it. Formulas are derived from the definition of each shape.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...uso_model.errors import UserError

Array = np.ndarray


def circle(x: Array, y: Array, cx: float, cy: float, radius: float) -> Array:
    """Return the distance to a disc; `x`, `y` and the result are h w."""
    return np.hypot(x - cx, y - cy) - radius


def ellipse(x: Array, y: Array, cx: float, cy: float, rx: float, ry: float, angle: float = 0.0) -> Array:
    """Return the distance to a filled ellipse, to first order: f / |grad f| with f = |p / r| - 1."""
    dx, dy = turn(x - cx, y - cy, angle)
    ux, uy = dx / rx, dy / ry
    # The small terms keep the quotient finite in the centre, where both norms vanish.
    k0 = np.sqrt(ux * ux + uy * uy + 1e-8)
    ux, uy = ux / rx, uy / ry
    k1 = np.sqrt(ux * ux + uy * uy + 1e-8 / min(rx, ry) ** 2)
    return k0 * (k0 - 1.0) / k1


def box(x: Array, y: Array, cx: float, cy: float, hx: float, hy: float, corner: float = 0.0) -> Array:
    """Return the distance to a rectangle of half sizes `hx`, `hy` with rounded corners."""
    qx = np.abs(x - cx) - (hx - corner)
    qy = np.abs(y - cy) - (hy - corner)
    outside = np.hypot(np.maximum(qx, 0.0), np.maximum(qy, 0.0))
    return outside + np.minimum(np.maximum(qx, qy), 0.0) - corner


def capsule(x: Array, y: Array, a: tuple[float, float], b: tuple[float, float], ra: float, rb: float) -> Array:
    """Return the distance to a stroke from `a` to `b` whose radius goes linearly from `ra` to `rb`."""
    bx, by = b[0] - a[0], b[1] - a[1]
    px, py = x - a[0], y - a[1]
    t = np.clip((px * bx + py * by) / (bx * bx + by * by), 0.0, 1.0)
    return np.hypot(px - t * bx, py - t * by) - (ra + (rb - ra) * t)


def convex(x: Array, y: Array, points: Sequence[tuple[float, float]], corner: float = 0.0) -> Array:
    """Return the distance to a convex polygon (either winding), its corners softened by `corner`."""
    area = sum(p[0] * q[1] - q[0] * p[1] for p, q in _edges(points))
    sign = 1.0 if area > 0 else -1.0
    distance: Array | None = None
    for p, q in _edges(points):
        ex, ey = q[0] - p[0], q[1] - p[1]
        length = float(np.hypot(ex, ey))
        nx, ny = sign * ey / length, -sign * ex / length
        plane = x * nx + y * ny - (p[0] * nx + p[1] * ny)
        if distance is None:
            distance = plane
        else:
            distance = -smooth_union(-distance, -plane, corner) if corner else np.maximum(distance, plane)
    if distance is None:
        raise UserError(f"Got {len(points)} points for a polygon, expected at least 3; pass its corners in order.")
    return distance


def ring(x: Array, y: Array, cx: float, cy: float, rx: float, ry: float, half_width: float) -> Array:
    """Return the distance to the outline of an ellipse drawn `2 * half_width` wide."""
    return np.abs(ellipse(x, y, cx, cy, rx, ry)) - half_width


def turn(x: Array, y: Array, angle: float) -> tuple[Array, Array]:
    """Return the coordinates seen by a shape that is rotated by `angle` radians."""
    if not angle:
        return x, y
    c, s = float(np.cos(angle)), float(np.sin(angle))
    return x * c + y * s, y * c - x * s


def union(*distances: Array) -> Array:
    """Return the distance to all shapes together."""
    result = distances[0]
    for distance in distances[1:]:
        result = np.minimum(result, distance)
    return result


def smooth_union(a: Array, b: Array, width: float) -> Array:
    """Return the union of two shapes with the seam filled over `width` (quadratic blend)."""
    h = np.maximum(width - np.abs(a - b), 0.0) / width
    return np.minimum(a, b) - h * h * (width * 0.25)


def within(inner: Array, outer: Array) -> Array:
    """Return the part of `inner` that lies inside `outer`."""
    return np.maximum(inner, outer)


def _edges(points: Sequence[tuple[float, float]]) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    return [(points[i], points[(i + 1) % len(points)]) for i in range(len(points))]
