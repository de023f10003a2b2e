"""When a reference counts: a conditioning split along the sampling, each part with its own references.

Outside its range a reference is simply not on the entry that runs there, so it costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .conditioning import Entries
from .dials import ALWAYS, Dial
from .guard import guarded, is_guarded
from .keys import END, START

__all__ = ["with_reference"]


def with_reference(entries: Entries, dial: Dial, add: Callable[[Entries, Dial], Entries]) -> Entries:
    """Return a conditioning with a reference in the parts of the sampling in which it counts, as strongly as was set.

    Ranges that entries have already are kept: they are cut, never widened. A factor of 0 leaves a part without the
    reference.

    Args:
        entries: a CONDITIONING.
        dial: its spans are parts of the sampling in rising order, without overlap, with a factor each.
        add: appends the reference to entries.
    """
    if dial.spans == ALWAYS:
        return add(entries, dial)
    out: Entries = []
    for text, values in entries:
        out += _parts(text, values, dial, add)
    return out


def _parts(text: Any, values: dict[str, Any], dial: Dial, add: Callable[[Entries, Dial], Entries]) -> Entries:
    """Return the parts of an entry; if one of them is guarded all are, so that the first step tells."""
    out: Entries = []
    first, last = values.get(START, 0.0), values.get(END, 1.0)
    done = first
    for start, end, factor in dial.spans:
        low, high = max(start, first), min(end, last)
        if low >= high:
            continue
        if low > done:
            out.append(_part(text, values, done, low))
        piece = [_part(text, values, low, high)]
        out += add(piece, dial.at(factor)) if factor else piece
        done = high
    if done < last or done == first:
        out.append(_part(text, values, done, last))
    if any(is_guarded(part) for _, part in out):
        return [[said, part if is_guarded(part) else guarded(part)] for said, part in out]
    return out


def _part(text: Any, values: dict[str, Any], start: float, end: float) -> list[Any]:
    """Return an entry for a part; one that covers everything carries no range, as ComfyUI makes it."""
    plain = {name: value for name, value in values.items() if name not in (START, END)}
    return [text, plain if (start, end) == (0.0, 1.0) else {**plain, START: start, END: end}]
