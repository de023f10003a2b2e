"""Where the weights of the transformer lie, and how many values a stage trains, counted from names and shapes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from ...uso_model.checkpoints import CheckpointError, flux_config_from, from_bfl
from ...uso_model.checkpoints.flux import strip_prefix
from ...uso_model.checkpoints.fp8 import is_auxiliary, is_block_matrix
from ...uso_model.checkpoints.lora import uso_modules
from ...uso_model.checkpoints.lora_files import lora_numbers
from ...uso_model.config import FLUX_DEV, FluxConfig
from ...uso_model.errors import UserError
from ...uso_model.projector import PREFIX
from ...uso_model.transformer import UsoTransformer
from ..lora.layers import chosen_layers
from ..recipe import TrainConfig
from ..starting_files import lora_file, projector_file, transformer_file
from .block_swap import swapped_names
from .frozen import FP8
from .load import MODULATION
from .stored import bytes_of, stored_tensors

__all__ = ["Weights", "flux_sizes", "lora_values", "start_bytes", "trained_values", "transformer_weights"]

PROJECTOR = 10_773_120
"""Values of USO's projector."""

PUBLISHED_RANK = 128
"""Of USO's LoRA."""


class Weights(NamedTuple):
    """Bytes of the frozen transformer."""

    resident: float
    """Where the network computes."""
    modulation: float
    """Modulation layers that wait in RAM."""
    blocks: tuple[float, ...]
    """Each block that waits in RAM."""
    mapped: float
    """Of what lies in RAM on a machine without a GPU: the file itself and no copy."""
    mapped_modulation: float
    """The same of the modulation layers alone."""
    matrix: float
    """Values of the largest matrix of a block."""


def flux_sizes(config: TrainConfig) -> FluxConfig:
    """Return the sizes of the FLUX that a recipe starts from, those of FLUX.1-dev where its file is not there yet."""
    stored = _stored_flux(_named(transformer_file, config))
    try:
        return flux_config_from(stored) if stored else FLUX_DEV
    except CheckpointError:
        return FLUX_DEV


def transformer_weights(config: TrainConfig, sizes: FluxConfig) -> Weights:
    """Count the weights as `load_frozen` and `swap_blocks` place them."""
    memory = config.memory
    stored = _stored_flux(_named(transformer_file, config))
    blocks = dict.fromkeys(swapped_names(sizes.depth, sizes.depth_single_blocks, memory.blocks_to_swap), 0)
    merged = _named(lora_file, config) is not None and (config.lora.start == "add" or config.stage == "style")
    changed = {f"{name}.weight" for name in uso_modules(sizes.depth, sizes.depth_single_blocks)} if merged else set()
    resident = modulation = mapped = mapped_modulation = matrix = 0
    for name, tensor in _parameters(sizes).items():
        in_ram = memory.modulation == "offloaded" and MODULATION.search(name) is not None
        quantised = memory.base == "fp8" and is_block_matrix(name, tensor) and not in_ram
        dtype = FP8 if quantised else torch.float32 if memory.base == "fp32" else torch.bfloat16
        size = tensor.numel() * dtype.itemsize
        own = size if name in stored and stored[name].dtype == dtype and name not in changed else 0
        block = ".".join(name.split(".")[:2])
        if in_ram:
            modulation += size
            mapped_modulation += own
        elif block in blocks and tensor.ndim == 2:
            blocks[block] += size
            own = 0  # copied into one stretch of memory
        else:
            resident += size
        mapped += own
        matrix = max(matrix, tensor.numel() if is_block_matrix(name, tensor) else 0)
    return Weights(resident, modulation, tuple(blocks.values()), mapped, mapped_modulation, matrix)


def lora_values(config: TrainConfig, sizes: FluxConfig) -> int:
    """Return the values of the adapters that stage `triplet` trains."""
    if config.lora.start == "continue":  # the rank is that of the file
        return _file_values(_named(lora_file, config)) or _published_values(sizes)
    return _values(config.lora.new_rank, chosen_layers(config.lora, sizes), sizes)


def trained_values(config: TrainConfig, sizes: FluxConfig) -> int:
    """Return the values that a stage trains."""
    if config.stage == "base":
        return sum(tensor.numel() for tensor in _parameters(sizes).values())
    projector = config.stage == "style" or config.train_projector
    lora = lora_values(config, sizes) if config.stage == "triplet" else 0
    return lora + (_projector_values(config) if projector else 0)


def start_bytes(config: TrainConfig, sizes: FluxConfig) -> dict[str, float]:
    """Return the bytes of the files of FLUX and of a LoRA, as they are mapped while FLUX is read."""
    flux, lora = _named(transformer_file, config), _named(lora_file, config)
    half = 2 * sum(tensor.numel() for tensor in _parameters(sizes).values())
    found: dict[str, float] = {"FLUX's file": bytes_of(stored_tensors(flux)) or half}
    if lora is not None:
        found["the LoRA's file"] = bytes_of(stored_tensors(lora)) or 2 * _published_values(sizes)
    return found


def _values(rank: int, layers: Iterable[str], sizes: FluxConfig) -> int:
    """Return the values of branches of one rank on layers."""
    weights = _parameters(sizes)
    return rank * sum(sum(weights[f"{layer}.weight"].shape) for layer in layers)


def _published_values(sizes: FluxConfig) -> int:
    return _values(PUBLISHED_RANK, uso_modules(sizes.depth, sizes.depth_single_blocks), sizes)


def _file_values(path: Path | None) -> int:
    return sum(tensor.numel() for tensor in lora_numbers(stored_tensors(path)).values() if tensor.ndim == 2)


def _projector_values(config: TrainConfig) -> int:
    stored = stored_tensors(_named(projector_file, config))
    return sum(tensor.numel() for name, tensor in stored.items() if name.startswith(PREFIX)) or PROJECTOR


def _named(which: object, config: TrainConfig) -> Path | None:
    """Return a file that a stage starts from; who reads it says what is wrong with the recipe."""
    try:
        return which(config)  # type: ignore[operator, no-any-return]
    except UserError:
        return None


@lru_cache(maxsize=4)
def _parameters(sizes: FluxConfig) -> Mapping[str, Tensor]:
    with torch.device("meta"):
        return UsoTransformer(sizes).state_dict()


def _stored_flux(path: Path | None) -> Mapping[str, Tensor]:
    """Return what a single file stores, under the names of `UsoTransformer`; folders are copied when they are read."""
    if path is None or path.is_dir():
        return {}
    stored = {name: t for name, t in strip_prefix(stored_tensors(path)).items() if not is_auxiliary(name)}
    try:
        return from_bfl(stored)
    except CheckpointError:
        return {}
