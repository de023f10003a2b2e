"""How a style fills areas: every kind with the ranges of its parameters."""

from __future__ import annotations

from collections.abc import Callable

from . import fills_flat as areas
from . import fills_marks as marks
from . import fills_paint as paint
from .fills_flat import Filled
from .parameters import Kind, Range

_ANGLE = Range(0.0, 3.14)

FILLS: dict[str, Kind[Callable[..., Filled]]] = {
    "cel": Kind(areas.cel, {"shade": Range(0.1, 0.4), "rays": Range(0.0, 18.0), "halo": Range(0.0, 4.0)}),
    "soft": Kind(areas.soft, {"gloss": Range(0.0, 0.9), "depth": Range(0.6, 1.2)}),
    "sheets": Kind(areas.sheets, {"depth": Range(2.5, 5.5), "frame": Range(60.0, 76.0)}),
    "emboss": Kind(areas.emboss, {"depth": Range(0.5, 1.1), "tint": Range(0.0, 0.3)}),
    "glow": Kind(areas.glow, {"reach": Range(3.5, 7.5), "fill": Range(0.05, 0.3)}),
    "trace": Kind(areas.trace, {"wash": Range(0.05, 0.35), "trim": Range(0.5, 0.9)}),
    "spray": Kind(areas.spray, {"blur": Range(1.5, 4.0), "speckle": Range(0.2, 0.8)}),
    "pixels": Kind(areas.pixels, {"cells": Range(24.0, 34.0), "contour": Range(0.0, 1.0)}),
    "hatch": Kind(
        marks.hatch,
        {"period": Range(3.5, 6.5), "angle": _ANGLE, "wash": Range(0.0, 0.6), "cross": Range(0.6, 1.1)},
    ),
    "engrave": Kind(marks.engrave, {"period": Range(3.0, 5.5), "angle": _ANGLE, "bend": Range(0.3, 1.2)}),
    "contour": Kind(marks.contour, {"period": Range(3.6, 6.5), "wash": Range(0.0, 0.5), "rough": Range(0.2, 1.2)}),
    "stipple": Kind(marks.stipple, {"size": Range(2.8, 4.6), "wash": Range(0.0, 0.5)}),
    "dots": Kind(marks.dots, {"size": Range(4.0, 8.0), "angle": Range(0.0, 1.57), "wash": Range(0.1, 0.7)}),
    "crayon": Kind(marks.crayon, {"period": Range(4.0, 8.0), "angle": _ANGLE, "grain": Range(0.2, 0.6)}),
    "wash": Kind(paint.wash, {"bleed": Range(1.2, 3.6), "bloom": Range(0.12, 0.40), "margin": Range(2.0, 11.0)}),
    "strokes": Kind(paint.strokes, {"width": Range(3.5, 6.5), "relief": Range(0.04, 0.13)}),
    "dabs": Kind(paint.dabs, {"size": Range(3.5, 6.0), "spread": Range(0.06, 0.2)}),
    "tiles": Kind(paint.tiles, {"size": Range(4.0, 7.0), "round_": Range(0.0, 1.0), "grout": Range(0.1, 0.95)}),
    "panes": Kind(paint.panes, {"size": Range(13.0, 22.0), "lead": Range(2.0, 3.4)}),
    "knit": Kind(paint.knit, {"size": Range(3.8, 5.4), "relief": Range(0.4, 0.65)}),
    "stitch": Kind(paint.stitch, {"size": Range(3.75, 5.75), "thread": Range(1.3, 2.2)}),
    "weave": Kind(paint.weave, {"size": Range(3.0, 5.0), "relief": Range(0.15, 0.45)}),
}
"""Kinds of fills: canvas and parameters -> picture 3 h w in about 0..1, and the drawing that lines go along."""
