"""How a strength goes over the steps in which a reference counts."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..errors import UserError
from ..untrusted import quoted
from .typed import typed_list

__all__ = ["CURVES", "Span", "curve_values", "spans"]

CURVES = ("constant", "ease in", "ease out", "ease in-out", "fade in", "fade out")
"""Curves that have a name; any other is a list of numbers."""

SEGMENTS = 8
"""Parts of equal length in which a named curve is held constant."""

Span = tuple[float, float, float]
"""Start and end as shares of the sampling, 0..1, and the factor on the strength between them."""


def curve_values(curve: str, what: str = "curve") -> list[float]:
    """Return the factors of a curve, one for each part of its range.

    Args:
        curve: a name of CURVES, or numbers separated by commas or white space, such as `1, 0.8, 0.5`.
        what: its name, for the message.

    Raises:
        UserError: it is neither, or too long.
    """
    name = curve.strip()
    if name in ("", "constant"):
        return [1.0]
    shapes = {
        "ease in": lambda t: t * t,
        "ease out": lambda t: 1 - (1 - t) ** 2,
        "ease in-out": lambda t: 0.5 - 0.5 * math.cos(math.pi * t),
        "fade in": lambda t: t,
        "fade out": lambda t: 1 - t,
    }
    if name in shapes:
        return [shapes[name]((i + 0.5) / SEGMENTS) for i in range(SEGMENTS)]
    try:
        values = [float(part) for part in typed_list(curve.strip("[]() \t\n"), what)]
    except ValueError:
        values = []
    if not values or not all(math.isfinite(value) and value >= 0 for value in values):
        raise UserError(
            f"Got {quoted(curve)!r} as {what}, expected one of {', '.join(CURVES)} or numbers from 0 such as 1, 0.8, "
            "0.5: correct it."
        )
    return values


def spans(start: float, end: float, values: Sequence[float], role: str = "") -> list[Span]:
    """Return the parts of a range with their factors; neighbours with the same factor are one part.

    Args:
        start: share of the sampling at which the range begins, 0..1.
        end: share at which it ends.
        values: factors of parts of equal length.
        role: what the names of both begin with, for the message.

    Raises:
        UserError: the range is empty or leaves 0..1.
    """
    if not 0.0 <= start < end <= 1.0:
        raise UserError(
            f"Got {role}start {start} and {role}end {end}, expected 0 <= start < end <= 1: correct the two."
        )
    step = (end - start) / len(values)
    found: list[Span] = []
    for number, value in enumerate(values):
        first, last = start + number * step, end if number == len(values) - 1 else start + (number + 1) * step
        if found and found[-1][2] == value:
            found[-1] = (found[-1][0], last, value)
        else:
            found.append((first, last, value))
    return found
