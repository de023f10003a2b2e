"""More made subjects: mug, guitar, umbrella, lighthouse, balloon, lamp."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .colours import ACCENT, BODY, DARK, SECOND
from .sdf import Array, box, capsule, circle, convex, ellipse, ring, smooth_union, turn, union, within
from .subject_part import Part


def mug(x: Array, y: Array, s: Sequence[float], move: float) -> list[Part]:
    """Return a steaming mug: handle, body with a band or a heart, rim, a spoon that turns."""
    wide, tall = 0.48 + 0.10 * s[0], 0.50 + 0.10 * s[1]
    body = box(x, y, -0.08, 0.34, wide, tall, 0.12)
    handle = ring(x, y, wide - 0.04, 0.34, 0.28, 0.28 + 0.06 * s[2], 0.08)
    spoon = capsule(x, y, (-0.10, 0.0), (-0.50 + 0.9 * move, -0.92), 0.05, 0.06)
    top = 0.34 - tall
    if s[3] < 0.5:
        sign = within(np.abs(y - 0.42) - 0.12, body + 0.02)
    else:
        side = np.abs(x + 0.08)
        sign = union(
            circle(side, y, 0.12, 0.28, 0.14), convex(side, y, [(-0.1, 0.30), (0.25, 0.34), (0.0, 0.64)], 0.02)
        )
    return [
        Part(DARK, spoon, 0.05),
        Part(SECOND, handle, 0.08),
        Part(BODY, body, 0.3),
        Part(SECOND, sign, 0.08),
        Part(SECOND, ellipse(x, y, -0.08, top + 0.04, wide, 0.14), 0.08),
        Part(DARK, ellipse(x, y, -0.08, top + 0.05, wide - 0.09, 0.085), 0.05),
    ]


def guitar(x: Array, y: Array, s: Sequence[float], move: float) -> list[Part]:
    """Return a guitar: two bouts with a waist, neck that tilts, head, hole, bridge, strings."""
    waist, low = 0.30 + 0.06 * s[0], 0.44 + 0.10 * s[1]
    body = smooth_union(circle(x, y, 0.0, 0.56, low), circle(x, y, 0.0, 0.06, waist + 0.04), 0.16)
    px, py = turn(x, y - 0.1, 0.36 * move - 0.18)
    neck = box(px, py, 0.0, -0.52, 0.075, 0.48)
    head = box(px, py, 0.0, -0.96, 0.14 + 0.04 * s[2], 0.12, 0.03)
    pegs = circle(np.abs(px), np.abs(py + 0.96), 0.20, 0.07, 0.045)
    hole = circle(x, y, 0.0, 0.22, 0.15)
    guard = ellipse(x, y, 0.20, 0.48, 0.13, 0.24, -0.3) if s[3] < 0.5 else ring(x, y, 0.0, 0.22, 0.22, 0.22, 0.035)
    return [
        Part(ACCENT, pegs, 0.04),
        Part(SECOND, union(neck, head), 0.08),
        Part(BODY, body, 0.25),
        Part(SECOND, guard, 0.05),
        Part(DARK, hole, 0.05),
        Part(DARK, box(x, y, 0.0, 0.72, 0.22, 0.05, 0.02), 0.05),
        Part(ACCENT, within(np.abs(x) - 0.03, box(x, y, 0.0, 0.2, 0.1, 0.52)), 0.03),
    ]


def umbrella(x: Array, y: Array, s: Sequence[float], move: float) -> list[Part]:
    """Return an umbrella: canopy of panels with scalloped hem, more or less open, stick with a crook."""
    wide, tall = 0.62 + 0.32 * move, 0.70 + 0.12 * s[0]
    dome = within(ellipse(x, y, 0.0, -0.02, wide, tall), y + 0.02)
    count = 4 if s[3] < 0.5 else 6
    step = 2 * wide / count
    scallops = circle((x + wide) % step, y, step / 2, 0.06, step * 0.46)
    canopy = np.maximum(dome, -scallops)
    panel = np.abs(x / np.sqrt(np.clip(1.0 - (y / tall) ** 2, 0.05, 1.0)) / wide)
    inner = np.abs(panel - (0.42 + 0.12 * s[1])) - 0.13
    return [
        Part(DARK, capsule(x, y, (0.0, -0.84), (0.0, 0.70), 0.04, 0.045), 0.04),
        Part(SECOND, np.maximum(ring(x, y, 0.16, 0.72, 0.16, 0.18 + 0.04 * s[2], 0.05), 0.70 - y), 0.05),
        Part(BODY, canopy, 0.35),
        Part(SECOND, within(inner * 0.6, canopy + 0.02), 0.1),
        Part(ACCENT, circle(x, y, 0.0, -0.78, 0.07), 0.05),
    ]


def lighthouse(x: Array, y: Array, s: Sequence[float], move: float) -> list[Part]:
    """Return a lighthouse: rock, tapering tower with bands, gallery, lamp room with a beam, cap."""
    foot, top = 0.36 + 0.08 * s[0], 0.22
    tower = convex(x, y, [(-foot, 0.86), (foot, 0.86), (top, -0.42), (-top, -0.42)], 0.02)
    bands = [0.50, 0.0] if s[3] < 0.5 else [0.26]
    half = 0.12 + 0.04 * s[1]
    reach, tilt = 0.98, 0.36 * move - 0.18
    beam = convex(x, y, [(0.10, -0.60), (reach, -0.80 + tilt), (reach, -0.40 + tilt)], 0.02)
    rock = union(ellipse(x, y, -0.26, 0.92, 0.44, 0.16), ellipse(x, y, 0.30, 0.92, 0.46, 0.13 + 0.05 * s[2]))
    return [
        Part(ACCENT, beam, 0.04),
        Part(BODY, tower, 0.3),
        *(Part(SECOND, within(np.abs(y - b) - half, tower + 0.01), 0.1) for b in bands),
        Part(DARK, rock, 0.15),
        Part(DARK, box(x, y, 0.0, -0.44, 0.34, 0.05, 0.02), 0.05),
        Part(ACCENT, box(x, y, 0.0, -0.60, 0.17, 0.13), 0.06),
        Part(SECOND, convex(x, y, [(-0.27, -0.72), (0.27, -0.72), (0.0, -0.98)], 0.03), 0.12),
        Part(DARK, box(x, y, 0.0, 0.72, 0.09, 0.14, 0.05), 0.05),
    ]


def balloon(x: Array, y: Array, s: Sequence[float], move: float) -> list[Part]:
    """Return a hot-air balloon: envelope with gores or a belt, ropes, a basket that swings."""
    wide = 0.60 + 0.12 * s[0]
    envelope = smooth_union(
        ellipse(x, y, 0.0, -0.32, wide, 0.64),
        convex(x, y, [(-0.36, 0.0), (0.36, 0.0), (0.14, 0.44), (-0.14, 0.44)]),
        0.2,
    )
    swing = 0.30 * move - 0.15
    ropes = union(*(capsule(x, y, (a * 0.16, 0.36), (swing + a * 0.13, 0.76), 0.025, 0.025) for a in (-1, 1)))
    if s[3] < 0.5:
        round_ = np.sqrt(np.clip(1.0 - ((y + 0.32) / 0.68) ** 2, 0.05, 1.0))
        trim = (np.abs(np.abs(x) / round_ - wide * 0.52) - 0.11) * 0.8
    else:
        trim = np.abs(y + 0.26) - (0.13 + 0.05 * s[1])
    return [
        Part(DARK, ropes, 0.03),
        Part(BODY, envelope, 0.45),
        Part(SECOND, within(trim, envelope + 0.02), 0.15),
        Part(ACCENT, ellipse(x, y, 0.0, 0.42, 0.17, 0.06), 0.04),
        Part(SECOND, box(x, y, swing, 0.86, 0.17 + 0.04 * s[2], 0.12, 0.03), 0.1),
        Part(DARK, box(x, y, swing, 0.75, 0.20 + 0.04 * s[2], 0.035, 0.02), 0.03),
    ]


def lamp(x: Array, y: Array, s: Sequence[float], move: float) -> list[Part]:
    """Return a desk lamp: foot, two arms with joints, a shade that nods, its bulb."""
    elbow = (-0.34 - 0.10 * s[0], 0.10)
    wrist = (0.16, -0.46 - 0.14 * move)
    arms = union(capsule(x, y, (0.0, 0.80), elbow, 0.065, 0.06), capsule(x, y, elbow, wrist, 0.06, 0.06))
    px, py = turn(x - wrist[0], y - wrist[1], -0.75 + 0.7 * move)
    size = 0.40 + 0.08 * s[1]
    shade = convex(px, py, [(-0.16, -0.14), (0.16, -0.14), (size, 0.44), (-size, 0.44)], 0.05)
    rim = box(px, py, 0.0, 0.42, size, 0.06, 0.03)
    foot = ellipse(x, y, 0.0, 0.88, 0.46 + 0.08 * s[2], 0.13)
    parts = [
        Part(SECOND, arms, 0.08),
        Part(ACCENT, circle(px, py, 0.0, 0.46, 0.17), 0.1),
        Part(BODY, foot, 0.2),
        Part(DARK, circle(x, y, *elbow, 0.11), 0.08),
        Part(BODY, shade, 0.3),
        Part(SECOND, rim, 0.08),
    ]
    if s[3] < 0.5:
        parts.append(Part(SECOND, within(np.abs(py - 0.12) - 0.07, shade + 0.02), 0.06))
    return parts
