"""Where content references stand: FLUX's position ids, edited for those that leave the official diagonal."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ..graph.dials import Place

__all__ = ["placed"]

_ROW, _COLUMN = 1, 2


def placed(ids: Tensor, tokens: Sequence[int], places: Sequence[Place | None]) -> Tensor:
    """Return position ids in which references stand where their places say.

    Args:
        ids: `b L 3` of the drawn picture and, behind it, the references on the diagonal.
        tokens: number of each reference's tokens.
        places: of each reference; None: stays.

    Source of the sides: bytedance/UNO, uno/flux/sampling.py (prepare_multi_ip).
    """
    ids = ids.clone()
    start = ids.shape[1] - sum(tokens)
    for count, place in zip(tokens, places, strict=True):
        part = ids[:, start : start + count]
        if place is not None:
            if place.side not in ("d", "h"):
                part[..., _ROW] -= part[..., _ROW].amin(dim=1, keepdim=True)
            if place.side not in ("d", "w"):
                part[..., _COLUMN] -= part[..., _COLUMN].amin(dim=1, keepdim=True)
            part[..., _ROW] += place.row
            part[..., _COLUMN] += place.column
        start += count
    return ids
