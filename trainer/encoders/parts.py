"""The part of a weight file that belongs to one encoder: its own file, a folder, or an all-in-one checkpoint."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

__all__ = ["CLIP_KEY", "SIGLIP_KEY", "T5_BLOCKS", "T5_KEY", "part_with"]

# One key of each encoder; what stands before it differs between files, folders and all-in-one checkpoints.
T5_KEY = "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
CLIP_KEY = "embeddings.token_embedding.weight"
SIGLIP_KEY = "embeddings.patch_embedding.weight"

T5_BLOCKS = "encoder.block."
"""What the names of T5's matrices begin with, those of its embedding aside."""


def part_with(stored: Mapping[str, Tensor], key: str) -> dict[str, Tensor] | None:
    """Return the weights of the part that has `key`, without the names before it; None where not just one has it."""
    prefixes = [name.removesuffix(key) for name in stored if name == key or name.endswith(f".{key}")]
    if len(prefixes) != 1:
        return None
    return {
        name.removeprefix(prefixes[0]): tensor
        for name, tensor in stored.items()
        if name.startswith(prefixes[0]) and not name.endswith("position_ids")
    }
