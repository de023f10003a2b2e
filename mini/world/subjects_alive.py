"""Living subjects: cat, fish, tree, mushroom, flower, butterfly."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .colours import ACCENT, BODY, DARK, SECOND
from .sdf import Array, capsule, circle, convex, ellipse, ring, smooth_union, union, within
from .subject_part import Part


def cat(x: Array, y: Array, s: Sequence[float], move: float) -> list[Part]:
    """Return a sitting cat: tail, body with bib, head with ears and face."""
    wide, ear = 0.40 + 0.14 * s[0], 0.28 + 0.16 * s[1]
    tip = (0.72 + 0.24 * move, -0.05 - 0.30 * s[2] * move)
    tail = union(capsule(x, y, (0.25, 0.82), (0.80, 0.66), 0.13, 0.12), capsule(x, y, (0.80, 0.66), tip, 0.12, 0.10))
    body = union(ellipse(x, y, 0.0, 0.48, wide, 0.52), ellipse(x, y, 0.0, 0.86, wide + 0.08, 0.15))
    head = ellipse(x, y, 0.0, -0.28, 0.52, 0.43)
    side = np.abs(x)
    ears = convex(side, y, [(0.12, -0.58), (0.50, -0.26), (0.46, -0.62 - ear)], 0.06)
    inner = convex(side, y, [(0.24, -0.56), (0.43, -0.42), (0.41, -0.56 - 0.8 * ear)], 0.04)
    parts = [
        Part(BODY, tail, 0.12),
        Part(SECOND, circle(x, y, *tip, 0.14), 0.12),
        Part(BODY, body, 0.35),
        Part(SECOND, ellipse(x, y, 0.0, 0.50, wide * 0.56, 0.34), 0.2),
        Part(BODY, smooth_union(head, ears, 0.05), 0.35),
        Part(SECOND, inner, 0.1),
        Part(ACCENT, ellipse(side, y, 0.20, -0.32, 0.13, 0.14), 0.1),
        Part(DARK, ellipse(side, y, 0.20, -0.31, 0.065, 0.12), 0.1),
        Part(SECOND, ellipse(side, y, 0.08, -0.06, 0.12, 0.10), 0.1),
        Part(DARK, ellipse(x, y, 0.0, -0.13, 0.09, 0.06), 0.05),
    ]
    return parts


def fish(x: Array, y: Array, s: Sequence[float], move: float) -> list[Part]:
    """Return a fish looking left: forked tail, fins, stripes, eye."""
    tall, tail = 0.42 + 0.14 * s[0], 0.38 + 0.20 * s[1]
    body = ellipse(x, y, -0.18, 0.0, 0.76, tall)
    swing = y - (move - 0.5) * 0.5 * np.maximum(x - 0.3, 0.0)
    fork = convex(x, np.abs(swing), [(0.40, 0.0), (0.62, 0.0), (1.0, tail), (0.92, tail + 0.06)], 0.06)
    fin = convex(x, y, [(-0.40, -tall * 0.80), (0.34, -tall * 0.66), (0.30, -tall - 0.18 - 0.2 * s[2])], 0.06)
    belly = convex(x, y, [(-0.22, tall * 0.86), (0.16, tall * 0.80), (0.20, tall + 0.22)], 0.05)
    parts = [Part(SECOND, fork, 0.12), Part(SECOND, union(fin, belly), 0.12), Part(BODY, body, 0.4)]
    places = (-0.18, 0.14) if s[3] < 0.5 else (-0.02,)
    half = 0.075 if s[3] < 0.5 else 0.15
    for place in places:
        bent = x - place + 0.35 * y * y
        parts.append(Part(SECOND, within(np.abs(bent) - half, body + 0.03), 0.15))
    parts += [
        Part(ACCENT, circle(x, y, -0.58, -0.12, 0.15), 0.1),
        Part(DARK, circle(x, y, -0.61, -0.11, 0.085), 0.06),
        Part(DARK, within(np.abs(y - 0.16 + 0.25 * (x + 0.8)) - 0.03, circle(x, y, -0.78, 0.16, 0.14)), 0.05),
    ]
    return parts


def tree(x: Array, y: Array, s: Sequence[float], move: float) -> list[Part]:
    """Return a tree, leafy with fruit or a fir with a band on each tier, on a two-coloured trunk."""
    trunk = convex(x, y, [(-0.13, 0.2), (0.13, 0.2), (0.20 + 0.06 * s[0], 0.98), (-0.20 - 0.06 * s[0], 0.98)], 0.03)
    if s[3] < 0.5:
        crown = union(
            circle(x, y, 0.24 * move - 0.12, -0.52, 0.44),
            ellipse(x, y, -0.42, -0.20 + 0.1 * s[1] + 0.2 * move, 0.42 + 0.08 * s[2], 0.40),
            ellipse(x, y, 0.42, -0.06, 0.46, 0.38 + 0.06 * s[1]),
            circle(x, y, 0.0, 0.02, 0.46),
        )
        fruit = union(
            *(
                circle(x, y, fx, fy, 0.115)
                for fx, fy in [(-0.46, -0.12), (0.02, -0.58), (0.46, 0.0), (0.10, -0.10), (-0.10, 0.26)]
            )
        )
        return [Part(DARK, trunk, 0.15), Part(BODY, crown, 0.4), Part(SECOND, fruit, 0.1)]
    parts = [Part(DARK, trunk, 0.15)]
    for low, wide in ((0.56, 0.80 + 0.12 * s[1]), (0.10, 0.64), (-0.32, 0.46 + 0.08 * s[2])):
        tier = convex(x, y, [(-wide, low), (wide, low), (0.0, low - 0.70)], 0.08)
        parts += [
            Part(BODY, tier, 0.25),
            Part(SECOND, within(np.abs(y - low + 0.11) - 0.055, tier + 0.02), 0.1),
        ]
    return parts


def mushroom(x: Array, y: Array, s: Sequence[float], move: float) -> list[Part]:
    """Return a toadstool: pale stem with a collar, domed cap with spots."""
    wide, low = 0.86 + 0.12 * s[0], 0.08 + 0.10 * s[1]
    stem = smooth_union(
        capsule(x, y, (0.0, 0.1), (0.16 * move - 0.08, 0.7), 0.22, 0.26 + 0.06 * s[2]),
        ellipse(x, y, 0.16 * move - 0.08, 0.80, 0.36 + 0.08 * s[2], 0.18),
        0.2,
    )
    cap = within(ellipse(x, y, 0.0, low, wide, 1.02), y - low - 0.02)
    rim = ellipse(x, y, 0.0, low, wide, 0.14)
    if s[3] < 0.5:
        where = [(-0.50, -0.22, 0.16), (0.04, -0.52, 0.21), (0.52, -0.20, 0.17), (-0.08, -0.10, 0.12)]
    else:
        where = [(-0.50, -0.06, 0.19), (0.04, -0.44, 0.26), (0.50, -0.04, 0.17)]
    spots = within(union(*(ellipse(x, y, a, b, r, r * 0.86) for a, b, r in where)), cap + 0.03)
    return [
        Part(ACCENT, stem, 0.25),
        Part(SECOND, ellipse(x, y, 0.0, 0.42, 0.34, 0.10), 0.1),
        Part(DARK, rim, 0.1),
        Part(BODY, cap, 0.45),
        Part(SECOND, spots, 0.12),
    ]


def flower(x: Array, y: Array, s: Sequence[float], move: float) -> list[Part]:
    """Return a daisy with five to eight petals, a round heart, a stem and two leaves."""
    count = 5 + int(s[0] * 3.999)
    cy, long = -0.34, 0.62
    angle = np.arctan2(x, cy - y)
    step = 2.0 * np.pi / count
    near = (angle + step * 0.5) % step - step * 0.5
    far = np.hypot(x, y - cy)
    px, py = far * np.sin(near), far * np.cos(near)
    petals = ellipse(px, py, 0.0, 0.38, (0.60 + 0.10 * s[1]) * 1.55 / count, long * 0.46)
    stem = capsule(x, y, (0.0, 0.1), (0.3 * move - 0.15, 0.98), 0.06, 0.07)
    leaves = union(
        ellipse(x, y, 0.32, 0.62, 0.32, 0.13 + 0.05 * s[2], -0.5),
        ellipse(x, y, -0.26, 0.74, 0.30, 0.13 + 0.05 * s[2], 0.5),
    )
    heart = 0.22 + 0.08 * s[3]
    return [
        Part(DARK, stem, 0.06),
        Part(SECOND, leaves, 0.12),
        Part(BODY, petals, 0.2),
        Part(SECOND, circle(x, y, 0.0, cy, heart), 0.2),
        Part(ACCENT, circle(x, y, 0.0, cy, heart * 0.45), 0.1),
    ]


def butterfly(x: Array, y: Array, s: Sequence[float], move: float) -> list[Part]:
    """Return a butterfly seen from above: two pairs of wings with spots, body, feelers."""
    side = np.abs(x)
    side = side * (1.0 + 0.45 * move)  # wings seen more or less from the edge
    upper = ellipse(side, y, 0.52, -0.34, 0.54, 0.36 + 0.08 * s[0], -0.62)
    lower = ellipse(side, y, 0.42, 0.40, 0.42 + 0.06 * s[1], 0.32 + 0.05 * s[1], 0.62)
    feelers = union(capsule(side, y, (0.03, -0.5), (0.24, -0.88), 0.035, 0.03), circle(side, y, 0.25, -0.89, 0.07))
    parts = [Part(DARK, feelers, 0.04), Part(SECOND, lower, 0.2), Part(BODY, upper, 0.25)]
    spot = 0.15 + 0.05 * s[2]
    parts.append(Part(SECOND, ellipse(side, y, 0.60, -0.40, spot * 1.25, spot, -0.62), 0.1))
    if s[3] < 0.5:
        parts.append(Part(BODY, circle(side, y, 0.46, 0.42, 0.15), 0.1))
    else:
        parts.append(Part(ACCENT, ring(side, y, 0.46, 0.42, 0.13, 0.13, 0.05), 0.05))
    parts.append(Part(DARK, capsule(x, y, (0.0, -0.46), (0.0, 0.58), 0.12, 0.07), 0.12))
    return parts
