"""Patterns on a subject's body, which tell individuals of one class apart in every style."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from .colours import ACCENT, BODY
from .sdf import Array, within
from .subject_part import Part

SMALLEST = 0.2
"""Bevel from which on a part in the body's colour is large enough to be marked."""


class Marking(NamedTuple):
    """A pattern: the word a caption has for it, and its signed distance in the subject's frame."""

    word: str
    distance: Callable[[Array, Array, float, float], Array] | None


def _spots(x: Array, y: Array, place: float, size: float) -> Array:
    step = 0.36 + 0.08 * size
    row = np.floor(y / step)
    u = x / step + 0.5 * (row % 2) + place
    du, dv = u - np.floor(u) - 0.5, y / step - row - 0.5
    return (np.hypot(du, dv) - 0.30) * step


def _stripes(x: Array, y: Array, place: float, size: float) -> Array:
    step = 0.30 + 0.10 * size
    return (np.abs((x + 0.35 * y) / step + place - np.floor((x + 0.35 * y) / step + place) - 0.5) - 0.22) * step


def _bands(x: Array, y: Array, place: float, size: float) -> Array:
    step = 0.30 + 0.10 * size
    return (np.abs(y / step + place - np.floor(y / step + place) - 0.5) - 0.20) * step


def _checks(x: Array, y: Array, place: float, size: float) -> Array:
    step = 0.26 + 0.08 * size
    u, v = x / step + place, y / step
    odd = (np.floor(u) + np.floor(v)) % 2
    inside = np.minimum(np.abs(u - np.round(u)), np.abs(v - np.round(v))) * step
    return np.where(odd > 0, -inside, inside)


MARKINGS: dict[str, Marking] = {
    "plain": Marking("", None),
    "spots": Marking("spotted", _spots),
    "stripes": Marking("striped", _stripes),
    "bands": Marking("banded", _bands),
    "checks": Marking("checked", _checks),
}


def marked(parts: Iterable[Part], x: Array, y: Array, marking: str, shape: Sequence[float]) -> Iterator[Part]:
    """Yield the parts of a subject, the larger ones in the body's colour followed by their marks.

    Args:
        parts: from back to front, in the subject's frame.
        x: coordinates h w.
        y: coordinates h w.
        marking: a name of MARKINGS.
        shape: the individual's numbers, which also place and size its marks.
    """
    pattern = MARKINGS[marking].distance
    for part in parts:
        yield part
        if pattern is not None and part.role == BODY and part.bevel >= SMALLEST:
            marks = pattern(x, y, shape[0], shape[1])
            yield Part(ACCENT, within(marks, part.distance + 0.03), 0.05)
