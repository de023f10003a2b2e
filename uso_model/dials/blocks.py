"""Blocks of the network written as text: weights such as `d0-18:1, s0-37:0.5`, numbers such as `d0-18, s7`."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import NamedTuple

from ..errors import UserError
from ..untrusted import quoted
from .typed import typed_list

__all__ = ["Blocks", "parse_block_numbers", "parse_blocks"]


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
        numbers = _numbers(part, match[1], match[2], match[3], {"d": double, "s": single}, what, _EXPECTED)
        start = 0 if match[1] == "d" else double
        weights[start + numbers.start : start + numbers.stop] = [float(match[4])] * len(numbers)
    if all(weight == 1.0 for weight in weights):
        return None
    return Blocks(tuple(weights[:double]), tuple(weights[double:]))


_NAMED = re.compile(r"(d|s|double|single)?([0-9]{1,4})(?:-([0-9]{1,4}))?")
_EXPECTED_NUMBERS = "parts such as d0-18, s7 (d: double blocks, s: single blocks)"


def parse_block_numbers(text: str, double: int, single: int, what: str = "blocks") -> dict[str, set[int]]:
    """Return the numbers of the named double (`d`) and single (`s`) blocks.

    Args:
        text: parts `d<first>[-<last>]` or `s...`, separated by commas or white space. `double` and `single` may stand
            for `d` and `s`, and before several numbers: `double 0-18, single 7, 20`.
        double: number of double blocks.
        single: number of single blocks.
        what: name of the text, for the message.

    Raises:
        UserError: the text is too long, a part cannot be read, or names blocks that the network does not have.
    """
    found: dict[str, set[int]] = {"d": set(), "s": set()}
    kind = None
    for part in typed_list(text.lower(), what):
        if part in ("d", "s", "double", "single"):
            kind = part[0]
            continue
        match = _NAMED.fullmatch(part)
        kind = match[1][0] if match and match[1] else kind
        if match is None or kind is None:
            raise UserError(f"Got {quoted(part)!r} in {what}, expected {_EXPECTED_NUMBERS}: correct it.")
        counts = {"d": double, "s": single}
        found[kind].update(_numbers(part, kind, match[2], match[3], counts, what, _EXPECTED_NUMBERS))
    return found


def _numbers(
    part: str, kind: str, first: str, last: str | None, counts: Mapping[str, int], what: str, expected: str
) -> range:
    """Return the numbers from `first` to `last`.

    Raises:
        UserError: the network has fewer blocks.
    """
    numbers = range(int(first), int(last or first) + 1)
    if not numbers or numbers[-1] >= counts[kind]:
        raise UserError(
            f"Got {quoted(part)!r} in {what}, but the model has {kind}0 to {kind}{counts[kind] - 1}, "
            f"expected {expected}: correct it."
        )
    return numbers
