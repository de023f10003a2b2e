"""Made subjects: teapot, house, car, sailboat, robot, rocket."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .colours import ACCENT, BODY, DARK, SECOND
from .sdf import Array, box, capsule, circle, convex, ellipse, ring, smooth_union, union, within
from .subject_part import Part


def teapot(x: Array, y: Array, s: Sequence[float], move: float) -> list[Part]:
    """Return a teapot: handle, spout, round body with a band, lid and knob."""
    wide, tall = 0.56 + 0.08 * s[0], 0.46 + 0.10 * s[1]
    body = union(ellipse(x, y, 0.0, 0.26, wide, tall), box(x, y, 0.0, 0.26 + tall * 0.92, 0.34, 0.09, 0.04))
    spout = union(
        capsule(x, y, (0.36, 0.44), (0.74, 0.16), 0.20, 0.12),
        capsule(x, y, (0.74, 0.16), (0.92, -0.20), 0.12, 0.10),
    )
    band = within(np.abs(y - 0.30) - (0.08 + 0.07 * s[2]), body + 0.02)
    top = 0.28 - tall - 0.16 * move  # the lid lifts
    parts = [
        Part(SECOND, ring(x, y, -0.62, 0.16, 0.30, 0.32, 0.085), 0.08),
        Part(BODY, smooth_union(body, spout, 0.12), 0.4),
        Part(SECOND, band, 0.1),
        Part(SECOND, within(ellipse(x, y, 0.0, top + 0.12, 0.40, 0.26), y - top - 0.12), 0.2),
        Part(DARK, box(x, y, 0.0, top + 0.12, 0.42, 0.035, 0.03), 0.03),
        Part(BODY, circle(x, y, 0.0, top - 0.20, 0.11 + 0.05 * s[3]), 0.1),
    ]
    return parts


def house(x: Array, y: Array, s: Sequence[float], move: float) -> list[Part]:
    """Return a house: chimney, walls, gabled roof, door, two windows or one round one."""
    wide, eaves, ridge = 0.62 + 0.10 * s[0], -0.08 - 0.10 * s[1], -0.78 - 0.20 * s[2]
    chimney = box(x, y, 0.44, ridge + 0.38, 0.12, 0.30)
    walls = box(x, y, 0.0, (eaves + 0.94) / 2, wide, (0.94 - eaves) / 2)
    roof = convex(x, y, [(-wide - 0.26, eaves + 0.06), (wide + 0.26, eaves + 0.06), (0.0, ridge)], 0.04)
    parts = [Part(DARK, chimney, 0.08), Part(BODY, walls, 0.06), Part(SECOND, roof, 0.12)]
    if s[3] < 0.5:
        side = np.abs(x)
        parts += [
            Part(ACCENT, box(side, y, wide * 0.60, 0.26, 0.15, 0.17), 0.04),
            Part(SECOND, box(x, y, 0.06 * move, 0.62, 0.16 - 0.07 * move, 0.32), 0.05),
        ]
    else:
        parts += [
            Part(ACCENT, circle(x, y, 0.0, eaves - 0.22, 0.15), 0.05),
            Part(ACCENT, box(x, y, wide * 0.42, 0.38, 0.22, 0.20), 0.04),
            Part(
                SECOND,
                union(box(x, y, -wide * 0.45, 0.68, 0.17, 0.26), circle(x, y, -wide * 0.45, 0.42, 0.17)),
                0.05,
            ),
        ]
    return parts


def car(x: Array, y: Array, s: Sequence[float], move: float) -> list[Part]:
    """Return a car seen from the side: cabin with windows, body with a stripe, two wheels, a lamp."""
    roof = -0.46 - 0.16 * s[0]
    back = -0.62 - 0.16 * s[1]
    cabin = convex(x, y, [(back - 0.10, 0.06), (back + 0.18, roof), (0.26, roof), (0.56, 0.06)], 0.10)
    glass = convex(x, y, [(back + 0.06, 0.0), (back + 0.24, roof + 0.12), (0.20, roof + 0.12), (0.38, 0.0)], 0.05)
    body = union(box(x, y, 0.0, 0.22, 0.98, 0.26, 0.14), box(x, y, -0.2, 0.10, 0.70, 0.16, 0.06))
    wheel = 0.24 + 0.05 * s[2]
    side = np.abs(x)
    parts = [
        Part(SECOND, cabin, 0.15),
        Part(ACCENT, glass, 0.08),
        Part(SECOND, box(x, y, -0.10, roof / 2, 0.05, -roof / 2), 0.05),
        Part(BODY, body, 0.2),
        Part(SECOND, within(np.abs(y - 0.20) - 0.06 - 0.04 * s[3], body + 0.02), 0.05),
        Part(ACCENT, ellipse(x, y, 0.90, 0.12 + 0.12 * move, 0.09, 0.11), 0.08),
        Part(DARK, circle(side, y, 0.54, 0.46, wheel), 0.1),
        Part(ACCENT, circle(side, y, 0.54, 0.46, wheel * 0.45), 0.08),
    ]
    return parts


def sailboat(x: Array, y: Array, s: Sequence[float], move: float) -> list[Part]:
    """Return a sailing boat: mast with pennant, two sails, hull with a stripe."""
    top, boom = -0.92, 0.34
    hull = convex(x, y, [(-0.92, 0.42), (0.96, 0.42), (0.58 + 0.12 * s[0], 0.94), (-0.62, 0.94)], 0.06)
    main = convex(x, y, [(0.02, top + 0.10), (0.02, boom), (0.44 + 0.14 * s[1] + 0.34 * move, boom)], 0.03)
    jib = convex(x, y, [(-0.14, -0.62 + 0.30 * s[2]), (-0.14, boom), (-0.76, boom)], 0.03)
    pennant = convex(x, y, [(-0.06, top - 0.06), (-0.06, top + 0.16), (-0.42, top + 0.05)])
    panel = -0.22 if s[3] < 0.5 else 0.0
    return [
        Part(DARK, capsule(x, y, (-0.06, top), (-0.06, 0.5), 0.045, 0.05), 0.05),
        Part(BODY, pennant, 0.05),
        Part(SECOND, main, 0.2),
        Part(ACCENT, within(np.abs(y - panel) - 0.09, main + 0.02), 0.1),
        Part(ACCENT if s[3] < 0.5 else SECOND, jib, 0.2),
        Part(BODY, hull, 0.2),
        Part(SECOND, within(np.abs(y - 0.58) - 0.06, hull + 0.02), 0.06),
    ]


def robot(x: Array, y: Array, s: Sequence[float], move: float) -> list[Part]:
    """Return a robot: antenna, box head with eyes and grille, arms, chest plate with a lamp, legs."""
    side = np.abs(x)
    hand = 0.55 - 0.75 * move
    head, trunk = 0.38 + 0.10 * s[0], 0.40 + 0.12 * s[1]
    parts = [
        Part(DARK, capsule(x, y, (0.0, -0.66), (0.0, -0.88), 0.045, 0.04), 0.04),
        Part(SECOND, circle(x, y, 0.0, -0.90, 0.11), 0.1),
        Part(SECOND, capsule(side, y, (trunk - 0.02, 0.12), (trunk + 0.26, hand), 0.11, 0.10), 0.1),
        Part(DARK, circle(side, y, trunk + 0.28, hand + 0.04, 0.14), 0.1),
        Part(DARK, box(side, y, 0.21, 0.82, 0.13, 0.17, 0.04), 0.08),
        Part(BODY, box(x, y, 0.0, 0.34, trunk, 0.36, 0.08), 0.15),
        Part(BODY, box(x, y, 0.0, -0.40, head, 0.30, 0.08), 0.15),
        Part(SECOND, box(x, y, 0.0, 0.32, trunk * 0.62, 0.21, 0.05), 0.06),
    ]
    if s[3] < 0.5:
        eyes, pupils = circle(side, y, 0.19, -0.46, 0.13), circle(side, y, 0.19, -0.46, 0.065)
        lamp = circle(x, y, 0.0, 0.32, 0.11)
    else:
        eyes, pupils = box(x, y, 0.0, -0.46, head * 0.72, 0.12, 0.1), circle(side, y, 0.15, -0.46, 0.075)
        lamp = box(side, y, 0.12, 0.32, 0.07, 0.11, 0.02)
    mouth = box(x, y, 0.0, -0.21, 0.20, 0.045, 0.02)
    return [
        *parts,
        Part(ACCENT, eyes, 0.08),
        Part(DARK, union(pupils, mouth), 0.05),
        Part(ACCENT, lamp, 0.06),
    ]


def rocket(x: Array, y: Array, s: Sequence[float], move: float) -> list[Part]:
    """Return a rocket standing on its flame: fins, bullet body with nose cone, band and porthole."""
    side = np.abs(x)
    wide = 0.34 + 0.08 * s[0]
    # Two large discs that overlap make the bullet; its flat end is cut off below.
    big = 1.3
    bullet = within(circle(side, y, wide - big, -0.02 - 0.06 * s[1], big), y - 0.56)
    corners = [
        (wide * 0.70, 0.10),
        (wide + 0.26 + 0.12 * s[2], 0.62),
        (wide + 0.24, 0.80),
        (wide * 0.5, 0.54),
    ]
    fins = convex(side, y, corners, 0.04)
    nose = within(bullet, y + 0.42)
    hole = 0.17 + 0.04 * s[3]
    parts = [
        Part(
            ACCENT,
            convex(side, y, [(-0.3, 0.52), (0.20, 0.52), (0.0, 0.72 + 0.3 * move), (-0.3, 0.72 + 0.3 * move)], 0.05),
            0.1,
        ),
        Part(DARK, box(x, y, 0.0, 0.60, wide * 0.55, 0.07), 0.05),
        Part(SECOND, fins, 0.1),
        Part(BODY, bullet, 0.3),
        Part(SECOND, nose, 0.25),
        Part(DARK, circle(x, y, 0.0, -0.12, hole + 0.05), 0.05),
        Part(ACCENT, circle(x, y, 0.0, -0.12, hole - 0.03), 0.06),
    ]
    if s[1] >= 0.5:
        parts.append(Part(SECOND, within(np.abs(y - 0.36) - 0.08, bullet + 0.02), 0.06))
    return parts
