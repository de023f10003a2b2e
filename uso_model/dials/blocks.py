"""Weights for single blocks of the network, written as text such as `d0-18:1, s0-37:0.5`."""

from __future__ import annotations

import math
import re
from typing import NamedTuple

from ..errors import UserError
from ..untrusted import quoted
from .typed import typed_list

__all__ = ["Blocks", "parse_blocks"]


class Blocks(NamedTuple):
    """A weight for every block of a network."""

    double: tuple[float, ...]
    single: tuple[float, ...]


_PART = re.compile(r"([ds])([0-9]{1,4})(?:-([0-9]{1,4}))?:([-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+))")
_EXPECTED = "parts such as d0-18:1, s0-37:0.5 (d: double blocks, s: single blocks)"


def parse_blocks(text: str, double: int, single: int, what: str = "block weights") -> Blocks | None:
    """Return a weight for every block; those that are not named keep 1.

    Args:
        text: parts `d<first>[-<last>]:<weight>` or `s...`, separated by commas or white space; later ones win.
        double: number of double blocks.
        single: number of single blocks.
        what: name of the text, for the message.

    Returns:
        The weights, or None where all are 1.

    Raises:
        UserError: the text is too long, a part cannot be read, names blocks that the network does not have, or gives
            them an infinite weight.
    """
    weights = [1.0] * (double + single)
    for part in typed_list(text, what):
        match = _PART.fullmatch(part.lower())
        if match is None or not math.isfinite(float(match[4])):
            raise UserError(f"Got {quoted(part)!r} in {what}, expected {_EXPECTED}: correct it.")
        kind, first, last, weight = match[1], int(match[2]), int(match[3] or match[2]), float(match[4])
        count = double if kind == "d" else single
        if not first <= last < count:
            raise UserError(
                f"Got {quoted(part)!r} in {what}, but the model has {kind}0 to {kind}{count - 1}, "
                f"expected {_EXPECTED}: correct it."
            )
        start = 0 if kind == "d" else double
        weights[start + first : start + last + 1] = [weight] * (last - first + 1)
    if all(weight == 1.0 for weight in weights):
        return None
    return Blocks(tuple(weights[:double]), tuple(weights[double:]))
