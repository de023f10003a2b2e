"""FLUX.1 weights: single files with BFL's key names, in the precisions people have them in.

Key names: black-forest-labs/flux, src/flux/model.py. In memory `single_blocks.N.linear1` is the pair
`linear1_qkv`, `linear1_mlp` (its rows in that order); `from_bfl` and `to_bfl` split and fuse it without
touching a bit.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from ..config import FLUX_DEV, FluxConfig
from ..errors import UserError
from ..transformer import UsoTransformer
from .diffusers import transformer_from_folder
from .files import read_safetensors, write_safetensors
from .fp8 import dequantize, quantize_plain, quantize_scaled
from .kinds import flux_prefix, kind_of, looks_like
from .sizes import block_count, shape_of
from .strict import CheckpointError, counted, load_strict

__all__ = [
    "Precision",
    "flux_config_from",
    "from_bfl",
    "load_transformer",
    "open_flux",
    "read_flux",
    "save_transformer",
    "strip_prefix",
    "to_bfl",
]

Precision = Literal["fp32", "bf16", "fp16", "fp8", "fp8_scaled"]

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
# The weights whose shapes tell the sizes, and how many sides each has.
_SIZED = {
    "img_in.weight": 2,
    "txt_in.weight": 2,
    "vector_in.in_layer.weight": 2,
    "double_blocks.0.img_attn.norm.key_norm.scale": 1,
    "double_blocks.0.img_mlp.0.weight": 2,
    "final_layer.linear.weight": 2,
}
_LINEAR1 = re.compile(r"(single_blocks\.\d+)\.linear1\.(weight|bias)")
_LINEAR1_PART = re.compile(r"(single_blocks\.\d+)\.linear1_(qkv|mlp)\.(weight|bias)")
_NORM_WEIGHT = re.compile(r"(\.norm\.(?:query|key)_norm)\.weight")


def strip_prefix(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the FLUX weights of a state dict under BFL's names.

    Of an all-in-one checkpoint only what stands under `model.diffusion_model.` is taken. `*_norm.weight`,
    which newer versions of ComfyUI write when they save a model, becomes BFL's `*_norm.scale`.
    """
    prefix = flux_prefix(state_dict) or ""
    return {
        _NORM_WEIGHT.sub(r"\1.scale", name.removeprefix(prefix)): tensor
        for name, tensor in state_dict.items()
        if name.startswith(prefix)
    }


def from_bfl(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Split every `single_blocks.N.linear1` into its attention and its feed-forward rows (views, no copies).

    Raises:
        CheckpointError: when a `linear1` has no weight to tell the hidden size from.
    """
    result: dict[str, Tensor] = {}
    for name, tensor in state_dict.items():
        match = _LINEAR1.fullmatch(name)
        if match is None:
            result[name] = tensor
            continue
        block, leaf = match.groups()
        weight = state_dict.get(f"{block}.linear1.weight")
        if weight is None or weight.ndim != 2 or tensor.ndim == 0:
            raise CheckpointError(f"{block}.linear1 has no weight matrix to split {name} by; use a complete FLUX file.")
        rows = 3 * weight.shape[1]
        result[f"{block}.linear1_qkv.{leaf}"] = tensor[:rows]
        result[f"{block}.linear1_mlp.{leaf}"] = tensor[rows:]
    return result


def to_bfl(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Fuse every pair `linear1_qkv`, `linear1_mlp` into BFL's `linear1`: the inverse of `from_bfl`.

    Raises:
        CheckpointError: when one of a pair is absent.
    """
    result: dict[str, Tensor] = {}
    for name, tensor in state_dict.items():
        match = _LINEAR1_PART.fullmatch(name)
        if match is None:
            result[name] = tensor
            continue
        block, part, leaf = match.groups()
        other = f"{block}.linear1_{'mlp' if part == 'qkv' else 'qkv'}.{leaf}"
        if other not in state_dict:
            raise CheckpointError(f"{name} cannot be fused into {block}.linear1 without {other}; give both.")
        if part == "qkv":
            result[f"{block}.linear1.{leaf}"] = torch.cat([tensor, state_dict[other]])
    return result


def flux_config_from(state_dict: Mapping[str, Tensor], source: str = "the state dict") -> FluxConfig:
    """Read the sizes of a FLUX.1 transformer off its weights (BFL names or split ones, no prefix).

    The rotary axes (16, 56, 56) and theta 10000 leave no trace in the weights; they are FLUX.1's.

    Raises:
        CheckpointError: when the weights are not FLUX.1, with what they look like.
    """
    if kind_of(state_dict) != "flux":
        raise CheckpointError(
            f"{source} is not a FLUX.1 model but looks like {looks_like(state_dict)}; choose a FLUX.1 file."
        )
    missing = [name for name in _SIZED if name not in state_dict]
    if missing:
        raise CheckpointError(
            f"{source} is not a complete FLUX.1 model, choose a complete file: "
            f"{counted(len(missing), 'missing key')} ({', '.join(missing[:3])})."
        )
    shapes = {name: shape_of(state_dict, name, sides, source) for name, sides in _SIZED.items()}
    hidden_size, in_channels = shapes["img_in.weight"][0], shapes["img_in.weight"][-1]
    head_dim = shapes["double_blocks.0.img_attn.norm.key_norm.scale"][0]
    mlp_size = shapes["double_blocks.0.img_mlp.0.weight"][0]
    out_channels = shapes["final_layer.linear.weight"][0]
    if head_dim != sum(FLUX_DEV.axes_dim) or not hidden_size or hidden_size % head_dim:
        raise CheckpointError(
            f"{source} is {hidden_size} wide with attention heads of {head_dim}, expected whole heads of "
            f"{sum(FLUX_DEV.axes_dim)}; choose a FLUX.1 file."
        )
    if out_channels != in_channels:
        raise CheckpointError(
            f"{source} takes {in_channels} channels and gives {out_channels}, like a FLUX.1 Fill, Canny or "
            "Depth model; choose a text-to-image FLUX.1 file, which has as many in as out."
        )
    ratio = mlp_size / hidden_size
    return FluxConfig(
        in_channels=in_channels,
        vec_in_dim=shapes["vector_in.in_layer.weight"][-1],
        context_in_dim=shapes["txt_in.weight"][-1],
        hidden_size=hidden_size,
        # The division may fall just under the fraction, and the size is the product truncated.
        mlp_ratio=ratio if int(hidden_size * ratio) == mlp_size else math.nextafter(ratio, math.inf),
        num_heads=hidden_size // head_dim,
        depth=block_count(state_dict, "double_blocks.", source),
        depth_single_blocks=block_count(state_dict, "single_blocks.", source),
        axes_dim=FLUX_DEV.axes_dim,
        theta=FLUX_DEV.theta,
        qkv_bias="double_blocks.0.img_attn.qkv.bias" in state_dict,
        guidance_embed="guidance_in.in_layer.weight" in state_dict,
    )


def open_flux(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Return what a FLUX.1 file or Hugging Face folder stores, memory-mapped and as it is stored, under BFL's names.

    Raises:
        CheckpointError: when the file cannot be read or is not FLUX.1.
    """
    if Path(path).is_dir():
        return transformer_from_folder(path)
    tensors = strip_prefix(read_safetensors(path))
    if kind_of(tensors) != "flux":
        raise CheckpointError(
            f"{Path(path).name} is not a FLUX.1 model but looks like {looks_like(tensors)}; choose a FLUX.1 file "
            "(models/diffusion_models)."
        )
    return tensors


def read_flux(path: str | os.PathLike[str], dtype: torch.dtype | None = None) -> dict[str, Tensor]:
    """Read FLUX.1 weights under the names of `UsoTransformer`, 8-bit ones multiplied out.

    Args:
        path: a FLUX model or an all-in-one checkpoint, bf16, fp16, fp32, fp8 plain or scaled, or a diffusers folder.
        dtype: dtype of the result; None keeps what the file has (bfloat16 for 8-bit files).

    Raises:
        CheckpointError: when the file cannot be read or is not FLUX.1.
    """
    return from_bfl(dequantize(open_flux(path), Path(path).name, dtype))


def load_transformer(
    path: str | os.PathLike[str], dtype: torch.dtype | None = None, device: str | torch.device = "cpu"
) -> UsoTransformer:
    """Build the transformer that a FLUX file holds, sizes and all, in evaluation mode.

    Args:
        path: see `read_flux`.
        dtype: dtype of the parameters; None keeps what the file has (bfloat16 for 8-bit files).
        device: where the parameters live.

    Raises:
        CheckpointError: when the file cannot be read, is not FLUX.1, or has missing, unknown or misshapen
            keys.
    """
    name = Path(path).name
    tensors = read_flux(path, dtype)
    config = flux_config_from(tensors, name)
    with torch.device("meta"):
        model = UsoTransformer(config)
    load_strict(model, tensors, name, assign=True)
    return model.to(device).eval()


def save_transformer(
    path: str | os.PathLike[str],
    model: UsoTransformer,
    precision: Precision = "bf16",
    *,
    prefix: str = "",
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write a transformer as a FLUX file with BFL's key names, which ComfyUI's Load Diffusion Model reads.

    Args:
        path: file to write, replaced atomically.
        model: the transformer, for instance with a LoRA merged into it.
        precision: `fp32`, `bf16`, `fp16`, `fp8` (a plain cast) or `fp8_scaled` (one scale per matrix).
        prefix: put before every key; `model.diffusion_model.` makes the form that checkpoints use.
        metadata: string metadata.

    Raises:
        UserError: for an unknown precision.
    """
    tensors = to_bfl(model.state_dict())
    if precision in _DTYPES:
        tensors = {name: tensor.to(_DTYPES[precision]) for name, tensor in tensors.items()}
    elif precision == "fp8":
        tensors = quantize_plain(tensors)
    elif precision == "fp8_scaled":
        tensors = quantize_scaled(tensors)
    else:
        raise UserError(f"unknown precision {precision!r}; use fp32, bf16, fp16, fp8 or fp8_scaled.")
    write_safetensors(path, {f"{prefix}{name}": tensor for name, tensor in tensors.items()}, metadata)
