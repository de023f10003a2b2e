"""What sizes USO-mini draws: said on whichever node samples, before the first step."""

from __future__ import annotations

import logging
from typing import Any

from comfy.patcher_extension import WrappersMP
from torch import Tensor

from ...mini.model.files import PICTURE_SIZE
from ...uso_model.errors import UserError
from ...uso_model.packing import PIXELS_PER_LATENT
from .host_types import Model
from .node_text import show_on_node

__all__ = ["LARGEST", "WARNED", "with_size_check"]

WARNED, LARGEST = 160, 512
"""Sides in pixels above which pictures fall apart, and above which nothing is drawn at all."""

_KEY = "uso_mini_size"
_CURE = (
    f"set latent_long_side of USO Encode Content, or width and height of the empty latent, to {PICTURE_SIZE}; for "
    "larger pictures use FLUX.1"
)

logger = logging.getLogger(__name__)


def with_size_check(model: Model) -> Model:
    """Return a clone of USO-mini's MODEL whose sampling refuses latents that are far too large.

    The check is a wrapper around sampling, so that clones, LoRA loaders, merges and every sampler node keep it.
    """
    checked = model.clone()
    checked.add_wrapper_with_key(WrappersMP.OUTER_SAMPLE, _KEY, _check_then_sample)
    return checked


def _check_then_sample(executor: Any, noise: Tensor, *args: Any, **kwargs: Any) -> Any:
    """Sample, unless the latent is too large.

    Raises:
        UserError: if it is.
    """
    if noise.ndim >= 4:  # several latents at once come as one row of numbers
        height, width = (side * PIXELS_PER_LATENT for side in noise.shape[-2:])
        size = f"{width} x {height}"
        if max(width, height) > LARGEST:
            raise UserError(
                f"Got a latent of {size} pixels for USO-mini, which draws {PICTURE_SIZE} x {PICTURE_SIZE}, expected at "
                f"most {LARGEST} a side: {_CURE}."
            )
        badly = max(width, height) > WARNED
        if badly:
            logger.warning("USO-mini's pictures of %s pixels fall apart: %s.", size, _CURE)
        # Short, because a node shows two lines of it.
        show_on_node(f"{size} is too large for USO-mini: set the latent's sides to {PICTURE_SIZE}." if badly else "")
    return executor(noise, *args, **kwargs)
