"""How much memory a recipe will need, on the card and in RAM, computed before anything is loaded."""

from __future__ import annotations

from typing import NamedTuple

import torch

from ...uso_model.checkpoints.fp8 import is_block_matrix
from ...uso_model.checkpoints.lora import uso_modules
from ...uso_model.config import FLUX_DEV, FluxConfig
from ...uso_model.schedule import token_count
from ...uso_model.transformer import UsoTransformer
from ..recipe import TrainConfig
from .load import MODULATION
from .stream import streamed_names

__all__ = ["MemoryPlan", "plan"]

TEXT_TOKENS, STYLE_TOKENS = 512, 192
"""T5's padded length, and three levels of 64 tokens a style reference."""

CONTEXT = 1.5e9
"""Bytes of CUDA's own context and of the allocator's slack; our own estimate."""

PROJECTOR = 10_773_120
"""Parameters of USO's projector."""

INNER = 24
"""Values of one token that a single-stream block keeps for its backward pass, in widths: modulated input, q, k and v
with their norms, the feed-forward's 4 before and after its activation, the joined 5, the output; our own count."""

DECODE = 1.2e9 / (512 * 512)
"""Bytes a pixel of decoding with a gradient, recomputed: 15 to 20 maps of 128 channels at full size, an estimate."""

_BYTES = {"fp32": 4, "bf16": 2, "fp8": 1}
_OPTIMIZER = {"adamw": 16, "prodigy": 24, "adamw8bit": 10}
"""Bytes a trained value needs for itself, its gradient and the optimizer's state."""


class MemoryPlan(NamedTuple):
    """Bytes by what they are for."""

    card: dict[str, float]
    ram: dict[str, float]
    tokens: int
    """Tokens of one row, the longest sequence."""

    @property
    def on_card(self) -> float:
        """Bytes on the card at the peak."""
        return sum(self.card.values())

    def text(self) -> str:
        """Return a table in GB."""
        lines = [f"  {name:<34}{size / 1e9:6.1f} GB" for name, size in self.card.items()]
        lines.append(f"  {'on the card, computed':<34}{self.on_card / 1e9:6.1f} GB")
        lines += [f"  {name + ' (RAM)':<34}{size / 1e9:6.1f} GB" for name, size in self.ram.items()]
        return "\n".join(lines)


def plan(config: TrainConfig, sizes: FluxConfig = FLUX_DEV) -> MemoryPlan:
    """Return what a recipe needs; weights are counted exactly, activations by formula.

    Args:
        config: the recipe.
        sizes: of the transformer.
    """
    frozen, modulation, streamed = _weights(config, sizes)
    lora = _lora_values(config, sizes)
    trained = lora * (config.stage == "triplet") + PROJECTOR * (config.stage == "style" or config.train_projector)
    if config.stage == "base":
        trained, frozen = round(frozen / 4), 0
    states = trained * (_OPTIMIZER[config.loop.optimizer] + (4 if config.loop.ema is not None else 0))
    content = config.data.content_size**2 // 256 if config.stage == "triplet" else 0
    style = STYLE_TOKENS * config.data.styles if config.stage != "base" else 0
    tokens = TEXT_TOKENS + style + token_count(config.data.size, config.data.size) + content
    rows = config.loop.micro_batch or config.loop.batch_size
    card = {
        "frozen weights": frozen,
        "places for visiting blocks": 2 * _largest_block(config, sizes) if config.memory.stream_blocks else 0,
        "trained values and optimizer": states,
        "activations": rows * _activations(config, sizes, tokens),
        "CUDA and slack": CONTEXT,
    }
    if config.reward is not None:
        card["decoding for the reward"] = rows * DECODE * config.reward.size**2
    ram = {"blocks in RAM": streamed, "modulation in RAM": modulation}
    return MemoryPlan(
        {name: size for name, size in card.items() if size},
        {name: size for name, size in ram.items() if size},
        tokens,
    )


def _weights(config: TrainConfig, sizes: FluxConfig) -> tuple[float, float, float]:
    """Return the bytes of the frozen weights on the card, of modulation in RAM and of blocks in RAM."""
    memory = config.memory
    with torch.device("meta"):
        parameters = UsoTransformer(sizes).state_dict()
    names = streamed_names(sizes.depth, sizes.depth_single_blocks, memory.stream_blocks)
    blocks = tuple(f"{name}." for name in names)
    card = modulation = streamed = 0.0
    for name, tensor in parameters.items():
        in_ram = memory.modulation == "offloaded" and MODULATION.search(name) is not None
        quantised = memory.base == "fp8" and is_block_matrix(name, tensor) and not in_ram
        size = tensor.numel() * (1 if quantised else 4 if memory.base == "fp32" else 2)
        if in_ram:
            modulation += size
        elif name.startswith(blocks) and tensor.ndim == 2:
            streamed += size
        else:
            card += size
    return card, modulation, streamed


def _largest_block(config: TrainConfig, sizes: FluxConfig) -> float:
    """Return the bytes of a double-stream block's matrices: 12 width^2 of each stream, and 12 of modulation."""
    modulation = 12 if config.memory.modulation == "resident" else 0
    return (24 + modulation) * sizes.hidden_size**2 * _BYTES[config.memory.base]


def _lora_values(config: TrainConfig, sizes: FluxConfig) -> int:
    width, inner = sizes.hidden_size, sizes.hidden_size + sizes.mlp_size
    ends = {"qkv": width + 3 * width, "proj": width + width, "linear2": inner + width}
    modules = uso_modules(sizes.depth, sizes.depth_single_blocks)
    return config.lora.rank * sum(ends[name.rpartition(".")[2].removeprefix("linear1_")] for name in modules)


def _activations(config: TrainConfig, sizes: FluxConfig, tokens: int) -> float:
    """Return the bytes of one row's activations: the input of every block and the inside of one, or of all."""
    blocks = sizes.depth + sizes.depth_single_blocks
    width = sizes.hidden_size * tokens * (2 if config.loop.precision == "bf16" else 4)
    return width * (blocks + INNER) if config.memory.checkpointing else width * INNER * blocks
