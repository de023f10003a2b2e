"""What a full disk means for a run: how much room the rows that are left need."""

from __future__ import annotations

from collections.abc import Iterable

from ..ledger import Ledger
from ..pictures import Stored
from ..pipeline import Pipeline
from ..steps import CONTENT, STYLE, TARGET, Row

__all__ = ["with_room"]

_DRAWN = 1_600_000
"""Bytes of a picture of a megapixel, where none of its kind was made yet."""


def with_room(error: OSError, pipeline: Pipeline, ledger: Ledger, rows: Iterable[Row]) -> OSError:
    """Return an error of a full disk with the room that is needed; rows that were begun count as whole ones."""
    per_row = sum(_per_row(plan.name, ledger) for plan in pipeline.plans if plan.name in (TARGET, STYLE, CONTENT))
    left = max(1, sum(pipeline.progress(row, ledger).standing == "open" for row in rows))
    return OSError(f"{error}: the {left:,} rows that are left need about {_shown(left * per_row)}; then start again")


def _per_row(step: str, ledger: Ledger) -> float:
    """Return the bytes that a row adds by a step. Rows of one source picture share their target."""
    pictures, rows = set[Stored](), set[str]()
    for entry in ledger.entries():
        if entry.step == step and entry.pictures:
            rows.add(entry.row)
            pictures.update(entry.pictures.values())
    if not pictures:
        return _DRAWN
    # Other settings may have drawn a row's pictures before.
    return sum(stored.size for stored in pictures) / max(len(rows), len(pictures))


def _shown(size: float) -> str:
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{max(1, size / 1e6):,.0f} MB"
