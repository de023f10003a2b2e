"""A contact sheet of a set for training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["contact_sheet"]

_COLUMNS, _MOST = 6, 48
"""Pictures side by side, and in all."""


def contact_sheet(title: str, pictures: Sequence[Path], captions: Sequence[str]) -> Image.Image:
    """Return the pictures with their names and captions; of very many, some from the beginning to the end."""
    from ...trainer.data.pictures import open_picture  # not above: ComfyUI loads the pack without the trainer
    from ...trainer.monitor.grid import CELL, Cell, Strip, sheet

    count = len(pictures)
    chosen = [number * count // min(count, _MOST) for number in range(min(count, _MOST))]
    cells = []
    for number in chosen:
        picture = open_picture(pictures[number])
        picture.thumbnail((CELL, CELL))
        label = f"{pictures[number].name}: {captions[number]}" if captions[number] else pictures[number].name
        cells.append(Cell([picture], label))
    strips = [Strip(cells[place : place + _COLUMNS], "") for place in range(0, len(cells), _COLUMNS)]
    shown = f"{title} ({len(chosen)} of {count} shown)" if len(chosen) < count else title
    return sheet(shown, [""] * min(_COLUMNS, len(cells)), strips)
