"""The networks of a stage: read, frozen but for what the stage trains, and fitted to the card."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn

from ..uso_model.checkpoints import Lora, load_projector, read_lora
from ..uso_model.projector import LEVELS, HierarchicalProjector
from ..uso_model.transformer import UsoTransformer
from .adapters import add_lora, load_into
from .memory.checkpointing import checkpoint_blocks
from .memory.compiled import compile_blocks
from .memory.load import load_frozen
from .memory.modulation import offload_modulation
from .memory.stream import stream_blocks
from .mini.networks import SIZES
from .mini.networks import fresh_projector as fresh_mini_projector
from .mini.networks import fresh_transformer as fresh_mini_transformer
from .recipe import TrainConfig
from .starting_files import lora_file, projector_file, transformer_file

__all__ = ["Networks", "build_networks"]

SIGLIP_TOKENS, SIGLIP_WIDTH, STYLE_TOKENS = 729, 1152, 64
"""SigLIP-so400m at 384 pixels in, style tokens of one level out (bytedance/USO, uso/flux/model.py)."""


class Networks(NamedTuple):
    """What a stage runs."""

    transformer: UsoTransformer
    projector: HierarchicalProjector | None
    """None in stage `base`, and where styles go the content's way."""

    @property
    def together(self) -> nn.Module:
        """One module that holds both; those of its parameters that require a gradient are trained."""
        parts = {"transformer": self.transformer, "projector": self.projector}
        return nn.ModuleDict({name: part for name, part in parts.items() if part is not None})


def build_networks(config: TrainConfig, device: torch.device) -> Networks:
    """Read or make the networks of a stage and freeze all but what it trains.

    Raises:
        ValueError: the stage needs a file that the settings do not name, or a setting contradicts another.
        CheckpointError: a file cannot be read or is of another kind.
    """
    path = lora_file(config)
    lora = None if path is None else read_lora(path)
    merged = lora if config.lora.start == "add" or config.stage == "style" else None
    transformer = _transformer(config, device, merged)
    without = config.stage == "base" or config.conditions.style_path == "vae"
    projector = None if without else _projector(config, transformer.config.hidden_size).to(device)
    if projector is not None:
        projector.levels = tuple(level for level in LEVELS if level in config.conditions.style_levels)
        projector.requires_grad_(config.stage == "style" or config.train_projector)
    if config.stage == "triplet":
        if lora is not None and merged is None:
            load_into(transformer, lora)
        else:
            add_lora(transformer, config.lora.rank, seed=config.loop.seed)
    else:
        transformer.requires_grad_(config.stage == "base")
    transformer.train()
    if config.memory.modulation == "offloaded":
        offload_modulation(transformer)
    if config.memory.stream_blocks:
        in_ram = config.memory.modulation == "offloaded"
        stream_blocks(transformer, config.memory.stream_blocks, device, in_ram)
    if config.memory.checkpointing:
        checkpoint_blocks(transformer)
    if config.memory.compile:
        compile_blocks(transformer)
    return Networks(transformer, projector)


def _transformer(config: TrainConfig, device: torch.device, merged: Lora | None) -> UsoTransformer:
    path, memory = transformer_file(config), config.memory
    if path is None:
        torch.manual_seed(config.loop.seed)
        return fresh_mini_transformer(SIZES[config.models.mini_size]).to(device)
    return load_frozen(path, memory.base, device, merged, memory.stream_blocks, memory.modulation == "offloaded")


def _projector(config: TrainConfig, width: int) -> HierarchicalProjector:
    path = projector_file(config)
    if path is not None:
        return load_projector(path, torch.float32).train()
    torch.manual_seed(config.loop.seed)
    if config.models.mini:
        return fresh_mini_projector(width)
    return HierarchicalProjector(SIGLIP_TOKENS, STYLE_TOKENS, SIGLIP_WIDTH, width)
