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

from ..autoencoder import Autoencoder
from ..config import FLUX_AE, AutoencoderConfig
from .diffusers import autoencoder_from_folder
from .files import read_metadata, read_safetensors, write_safetensors
from .kinds import kind_of, looks_like
from .strict import CheckpointError, load_strict

__all__ = ["autoencoder_config_from", "load_autoencoder", "save_autoencoder"]

_PREFIXES = ("vae.", "first_stage_model.", "")


def autoencoder_config_from(
    state_dict: Mapping[str, Tensor],
    metadata: Mapping[str, str] | None = None,
    source: str = "the state dict",
) -> AutoencoderConfig:
    """Read the sizes of an autoencoder off its weights (no prefix).

    The latent's scale and shift leave no trace in the weights; they are FLUX.1's unless the metadata entry
    `config`, a JSON object with fields of `AutoencoderConfig`, says otherwise.

    Raises:
        CheckpointError: when the weights are no FLUX autoencoder or the metadata cannot be read.
    """
    _refuse_others(state_dict, source)
    try:
        ch = state_dict["encoder.conv_in.weight"].shape[0]
        levels = _count(state_dict, "encoder.down.")
        config = replace(
            FLUX_AE,
            in_channels=state_dict["encoder.conv_in.weight"].shape[1],
            ch=ch,
            out_ch=state_dict["decoder.conv_out.weight"].shape[0],
            ch_mult=tuple(state_dict[f"encoder.down.{i}.block.0.conv1.weight"].shape[0] // ch for i in range(levels)),
            num_res_blocks=_count(state_dict, "encoder.down.0.block."),
            z_channels=state_dict["encoder.conv_out.weight"].shape[0] // 2,
        )
    except (KeyError, IndexError) as error:
        raise CheckpointError(f"{source} is not a complete FLUX autoencoder ({error}); download it again.") from error
    return replace(config, **_told(metadata or {}, source))


def _told(metadata: Mapping[str, str], source: str) -> dict[str, Any]:
    if "config" not in metadata:
        return {}
    try:
        told = dict(json.loads(metadata["config"]))
    except (ValueError, TypeError) as error:
        raise CheckpointError(
            f"{source} has a config in its metadata that is not a JSON object; write it again."
        ) from error
    known = {field.name for field in fields(AutoencoderConfig)}
    return {name: tuple(value) if isinstance(value, list) else value for name, value in told.items() if name in known}


def _count(state_dict: Mapping[str, Tensor], prefix: str) -> int:
    numbers = {name.removeprefix(prefix).split(".")[0] for name in state_dict if name.startswith(prefix)}
    return len(numbers)


def _refuse_others(state_dict: Mapping[str, Tensor], source: str) -> None:
    if kind_of(state_dict) != "autoencoder":
        raise CheckpointError(
            f"{source} is not a FLUX.1 autoencoder but looks like {looks_like(state_dict)}; choose "
            "ae.safetensors (models/vae)."
        )


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
    if Path(path).is_dir():
        state_dict, told = autoencoder_from_folder(path)
        metadata = {"config": json.dumps(told)}
    else:
        state_dict, metadata = read_safetensors(path), read_metadata(path)
    prefix = next((p for p in _PREFIXES if f"{p}encoder.conv_in.weight" in state_dict), "")
    tensors = {key.removeprefix(prefix): t.to(dtype) for key, t in state_dict.items() if key.startswith(prefix)}
    config = autoencoder_config_from(tensors, metadata, name)
    with torch.device("meta"):
        model = Autoencoder(config)
    load_strict(model, tensors, name, assign=True)
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
