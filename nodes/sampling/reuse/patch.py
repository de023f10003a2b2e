"""The patch inside attention that keeps references' keys and values, or puts them back.

On the steps between style and content tokens are not in the sequence: queries are of text and picture alone, and what
was kept is there to be seen. ComfyUI calls such a patch before it rotates keys, so the patch rotates them itself and
hands on no positions.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from comfy.ldm.flux.math import apply_rope1
from torch import Tensor

from ...graph.keys import TURN
from .run import Turn

__all__ = ["patch_references"]


@torch.compiler.disable
def patch_references(
    q: Tensor, k: Tensor, v: Tensor, pe: Any = None, attn_mask: Any = None, extra_options: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Keep the references' keys and values `b heads L D` of a block, or put them back; a patch of ComfyUI's `attn1`."""
    options = extra_options or {}
    turn: Turn | None = options.get(TURN)
    if turn is None:
        return {}
    block = (options["block_type"], options["block_index"])
    if turn.replays:
        return turn.joined.put_back(q, k, v, pe, partial(turn.kept.forecast, block, turn.time), options)
    if not _knows(turn, options["img_slice"]):
        return {}
    places = turn.joined.places(k.shape[2])
    keys = [k[:, :, place] for place in places]
    if pe is not None:
        # Only for what is kept: the block itself rotates all keys once more, as it would without us.
        keys = [apply_rope1(part, pe[:, :, place]) for part, place in zip(keys, places, strict=True)]
    turn.keep(block, keys, [v[:, :, place] for place in places])
    return {}


def _knows(turn: Turn, img_slice: list[int]) -> bool:
    """Whether the references are where they were put: a node behind us may have added tokens of its own."""
    start, length = img_slice
    layout = turn.layout
    rows, columns = layout.image
    in_front = not layout.style or start == layout.style + layout.text
    return in_front and length - start == rows * columns + sum(layout.references)
