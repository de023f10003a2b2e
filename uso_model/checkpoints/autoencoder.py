"""FLUX autoencoder files (`ae.safetensors`, or the VAE inside an all-in-one checkpoint), BFL's key names.

Key names: black-forest-labs/flux, src/flux/modules/autoencoder.py.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..autoencoder import GROUPS, Autoencoder
from ..config import FLUX_AE, AutoencoderConfig
from ..untrusted import number, parse_json
from .diffusers import autoencoder_from_folder
from .files import read_metadata, read_safetensors, write_safetensors
from .kinds import kind_of, looks_like
from .sizes import block_count, block_numbers, shape_of
from .strict import CheckpointError, load_strict, require_floats

__all__ = ["autoencoder_config_from", "load_autoencoder", "open_autoencoder", "save_autoencoder"]

_MOST_LEVELS = 16
_LARGEST = 1e6
_PREFIXES = ("vae.", "first_stage_model.", "")


def autoencoder_config_from(
    state_dict: Mapping[str, Tensor],
    metadata: Mapping[str, str] | None = None,
    source: str = "the state dict",
) -> AutoencoderConfig:
    """Read the sizes of an autoencoder off its weights (no prefix).

    The latent's scale and shift leave no trace in the weights; they are FLUX.1's unless the metadata entry
    `config`, a JSON object with these fields of `AutoencoderConfig`, says otherwise.

    Raises:
        CheckpointError: when the weights are no FLUX autoencoder or the metadata cannot be read.
    """
    _refuse_others(state_dict, source)
    ch, in_channels, *_ = shape_of(state_dict, "encoder.conv_in.weight", 4, source)
    levels = block_numbers(state_dict, "encoder.down.")
    widths = [shape_of(state_dict, f"encoder.down.{i}.block.0.conv1.weight", 4, source)[0] for i in levels]
    if ch % GROUPS or levels != list(range(len(widths))) or len(widths) > _MOST_LEVELS or any(w % ch for w in widths):
        raise CheckpointError(
            f"{source} is not a complete FLUX autoencoder: its levels {levels} have {widths} channels, expected "
            f"multiples of the {ch} of the first convolution, and those of {GROUPS}; download it again."
        )
    config = replace(
        FLUX_AE,
        in_channels=in_channels,
        ch=ch,
        out_ch=shape_of(state_dict, "decoder.conv_out.weight", 4, source)[0],
        ch_mult=tuple(width // ch for width in widths),
        num_res_blocks=block_count(state_dict, "encoder.down.0.block.", source),
        z_channels=shape_of(state_dict, "encoder.conv_out.weight", 4, source)[0] // 2,
    )
    return replace(config, **_told(metadata or {}, source))


def _told(metadata: Mapping[str, str], source: str) -> dict[str, Any]:
    """Return scale and shift where the metadata has them; the sizes it may list as well stand in the weights."""
    if "config" not in metadata:
        return {}
    place = f"the config in the metadata of {source}"
    told = parse_json(metadata["config"], place, CheckpointError)
    if not isinstance(told, dict):
        raise CheckpointError(f"{place} is not a JSON object; write it again.")
    return {
        name: number(told, name, place, -_LARGEST, _LARGEST, CheckpointError)
        for name in ("scale_factor", "shift_factor")
        if name in told
    }


def _refuse_others(state_dict: Mapping[str, Tensor], source: str) -> None:
    if kind_of(state_dict) != "autoencoder":
        raise CheckpointError(
            f"{source} is not a FLUX.1 autoencoder but looks like {looks_like(state_dict)}; choose "
            "ae.safetensors (models/vae)."
        )


def open_autoencoder(path: str | os.PathLike[str]) -> tuple[dict[str, Tensor], AutoencoderConfig]:
    """Return the weights of a file or folder, memory-mapped and as they are stored, and their sizes.

    Raises:
        CheckpointError: see `load_autoencoder`; missing and unknown keys are left to it.
    """
    name = Path(path).name
    if Path(path).is_dir():
        state_dict, told = autoencoder_from_folder(path)
        metadata = {"config": json.dumps(told)}
    else:
        state_dict, metadata = read_safetensors(path), read_metadata(path)
    prefix = next((p for p in _PREFIXES if f"{p}encoder.conv_in.weight" in state_dict), "")
    tensors = {key.removeprefix(prefix): t for key, t in state_dict.items() if key.startswith(prefix)}
    config = autoencoder_config_from(tensors, metadata, name)
    require_floats(tensors, name)
    return tensors, config


def load_autoencoder(
    path: str | os.PathLike[str], dtype: torch.dtype = torch.float32, device: str | torch.device = "cpu"
) -> Autoencoder:
    """Build the autoencoder that a file holds, in evaluation mode.

    Args:
        path: an autoencoder file, an all-in-one checkpoint whose `vae.` or `first_stage_model.` part is
            taken, or a diffusers folder.
        dtype: dtype of the parameters; the official code runs it in float32.
        device: where the parameters live.

    Raises:
        CheckpointError: when the file cannot be read, is no FLUX.1 autoencoder, or has missing, unknown or
            misshapen keys.
    """
    name = Path(path).name
    tensors, config = open_autoencoder(path)
    with torch.device("meta"):
        model = Autoencoder(config)
    load_strict(model, {key: t.to(dtype) for key, t in tensors.items()}, name, assign=True)
    return model.to(device).eval()


def save_autoencoder(
    path: str | os.PathLike[str],
    model: Autoencoder,
    dtype: torch.dtype | None = None,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write an autoencoder with BFL's key names and its sizes in the metadata entry `config`.

    `dtype` None keeps the dtype of the parameters.
    """
    config = {field.name: getattr(model.config, field.name) for field in fields(model.config)}
    tensors = {name: t if dtype is None else t.to(dtype) for name, t in model.state_dict().items()}
    write_safetensors(path, tensors, {**(metadata or {}), "config": json.dumps(config)})
