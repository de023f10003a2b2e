"""More living subjects: bird, rabbit, turtle, snail, owl, cactus."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .colours import ACCENT, BODY, DARK, SECOND
from .sdf import Array, box, capsule, circle, convex, ellipse, ring, smooth_union, union, within
from .subject_part import Part


def bird(x: Array, y: Array, s: Sequence[float], move: float) -> list[Part]:
    """Return a bird looking left: tail, body, a wing that beats, crest, beak, legs."""
    round_, long = 0.40 + 0.10 * s[0], 0.30 + 0.20 * s[1]
    tail = convex(x, y, [(0.36, 0.06), (0.60, 0.30), (0.70 + long, -0.16), (0.62 + long, -0.40)], 0.04)
    body = smooth_union(ellipse(x, y, 0.04, 0.14, 0.58, round_), circle(x, y, -0.46, -0.30, 0.32), 0.2)
    wing = ellipse(x, y, 0.16, 0.10 - 0.34 * move, 0.36, 0.22 + 0.06 * s[2], -0.4 + 1.0 * move)
    beak = convex(x, y, [(-0.72, -0.42), (-0.72, -0.18), (-1.0, -0.27)], 0.03)
    legs = union(
        capsule(x, y, (-0.10, 0.48), (-0.16, 0.92), 0.045, 0.05), capsule(x, y, (0.14, 0.48), (0.14, 0.92), 0.045, 0.05)
    )
    parts = [Part(DARK, legs, 0.05), Part(SECOND, tail, 0.1), Part(SECOND, beak, 0.1), Part(BODY, body, 0.4)]
    if s[3] < 0.5:
        parts.insert(0, Part(SECOND, union(*(circle(x, y, a, -0.62, 0.10) for a in (-0.56, -0.42, -0.30))), 0.1))
    return [
        *parts,
        Part(SECOND, wing, 0.16),
        Part(ACCENT, circle(x, y, -0.54, -0.36, 0.12), 0.08),
        Part(DARK, circle(x, y, -0.56, -0.36, 0.065), 0.05),
    ]


def rabbit(x: Array, y: Array, s: Sequence[float], move: float) -> list[Part]:
    """Return a sitting rabbit: long ears that droop, head, body with a bib, feet."""
    side = np.abs(x)
    long, wide = 0.30 + 0.16 * s[0], 0.42 + 0.10 * s[1]
    tip = (0.24 + 0.34 * move, -0.62 - long + 0.30 * move)
    ears = capsule(side, y, (0.18, -0.42), tip, 0.14, 0.12)
    inner = capsule(side, y, (0.19, -0.48), (tip[0] * 0.96, tip[1] + 0.04), 0.06, 0.05)
    body = ellipse(x, y, 0.0, 0.48, wide, 0.46)
    head = ellipse(x, y, 0.0, -0.18, 0.42 + 0.06 * s[2], 0.36)
    teeth = box(x, y, 0.0, 0.08, 0.07, 0.07, 0.01)
    return [
        Part(BODY, ears, 0.12),
        Part(SECOND, inner, 0.05),
        Part(BODY, body, 0.35),
        Part(SECOND, ellipse(x, y, 0.0, 0.54, wide * 0.55, 0.30), 0.15),
        Part(SECOND, ellipse(side, y, 0.30, 0.88, 0.24, 0.11), 0.1),
        Part(BODY, head, 0.35),
        Part(ACCENT, teeth, 0.04),
        Part(ACCENT, ellipse(side, y, 0.18, -0.24, 0.10, 0.12 if s[3] < 0.5 else 0.08), 0.08),
        Part(DARK, circle(side, y, 0.18, -0.23, 0.06), 0.05),
        Part(SECOND if s[3] < 0.5 else DARK, ellipse(x, y, 0.0, -0.06, 0.08, 0.06), 0.05),
    ]


def turtle(x: Array, y: Array, s: Sequence[float], move: float) -> list[Part]:
    """Return a turtle looking left: domed shell with plates, neck that stretches, legs, tail."""
    tall = 0.62 + 0.20 * s[0]
    shell = within(ellipse(x, y, 0.10, 0.36, 0.74, tall), y - 0.40)
    rim = capsule(x, y, (-0.62, 0.40), (0.82, 0.40), 0.09 + 0.03 * s[1], 0.09 + 0.03 * s[1])
    head = (-0.70 - 0.10 * move, 0.10 - 0.34 * move)
    neck = capsule(x, y, (-0.46, 0.42), head, 0.13, 0.14)
    skull = ellipse(x, y, head[0] - 0.04, head[1], 0.20 + 0.04 * s[2], 0.17)
    legs = union(*(capsule(x, y, (a, 0.44), (a + b, 0.78), 0.13, 0.15) for a, b in ((-0.36, -0.06), (0.52, 0.06))))
    plates = [(0.10, -0.06, 0.20), (-0.28, 0.14, 0.15), (0.48, 0.14, 0.15)] if s[3] < 0.5 else [(0.10, 0.06, 0.28)]
    return [
        Part(SECOND, capsule(x, y, (0.74, 0.46), (0.98, 0.58), 0.08, 0.03), 0.06),
        Part(SECOND, legs, 0.12),
        Part(SECOND, smooth_union(neck, skull, 0.1), 0.13),
        Part(BODY, shell, 0.4),
        Part(SECOND, within(union(*(ellipse(x, y, a, b, r, r) for a, b, r in plates)), shell + 0.04), 0.08),
        Part(ACCENT, rim, 0.08),
        Part(ACCENT, circle(x, y, head[0] - 0.08, head[1] - 0.05, 0.085), 0.05),
        Part(DARK, circle(x, y, head[0] - 0.09, head[1] - 0.05, 0.05), 0.04),
    ]


def snail(x: Array, y: Array, s: Sequence[float], move: float) -> list[Part]:
    """Return a snail looking left: foot, raised head with horns, coiled house."""
    size = 0.48 + 0.10 * s[0]
    cx, cy = 0.20, 0.60 - size
    foot = capsule(x, y, (-0.60, 0.72), (0.94, 0.80), 0.15, 0.05)
    head = capsule(x, y, (-0.58, 0.70), (-0.72, 0.26), 0.16, 0.15)
    horns = union(
        *(capsule(x, y, (-0.70, 0.20), (a, -0.16 - 0.2 * move), 0.045, 0.04) for a in (-0.92, -0.60 + 0.1 * move))
    )
    tips = union(*(circle(x, y, a, -0.18 - 0.2 * move, 0.08) for a in (-0.92, -0.60 + 0.1 * move)))
    turns = [ring(x, y, cx, cy, size * 0.62, size * 0.62, 0.06 + 0.02 * s[1]), circle(x, y, cx, cy, size * 0.26)]
    if s[3] < 0.5:
        turns = [capsule(x, y, (cx, cy), (cx + size * 0.9, cy - 0.2), 0.07, 0.05), circle(x, y, cx, cy, size * 0.42)]
    return [
        Part(SECOND, horns, 0.04),
        Part(DARK, tips, 0.06),
        Part(SECOND, smooth_union(foot, head, 0.15), 0.15),
        Part(BODY, circle(x, y, cx, cy, size), 0.4),
        Part(SECOND, union(*turns), 0.08),
        Part(DARK, within(np.abs(y - 0.36) - 0.03, circle(x, y, -0.84, 0.36, 0.10 + 0.02 * s[2])), 0.03),
    ]


def owl(x: Array, y: Array, s: Sequence[float], move: float) -> list[Part]:
    """Return an owl on its feet: tufts, huge eyes, wings that lift, belly."""
    side = np.abs(x)
    wide = 0.52 + 0.12 * s[0]
    body = union(ellipse(x, y, 0.0, 0.30, wide, 0.62), ellipse(x, y, 0.0, -0.36, wide * 0.92, 0.44))
    tufts = convex(side, y, [(0.14, -0.66), (wide * 0.86, -0.48), (0.44 + 0.1 * s[1], -0.98)], 0.04)
    wings = ellipse(side, y, wide + 0.06 + 0.12 * move, 0.20 - 0.12 * move, 0.17, 0.48, -0.15 - 0.7 * move)
    eye = 0.22 + 0.04 * s[2]
    parts = [
        Part(SECOND, ellipse(side, y, 0.20, 0.92, 0.15, 0.09), 0.08),
        Part(BODY, tufts, 0.1),
        Part(BODY, body, 0.4),
        Part(SECOND, wings, 0.12),
        Part(ACCENT if s[3] < 0.5 else SECOND, ellipse(x, y, 0.0, 0.42, wide * 0.58, 0.40), 0.15),
        Part(ACCENT, circle(side, y, 0.25, -0.36, eye), 0.1),
        Part(DARK, circle(side, y, 0.23, -0.36, eye * 0.5), 0.08),
        Part(SECOND, convex(x, y, [(-0.10, -0.22), (0.10, -0.22), (0.0, 0.02)], 0.02), 0.06),
    ]
    return parts


def cactus(x: Array, y: Array, s: Sequence[float], move: float) -> list[Part]:
    """Return a cactus in a pot: trunk, one or two arms that rise, a flower."""
    wide = 0.24 + 0.06 * s[0]
    trunk = capsule(x, y, (0.0, -0.52), (0.0, 0.44), wide, wide + 0.03)
    lift = 0.10 + 0.42 * move
    right = union(
        capsule(x, y, (0.10, 0.16), (0.58, 0.12), 0.12, 0.12),
        capsule(x, y, (0.58, 0.12), (0.60, 0.06 - lift), 0.12, 0.12),
    )
    arms = [right]
    if s[3] < 0.5:
        arms.append(capsule(x, y, (-0.10, -0.02), (-0.56, -0.06), 0.11, 0.11))
        arms.append(capsule(x, y, (-0.56, -0.06), (-0.58, -0.10 - lift * 0.8), 0.11, 0.11))
    pot = convex(x, y, [(-0.44, 0.50), (0.44, 0.50), (0.30 + 0.06 * s[1], 0.98), (-0.30 - 0.06 * s[1], 0.98)], 0.04)
    bloom = union(*(circle(x, y, a, b, 0.11) for a, b in ((-0.12, -0.80), (0.12, -0.80), (0.0, -0.92))))
    return [
        Part(SECOND, bloom, 0.08),
        Part(ACCENT, circle(x, y, 0.0, -0.80, 0.07 + 0.02 * s[2]), 0.05),
        Part(BODY, smooth_union(trunk, union(*arms), 0.08), 0.25),
        Part(SECOND, pot, 0.15),
        Part(DARK, box(x, y, 0.0, 0.52, 0.48, 0.07, 0.03), 0.06),
    ]
