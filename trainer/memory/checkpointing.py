"""Recomputing each block in the backward pass, applied from outside."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

from ...uso_model.transformer import UsoTransformer

__all__ = ["checkpoint_blocks"]


def checkpoint_blocks(transformer: UsoTransformer) -> None:
    """Keep only the input of each block for the backward pass, and compute the block again there.

    What wraps a block's forward before this call is computed again as well; what wraps it later is not.
    """
    for block in (*transformer.double_blocks, *transformer.single_blocks):
        block.forward = partial(_checkpointed, block.forward)


def _checkpointed(forward: Any, *inputs: Any) -> Any:
    if not torch.is_grad_enabled():
        return forward(*inputs)
    # Blocks draw no random numbers, so their state need not be kept.
    return checkpoint(forward, *inputs, use_reentrant=False, preserve_rng_state=False)
