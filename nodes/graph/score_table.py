"""The table of scores: as text, and shorter under the node."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

__all__ = ["counted", "ordered", "short_table", "table"]

MOST_ROWS = 5
"""Rows under a node, where classic rendering shows some ten lines."""
MOST_NUMBERS = 12
"""Numbers of pictures in a sentence."""
_NO_SCORE = "none"


def ordered(values: Sequence[float], best_first: bool) -> list[int]:
    """Return places by their values; equal ones stay in order, and those without a score are last either way."""
    sign = -1 if best_first else 1

    def rank(place: int) -> tuple[bool, float]:
        missing = math.isnan(values[place])
        return missing, 0.0 if missing else sign * values[place]

    return sorted(range(len(values)), key=rank)


def table(columns: Mapping[str, Sequence[float]], order: Sequence[int], notes: Sequence[str]) -> str:
    """Return a table in Markdown with a row for each picture, and the notes below.

    Args:
        columns: name -> a value for each picture, in the order in which the pictures came.
        order: numbers of the pictures, in the order of the rows.
        notes: what has to be known about the numbers.
    """
    head = ["rank", "picture", *columns]
    rows = [
        [str(rank), str(number), *(_short(values[number]) for values in columns.values())]
        for rank, number in enumerate(order, 1)
    ]
    widths = [max(map(len, cells)) for cells in zip(head, *rows, strict=True)]
    lines = [[cell.rjust(width) for cell, width in zip(cells, widths, strict=True)] for cells in (head, *rows)]
    lines.insert(1, ["-" * (width - 1) + ":" for width in widths])
    return "\n".join([*(f"| {' | '.join(cells)} |" for cells in lines), "", *(f"- {note}" for note in notes)])


def short_table(columns: Mapping[str, Sequence[float]], order: Sequence[int], notes: Sequence[str]) -> str:
    """Return the first rows and the notes as lists, which are legible as plain text and as Markdown.

    Classic rendering shows text under a node as it is, Nodes 2.0 as Markdown.
    """
    lines = [
        f"{rank}. picture {number}: "
        + ", ".join(f"{name} {_short(values[number])}" for name, values in columns.items())
        for rank, number in enumerate(order[:MOST_ROWS], 1)
    ]
    rest = len(order) - len(lines)
    return "\n".join([*lines, *(f"- {note}" for note in [*([f"and {rest} more"] if rest else []), *notes])])


def counted(places: Sequence[int], of: int, what: str) -> str:
    """Return a sentence that counts pictures and names their numbers."""
    rest = len(places) - MOST_NUMBERS
    named = ", ".join(map(str, places[:MOST_NUMBERS])) + (f" and {rest} more" if rest > 0 else "")
    return f"{len(places)} of {of} pictures {what}: {named}."


def _short(value: float) -> str:
    return _NO_SCORE if math.isnan(value) else f"{value:.3f}"
