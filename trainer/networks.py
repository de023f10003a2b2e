"""The networks of a stage: read, frozen but for what the stage trains, and fitted to the GPU."""

from __future__ import annotations

import logging
from typing import NamedTuple

import torch
from torch import nn

from ..uso_model.checkpoints import Lora, load_projector, read_lora
from ..uso_model.projector import HierarchicalProjector
from ..uso_model.transformer import UsoTransformer
from .engine.randomness import seeded
from .engine.telling import telling
from .family import family_of
from .lora.adapters import ADAPTER, add_lora, load_into, lora_layers
from .lora.dropout import BranchDropout
from .lora.layers import chosen_layers, require_no_modulation
from .memory.block_swap import swap_blocks
from .memory.checkpointing import checkpoint_blocks
from .memory.compile import compile_blocks
from .memory.heap import LARGE, return_freed_memory
from .memory.load import load_frozen
from .memory.modulation import offload_modulation
from .recipe import TrainConfig
from .starting_files import lora_file, projector_file, require_same_references, transformer_file

__all__ = ["Networks", "build_networks"]

logger = logging.getLogger(__name__)


class Networks(NamedTuple):
    """What a stage runs."""

    transformer: UsoTransformer
    projector: HierarchicalProjector | None
    """None in stage `base`, and where styles go the content's way."""
    isolated: bool = False
    """Whether references see only themselves; see `uso_model.isolation`."""

    @property
    def device(self) -> torch.device:
        """Where the transformer computes; blocks that wait in RAM come there in turn."""
        return next(self.transformer.parameters()).device

    @property
    def dropout(self) -> BranchDropout | None:
        """Of the branches; None where they have none."""
        return next((part for part in self.transformer.children() if isinstance(part, BranchDropout)), None)

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
    if path is not None and lora is not None:
        require_same_references(config, lora, path.name)
    merged = lora if config.lora.start == "add" or config.stage == "style" else None
    transformer = _transformer(config, device, merged)
    without = config.stage == "base" or config.conditions.style_path == "vae"
    projector = None if without else _projector(config, transformer.config.hidden_size).to(device)
    if projector is not None:
        projector.requires_grad_(config.stage == "style" or config.train_projector)
    if config.stage == "triplet":
        _add_branches(config, transformer, None if merged else lora)
    else:
        transformer.requires_grad_(config.stage == "base")
    transformer.train()
    if config.memory.modulation == "offloaded":
        offload_modulation(transformer)
    if config.memory.blocks_to_swap:
        in_ram = config.memory.modulation == "offloaded"
        swap_blocks(transformer, config.memory.blocks_to_swap, device, in_ram)
    if config.memory.checkpointing:
        checkpoint_blocks(transformer)
    if config.memory.compile:
        compile_blocks(transformer)
    return Networks(transformer, projector, config.conditions.isolated)


def _add_branches(config: TrainConfig, transformer: UsoTransformer, start: Lora | None) -> None:
    """Add new branches, or those of the LoRA that is trained on."""
    settings = config.lora
    if start is None:
        layers = chosen_layers(settings, transformer.config)
        add_lora(transformer, settings.new_rank, config.loop.seed, layers, settings.alpha)
    else:
        ranks = sorted({part.rank for part in start.modules.values()})
        if settings.rank is not None and ranks != [settings.rank]:
            told = "lora.rank %d has no effect: lora.start continue trains the file's factors on, of rank %s"
            logger.warning(told, settings.rank, ", ".join(map(str, ranks)))
        load_into(transformer, start, settings.alpha)
    found = lora_layers(transformer)
    if config.memory.modulation == "offloaded":
        require_no_modulation(found)
    if settings.dropout or settings.rank_dropout:
        downs = {name: layer.lora_A[ADAPTER] for name, layer in found.items()}
        transformer.add_module("branch_dropout", BranchDropout(downs, settings.dropout, settings.rank_dropout))


def _transformer(config: TrainConfig, device: torch.device, merged: Lora | None) -> UsoTransformer:
    path, memory = transformer_file(config), config.memory
    if path is None:
        with seeded(config.loop.seed):
            return family_of(config).fresh_transformer(config.models).to(device)
    if device.type == "cpu" and path.is_file() and path.stat().st_size > LARGE:
        return_freed_memory()
    with telling(f"reading {path.name}" + ("" if merged is None else " and adding the LoRA to its weights")):
        return load_frozen(path, memory.base, device, merged, memory.blocks_to_swap, memory.modulation == "offloaded")


def _projector(config: TrainConfig, width: int) -> HierarchicalProjector:
    path = projector_file(config)
    if path is not None:
        return load_projector(path, torch.float32, levels=config.conditions.style_levels).train()
    with seeded(config.loop.seed):
        return family_of(config).fresh_projector(config.models, width, config.conditions.style_levels)
