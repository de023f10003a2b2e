"""The dials of USO Apply: the inputs of one kind of reference, and what is read from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ...uso_model.dials.blocks import parse_blocks
from ...uso_model.dials.curves import CURVES, curve_values, spans
from ...uso_model.errors import UserError
from ..sockets import advanced
from .dials import Dial
from .pictures import read_mask, warn_if_empty

__all__ = ["LARGEST", "dial_inputs", "read_dial"]

LARGEST = 5.0

FORMS = ("exact", "fast")


def dial_inputs(role: str, what: str) -> list[Any]:
    """Return the inputs of one kind of reference.

    Args:
        role: `style` or `content`, the beginning of the inputs' names.
        what: the reference in words.
    """
    return [
        io.Float.Input(
            f"{role}_strength",
            optional=True,
            default=1.0,
            min=0.0,
            max=LARGEST,
            step=0.01,
            tooltip=f"How much {what} counts: 1 is USO, 0 leaves it out, 2 gives its tokens twice the weight.",
        ),
        io.Float.Input(
            f"{role}_start",
            optional=True,
            default=0.0,
            min=0.0,
            max=1.0,
            step=0.01,
            tooltip=f"Where on the noise schedule {what} begins to count, as in ComfyUI's own ranges; before it costs "
            "nothing.",
        ),
        io.Float.Input(
            f"{role}_end",
            optional=True,
            default=1.0,
            min=0.0,
            max=1.0,
            step=0.01,
            tooltip=f"Where on the noise schedule {what} stops counting, as in ComfyUI's own ranges; then it costs "
            "nothing.",
        ),
        io.String.Input(
            f"{role}_curve",
            optional=True,
            default=CURVES[0],
            **advanced(io.String.Input),
            tooltip=f"How the strength goes between start and end: {', '.join(CURVES)}, or numbers such as 1, 0.8, 0.5 "
            "for parts of equal length. All names but fade out rise.",
        ),
        io.String.Input(
            f"{role}_blocks",
            optional=True,
            default="",
            **advanced(io.String.Input),
            tooltip="Strength block by block, such as d0-18:1, s0-37:0.5 (d: double blocks, s: single blocks); "
            "empty: the same in all.",
        ),
        io.Combo.Input(
            f"{role}_form",
            optional=True,
            options=list(FORMS),
            default=FORMS[0],
            **advanced(io.Combo.Input),
            tooltip="exact: a mask that attention adds to its scores, for which flash attention, and sage attention in "
            "some versions, give way to PyTorch's; fast: no mask, but right only near 1, and no region.",
        ),
        io.Mask.Input(
            f"{role}_region",
            optional=True,
            tooltip=f"Where in the drawn picture {what} counts; of any size, soft edges stay soft.",
        ),
    ]


def read_dial(role: str, values: Mapping[str, Any], blocks: tuple[int, int]) -> Dial | None:
    """Return what is set for one kind of reference, None where its strength is 0.

    Args:
        role: `style` or `content`.
        values: of the inputs; those that an older graph lacks have their defaults.
        blocks: double and single blocks of the model.

    Raises:
        UserError: a value cannot be read.
    """
    strength = values.get(f"{role}_strength", 1.0)
    if strength == 0:
        return None
    start, end = values.get(f"{role}_start", 0.0), values.get(f"{role}_end", 1.0)
    curve = curve_values(values.get(f"{role}_curve", CURVES[0]), f"{role}_curve")
    parts = spans(start, end, curve, f"{role}_")
    weights = parse_blocks(values.get(f"{role}_blocks", ""), *blocks, f"{role}_blocks")
    region: Tensor | None = values.get(f"{role}_region")
    fast = values.get(f"{role}_form", FORMS[0]) == "fast"
    if weights is not None and min(*weights.double, *weights.single) < 0:
        raise UserError(f"Got a {role} block weight below 0, expected 0 or more: correct {role}_blocks.")
    if region is not None:
        region = read_mask(region, None, f"{role}_region")
        warn_if_empty(region, "a mask", f"{role}_region")
        if fast:
            raise UserError(
                f"Got a region for {role} in the fast form, expected no region, which needs a mask: set {role}_form to "
                "exact, or take the mask away."
            )
    return Dial(strength=strength, spans=tuple(parts), region=region, blocks=weights, fast=fast)
