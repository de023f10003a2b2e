"""Recomputing each block in the backward pass, applied from outside."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

from ...uso_model.autoencoder import Autoencoder, ResnetBlock, Upsample
from ...uso_model.transformer import UsoTransformer
from .wrapping import wrap_forward

__all__ = ["checkpoint_blocks", "checkpoint_decoder"]


def checkpoint_blocks(transformer: UsoTransformer) -> None:
    """Keep only the input of each block for the backward pass, and compute the block again there."""
    for block in (*transformer.double_blocks, *transformer.single_blocks):
        wrap_forward(block, "checkpoint", _checkpointed)


def checkpoint_decoder(autoencoder: Autoencoder) -> Autoencoder:
    """Do the same to the parts of a decoder, which then needs two fifths of the memory, and return it.

    Recomputing the decoder as a whole would not help: at the end all that it keeps is there at once.
    """
    for part in autoencoder.decoder.modules():
        if isinstance(part, (ResnetBlock, Upsample)):
            wrap_forward(part, "checkpoint", _checkpointed)
    return autoencoder


def _checkpointed(forward: Any, *inputs: Any) -> Any:
    if not torch.is_grad_enabled():
        return forward(*inputs)
    # Blocks draw no random numbers, so their state need not be kept.
    return checkpoint(forward, *inputs, use_reentrant=False, preserve_rng_state=False)
