"""Which rows of a conditioning belong to the pictures of a LATENT that was cut out of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from .conditioning import Entries
from .keys import CONTENT_DIALS, POOLED, REFERENCES, STYLE_DIALS

__all__ = ["of_frames"]

_MASK = "mask"
"""ComfyUI's own key of an entry's mask, `b h w`."""


def of_frames(entries: Entries, frames: Sequence[int] | None) -> Entries:
    """Return a conditioning in which row `i` of everything that has rows belongs to picture `frames[i]`.

    Rows are a prompt's, subject's (`frames` of USO Encode Content), region's or mask's own for each picture.
    ComfyUI gives row 0 to the first picture of whatever it draws, so that a frame that is drawn again would get another
    frame's subject. Short lists count as ComfyUI counts them: rows repeat, the last region serves for all further ones.

    Args:
        entries: a CONDITIONING.
        frames: `batch_index` of the LATENT; None: it is whole, and the conditioning stays the same object.
    """
    if frames is None:
        return entries
    return [[_rows(text, frames), _entry(values, frames)] for text, values in entries]


def _entry(values: dict[str, Any], frames: Sequence[int]) -> dict[str, Any]:
    """Return an entry's values with the rows of these pictures."""
    changed: dict[str, Any] = {
        key: _rows(values[key], frames) for key in (POOLED, _MASK) if values.get(key) is not None
    }
    if REFERENCES in values:
        changed[REFERENCES] = [_rows(latent, frames) for latent in values[REFERENCES]]
    for key in (STYLE_DIALS, CONTENT_DIALS):
        if key in values:
            changed[key] = tuple(_dial(dial, frames) for dial in values[key])
    return {**values, **changed}


def _dial(dial: dict[str, Any], frames: Sequence[int]) -> dict[str, Any]:
    region: Tensor | None = dial.get("region")
    if region is None or _cut_already(region, frames):
        return dial
    return {**dial, "region": region[[min(frame, len(region) - 1) for frame in frames]]}


def _rows(tensor: Tensor, frames: Sequence[int]) -> Tensor:
    return tensor if _cut_already(tensor, frames) else tensor[[frame % len(tensor) for frame in frames]]


def _cut_already(tensor: Tensor, frames: Sequence[int]) -> bool:
    """Say whether rows are in the right order: one serves all, or there are as many as pictures, from further on."""
    return len(tensor) == 1 or (len(tensor) == len(frames) and max(frames) >= len(tensor))
