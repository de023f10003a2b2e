"""Bytes that a row's forward and backward pass keep, by formula."""

from __future__ import annotations

from ...uso_model.config import FluxConfig
from ..recipe import TrainConfig

__all__ = ["HELD", "MOMENTARY", "activations"]

HELD, MOMENTARY = 21, 26
"""Values of one token, in widths, that a single-stream block keeps for its backward pass, and that come and go in it:
gradients and the adapters' float32 copies. Measured on the CPU with torch's profiler, under bfloat16 autocast; a
double-stream block needs fewer."""


HELD_FULL, HELD_THROUGH, INSIDE_FULL = 17, 8, 31
"""The same in float32, without autocast's copies: what a block keeps, what it keeps where its weights are frozen and
the gradient only goes through, and both parts of the block at work. Measured likewise, on two double-stream and four
single-stream blocks of width 256."""


def activations(config: TrainConfig, sizes: FluxConfig, tokens: int) -> float:
    """Return the bytes of one row's activations: the input of every block and the inside of one, or of all.

    Args:
        config: says the precision, and whether blocks are computed again.
        sizes: of the transformer.
        tokens: of the row.
    """
    blocks = sizes.depth + sizes.depth_single_blocks
    if config.loop.precision == "no":
        held, inside, size = HELD_THROUGH if config.stage == "style" else HELD_FULL, INSIDE_FULL, 4
    else:
        held, inside, size = HELD, HELD + MOMENTARY, 2
    width = sizes.hidden_size * tokens * size
    return width * (blocks + inside if config.memory.checkpointing else held * (blocks - 1) + inside)
