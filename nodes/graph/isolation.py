"""Whether references see only themselves on a MODEL: a LoRA that was trained so says it, whatever loader put it there.

Such a LoRA carries a change of FLUX's last bias by next to nothing. Every loader adds it like any other change, so it
is among the MODEL's patches for as long as the LoRA is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from ...uso_model.isolation import is_mark
from .host_types import Model

__all__ = ["NOTHING_TO_DO", "is_isolated", "says_isolated"]

NOTHING_TO_DO = (
    "The model's LoRA has isolated references, which are computed once for all steps: there is nothing left to reuse."
)
"""What USO Reuse References says then."""

_MARKED = "diffusion_model.final_layer.linear.bias"


def is_isolated(model: Model) -> bool:
    """Whether a MODEL carries a LoRA with isolated references at another strength than 0."""
    return says_isolated(model.patches)


def says_isolated(patches: Mapping[str, Sequence[tuple[Any, ...]]]) -> bool:
    """Whether one of ComfyUI's patches by weight is the mark of isolated references, at another strength than 0."""
    return any(strength != 0 and _is_mark(change) for strength, change, *_ in patches.get(_MARKED, ()))


def _is_mark(change: Any) -> bool:
    """Whether a change of a weight is ComfyUI's `("diff", (tensor,))` of the mark."""
    if not isinstance(change, tuple) or len(change) < 2 or change[0] != "diff":
        return False
    tensor = change[1][0]
    return isinstance(tensor, Tensor) and is_mark(tensor)
