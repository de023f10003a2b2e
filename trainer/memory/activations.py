"""Bytes that a row's forward and backward pass keep, by formula."""

from __future__ import annotations

from ...uso_model.config import FluxConfig
from ..recipe import TrainConfig

__all__ = ["HELD", "MOMENTARY", "activations"]

HELD, MOMENTARY = 21, 26
"""Values of one token, in widths, that a single-stream block keeps for its backward pass, and that come and go in it:
gradients and the adapters' float32 copies. Measured on the CPU with torch's profiler, under bfloat16 autocast; a
double-stream block needs fewer."""


def activations(config: TrainConfig, sizes: FluxConfig, tokens: int) -> float:
    """Return the bytes of one row's activations: the input of every block and the inside of one, or of all.

    Args:
        config: says the precision, and whether blocks are computed again.
        sizes: of the transformer.
        tokens: of the row.
    """
    blocks = sizes.depth + sizes.depth_single_blocks
    width = sizes.hidden_size * tokens * (2 if config.loop.precision == "bf16" else 4)
    inside = HELD + MOMENTARY
    return width * (blocks + inside if config.memory.checkpointing else HELD * (blocks - 1) + inside)
