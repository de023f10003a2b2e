"""From a scene to the fields that every renderer reads: role weights, visible lines, relief."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .colours import BACKGROUND, GROUND, ROLES, base_palette
from .markings import marked
from .noise import SIZE, pixel_grid
from .scene import Scene
from .sdf import turn
from .subject_part import Part

DECAL_BEVEL = 0.14  # parts that rise over less than this, in units of the subject's scale, are laid on


@dataclass(frozen=True)
class Drawing:
    """A scene evaluated on a grid of h w points; all distances are in pixels.

    Attributes:
        parts: the subject's parts from back to front.
        weights: ROLES h w, how much of each point belongs to each role; sums to 1.
        silhouette: h w, signed distance to the whole subject.
        edge: h w, distance to the nearest visible outline of a part.
        owner: h w, role of the part that this outline belongs to.
        relief: h w, height of the subject's surface above the picture.
    """

    parts: list[Part]
    weights: np.ndarray
    silhouette: np.ndarray
    edge: np.ndarray
    owner: np.ndarray
    relief: np.ndarray

    def paint(self, palette: np.ndarray) -> np.ndarray:
        """Return the picture 3 h w whose roles have the colours of `palette` (ROLES 3)."""
        return np.tensordot(np.asarray(palette, np.float32), self.weights, ((0,), (0,)))

    def tone(self, values: np.ndarray) -> np.ndarray:
        """Return the grey picture h w whose roles have the brightness `values` (ROLES)."""
        return np.tensordot(np.asarray(values, np.float32), self.weights, ((0,), (0,)))

    def subject(self) -> np.ndarray:
        """Return how much of each point the subject covers, h w."""
        return 1.0 - self.weights[BACKGROUND] - self.weights[GROUND]

    def line(self, width: float | np.ndarray) -> np.ndarray:
        """Return the coverage h w of the visible outlines drawn `width` pixels wide."""
        return np.clip(width * 0.5 + 0.5 - self.edge, 0.0, 1.0)

    def lit(self, light: int) -> np.ndarray:
        """Return how much each point faces the light, h w in -1..1; 0 where the surface is flat."""
        h = self.relief
        slope = np.zeros_like(h)
        # A central difference along the diagonal the light comes in on.
        slope[1:-1, 1:-1] = h[2:, 2:] - h[:-2, :-2] if light < 0 else h[2:, :-2] - h[:-2, 2:]
        return np.clip(slope * np.float32(0.45), -1.0, 1.0) * self.subject()


def palette_of(scene: Scene) -> np.ndarray:
    """Return the scene's own colours, ROLES 3."""
    who = scene.individual
    return base_palette(who.first, who.second, who.accent, scene.background)


def draw(scene: Scene, x: np.ndarray | None = None, y: np.ndarray | None = None, pixel: float = 1.0) -> Drawing:
    """Evaluate a scene at the points `x`, `y` (h w, in pixels; default: every pixel centre).

    Moving the points bends the drawing, which is how hand-made styles get their wobble. `pixel` is the
    distance between points, over which outlines are smoothed.
    """
    if x is None or y is None:
        x, y = pixel_grid()
    pose = scene.pose
    u, v = turn((x - pose.x) * np.float32(1 / pose.scale), (y - pose.y) * np.float32(1 / pose.scale), pose.angle)
    if pose.mirror:
        u = -u
    u = u + np.float32(pose.lean) * v * np.abs(v)
    who, parts = scene.individual, []
    for role, distance, bevel in marked(who.parts(u, v, pose.move), u, v, who.marking, who.shape):
        parts.append(Part(role, np.asarray(distance, np.float32) * np.float32(pose.scale), bevel * pose.scale))
    weights = np.zeros((ROLES, *x.shape), np.float32)
    weights[GROUND] = np.clip((y - scene.horizon) / pixel + 0.5, 0.0, 1.0)
    weights[BACKGROUND] = 1.0 - weights[GROUND]
    edge = np.full(x.shape, np.float32(2 * SIZE))
    owner = np.zeros(x.shape, np.int8)
    silhouette, relief = edge.copy(), np.zeros_like(edge)
    for role, distance, bevel in parts:
        silhouette = np.minimum(silhouette, distance)
        size = np.abs(distance)
        # A part hides every outline under it, so inside it only its own outline counts.
        closer = (distance < 0.0) | (size < edge)
        np.copyto(edge, size, where=closer)
        np.copyto(owner, role, where=closer)
        # Most parts are small: painting only their box is several times faster than the whole grid.
        near = _window(distance < pixel)
        d = distance[near]
        cover = np.clip(0.5 - d / np.float32(pixel), 0.0, 1.0)
        patch = weights[:, near[0], near[1]]
        patch *= 1.0 - cover
        patch[role] += cover
        rise = np.minimum(size[near] * np.float32(1.0 / bevel), 1.0)
        under = relief[near]
        # A solid part stands for itself a little inside its outline; a thin one follows what it lies on.
        dome = np.sqrt(rise * (2.0 - rise)) * np.float32(bevel)
        rest = under * (1.0 - rise) if bevel > DECAL_BEVEL * pose.scale else under
        np.copyto(under, rest + dome, where=d < 0.0)
    return Drawing(parts, weights, silhouette, edge, owner, relief)


def _window(mask: np.ndarray) -> tuple[slice, slice]:
    """Return the slices of the smallest box that holds every true point of an h w mask."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not rows.size:
        return slice(0, 0), slice(0, 0)
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
