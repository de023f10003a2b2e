"""Whether a LoRA belongs on a MODEL: USO must not lie on USO, and a part that was trained beside it not without it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor
from torch.nn.functional import cosine_similarity

from ...uso_model.checkpoints.marks import beside, is_own_part
from .host_types import Model

__all__ = ["misplaced"]

ALIKE = 0.5
"""Cosine of two LoRAs' first factors above which one was made from the other; of strangers it is near 0."""

_LOOKED_AT = 3
"""Layers that are compared: any one tells."""

_USO = re.compile(
    r"diffusion_model\.(?:double_blocks\.\d+\.(?:img|txt)_attn\.(?:qkv|proj)|single_blocks\.\d+\.linear[12])\.weight"
)
"""Weights that USO changes."""


def misplaced(before: Model, after: Model, name: str, metadata: Mapping[str, str]) -> str:
    """Return what is wrong with putting a LoRA on a MODEL, in one sentence; empty: nothing.

    Args:
        before: the model that got it.
        after: the same with it.
        name: of the LoRA's file.
        metadata: of the file.
    """
    changed = [key for key in after.patches if len(after.patches[key]) > len(before.patches.get(key, []))]
    covered = [key for key in changed if before.patches.get(key)]
    if is_own_part(metadata):
        # A part of other layers than USO's, such as MLPs, lies on none of USO's: any LoRA there may be USO's.
        if covered or (before.patches and not any(map(_USO.fullmatch, changed))):
            return ""
        other = beside(metadata)
        if other is not None:
            return (
                f"{name} was trained beside {other}, which is not USO's and which this model does not have: put that "
                "on it first, or load the file of the same name that ends in -with-start."
            )
        return (
            f"{name} was trained beside USO's LoRA, which this model does not have: load USO's LoRA first, or the file "
            "of the same name that ends in -with-uso."
        )
    for key in covered[:_LOOKED_AT]:
        new = after.patches[key][len(before.patches[key]) :]
        if any(_alike(one, other) for one in new for other in before.patches[key]):
            return (
                f"{name} contains the LoRA that this model has already, so it counts twice: take the other loader out, "
                "or choose the part that was trained alone."
            )
    return ""


def _alike(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    """Whether of two patches of one weight one has the rows of the other."""
    first, second = _down(one), _down(other)
    if first is None or second is None or one[3] != other[3] or not one[0] or not other[0]:
        return False
    rank = min(len(first), len(second))
    if first.shape[1:] != second.shape[1:]:
        return False
    return bool(cosine_similarity(first[:rank].flatten().float(), second[:rank].flatten().float(), dim=0) > ALIKE)


def _down(patch: tuple[Any, ...]) -> Tensor | None:
    """Return the factor next to the input of ComfyUI's patch, None where it is no LoRA."""
    weights = getattr(patch[1], "weights", None)
    if getattr(patch[1], "name", "") != "lora" or not isinstance(weights, tuple) or len(weights) < 2:
        return None
    return weights[1] if isinstance(weights[1], Tensor) else None
