"""Token positions `(index, row, column)`: the FLUX.1 grid and USO's diagonal reference offsets (UnoPE).

Source: bytedance/UNO and bytedance/USO, uso/flux/sampling.py (prepare_multi_ip).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from .errors import UserError

__all__ = ["Placement", "image_ids", "reference_ids", "text_ids"]

Placement = Literal["d", "h", "w", "o"]
"""Where references are placed: diagonally behind the target (d), below (h), to the right (w), or over it (o)."""


def image_ids(rows: int, columns: int, row_offset: int = 0, column_offset: int = 0) -> Tensor:
    """Return the ids of a token grid, row by row: `L 3` float32, index 0 throughout."""
    ids = torch.zeros(rows, columns, 3)
    ids[..., 1] = (torch.arange(rows) + row_offset)[:, None]
    ids[..., 2] = (torch.arange(columns) + column_offset)[None, :]
    return ids.flatten(0, 1)


def text_ids(length: int) -> Tensor:
    """Return the ids of text and style tokens: zeros, `L 3`."""
    return torch.zeros(length, 3)


def reference_ids(
    target: tuple[int, int], references: Sequence[tuple[int, int]], placement: Placement = "d"
) -> list[Tensor]:
    """Return the ids of content references behind a target grid, each `L 3`.

    Every reference starts where the target or the previous reference ends, so that no two pictures share a
    row or a column in the official diagonal mode.

    Args:
        target: rows and columns of the target's token grid.
        references: rows and columns of each reference's token grid.
        placement: which of the two offsets are used; they accumulate in every mode, as in the official code.

    Raises:
        UserError: an unknown placement.
    """
    if placement not in ("d", "h", "w", "o"):
        raise UserError(f"unknown placement {placement!r}; use d, h, w or o")
    row, column = target
    ids = []
    for rows, columns in references:
        ids.append(image_ids(rows, columns, row * (placement in "dh"), column * (placement in "dw")))
        row, column = row + rows, column + columns
    return ids
