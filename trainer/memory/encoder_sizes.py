"""Bytes of the frozen encoders: by the headers of their files, or as published where those are not there yet."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from ...uso_model.checkpoints.diffusers import part_of
from ...uso_model.checkpoints.fp8 import is_auxiliary
from ..encoders.parts import CLIP_KEY, SIGLIP_KEY, T5_BLOCKS, T5_KEY, part_with
from ..recipe import ModelsConfig
from .by_block import stays_as_stored
from .frozen import product_dtype
from .stored import stored_tensors

__all__ = ["EncoderSize", "autoencoder_size", "judge_bytes", "siglip_size", "text_dtype", "text_sizes"]


def text_dtype(device: torch.device) -> torch.dtype:
    """Return bfloat16, in which the official code runs both text encoders, or what a CPU computes quicker."""
    return product_dtype(device, torch.bfloat16)


class EncoderSize(NamedTuple):
    """Bytes that an encoder takes where it computes."""

    held: float
    """In all."""
    mapped: float
    """Of these, parts of the file itself where it computes on the CPU."""
    block: float = 0
    """What comes and goes on top: one block multiplied out, and the activations of a prompt."""


_TOKENS = 512
"""T5's padded length."""

_T5_MATRICES, _T5_BLOCK, _T5_REST, _CLIP_VALUES = 4.63e9, 0.193e9, 0.132e9, 0.123e9
_JUDGES = {"clip": 0.61e9, "csd": 1.22e9, "dino": 0.09e9, "dinov2": 0.35e9, "dinov3": 0.35e9, "style_encoder": 1.22e9}
"""Bytes of the published judges in float32."""

SIGLIP_SO400M, FLUX_AE = EncoderSize(1.65e9, 0), EncoderSize(0.34e9, 0.34e9)
"""Of the files that FLUX.1 and USO are used with: values of T5, in half precision, and of CLIP; bytes of the others."""


def text_sizes(models: ModelsConfig, device: torch.device) -> dict[str, EncoderSize]:
    """Return T5 and CLIP, in the types in which a device holds their weights."""
    dtype = text_dtype(device)
    return {
        "T5": _t5(_stored(models.t5, "text_encoder_2", T5_KEY), dtype) or _published_t5(dtype),
        "CLIP": _size(_stored(models.clip, "text_encoder", CLIP_KEY), dtype)
        or EncoderSize(_CLIP_VALUES * dtype.itemsize, 0),
    }


def siglip_size(models: ModelsConfig) -> EncoderSize:
    """Return SigLIP, in float32 and without its pooling head."""
    stored = _stored(models.siglip, "image_encoder", SIGLIP_KEY)
    used = {name: tensor for name, tensor in stored.items() if not name.startswith("head.")}
    return _size(used, torch.float32) or SIGLIP_SO400M


def autoencoder_size(models: ModelsConfig) -> EncoderSize:
    """Return the autoencoder, in float32."""
    return _size(_stored(models.vae, "vae", None), torch.float32) or FLUX_AE


def judge_bytes(name: str, path: Path | None) -> float:
    """Return the bytes of a judge in float32; of one that is named by import path and has no file, 0."""
    found = _size(stored_tensors(path), torch.float32)
    return _JUDGES.get(name, 0) if found is None else found.held


def _stored(path: Path | None, part: str, key: str | None) -> Mapping[str, Tensor]:
    if path is None:
        return {}
    stored = stored_tensors(part_of(path, part))
    return stored if key is None else part_with(stored, key) or {}


def _t5(stored: Mapping[str, Tensor], dtype: torch.dtype) -> EncoderSize | None:
    weights = {n: t for n, t in stored.items() if not is_auxiliary(n) and n.startswith(("encoder.", "shared."))}
    kept = {n: t for n, t in weights.items() if n.startswith(T5_BLOCKS) and stays_as_stored(t, dtype)}
    rest = _size({name: tensor for name, tensor in weights.items() if name not in kept}, dtype)
    if rest is None:
        return None
    mapped = sum(tensor.numel() * tensor.element_size() for tensor in kept.values())
    first = {n: t for n, t in kept.items() if n.startswith(f"{T5_BLOCKS}0.")}
    multiplied_out = sum(tensor.numel() for tensor in first.values() if tensor.dtype != dtype) * dtype.itemsize
    inner = max((tensor.shape[0] for tensor in first.values()), default=0)
    heads = stored[T5_KEY].shape[-1]
    return EncoderSize(rest.held + mapped, rest.mapped + mapped, multiplied_out + _activations(heads, inner))


def _published_t5(dtype: torch.dtype) -> EncoderSize:
    block = _T5_BLOCK * dtype.itemsize + _activations(heads=64, inner=10240)
    return EncoderSize(2 * _T5_MATRICES + _T5_REST * dtype.itemsize, 2 * _T5_MATRICES, block)


def _activations(heads: int, inner: int) -> float:
    """Return the bytes of T5's scores and of its inner values, three times each in float32: before, during, after."""
    return 3 * 4 * _TOKENS * (heads * _TOKENS + inner)


def _size(stored: Mapping[str, Tensor], dtype: torch.dtype) -> EncoderSize | None:
    """Return the size of weights that are brought to one type, None where there are none."""
    weights = {name: tensor for name, tensor in stored.items() if not is_auxiliary(name)}
    if not weights:
        return None
    held = sum(tensor.numel() for tensor in weights.values()) * dtype.itemsize
    mapped = sum(tensor.numel() for tensor in weights.values() if tensor.dtype == dtype) * dtype.itemsize
    return EncoderSize(held, mapped)
