"""When a reference counts: a conditioning split along the sampling, each part with its own references.

Outside its range a reference is simply not on the entry that runs there, so it costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...uso_model.dials.curves import Span
from .conditioning import Conditioning

__all__ = ["edited_within"]

START, END = "start_percent", "end_percent"
"""ComfyUI's keys for the range of an entry, shares of the sampling."""

Edit = Callable[[Conditioning, float], Conditioning]
"""A conditioning and the factor on the strength to the conditioning with the reference."""


def edited_within(conditioning: Conditioning, spans: list[Span], edit: Edit) -> Conditioning:
    """Return a conditioning whose entries are edited in parts of the sampling and left as they were in the rest.

    Ranges that entries have already are kept: they are cut, never widened. A factor of 0 leaves a part unedited.

    Args:
        conditioning: list of entries.
        spans: parts of the sampling in rising order, without overlap, with a factor each.
        edit: adds the reference.
    """
    out: Conditioning = []
    for text, values in conditioning:
        first, last = values.get(START, 0.0), values.get(END, 1.0)
        done = first
        for start, end, factor in spans:
            low, high = max(start, first), min(end, last)
            if low >= high:
                continue
            if low > done:
                out.append(_part(text, values, done, low))
            piece = [_part(text, values, low, high)]
            out += edit(piece, factor) if factor else piece
            done = high
        if done < last or done == first:
            out.append(_part(text, values, done, last))
    return out


def _part(text: Any, values: dict[str, Any], start: float, end: float) -> list[Any]:
    """Return an entry for a part; one that covers everything carries no range, as ComfyUI makes it."""
    plain = {name: value for name, value in values.items() if name not in (START, END)}
    return [text, plain if (start, end) == (0.0, 1.0) else {**plain, START: start, END: end}]
