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
from .stored import stored_tensors

__all__ = ["TEXT_DTYPE", "EncoderSize", "autoencoder_size", "siglip_size", "text_sizes"]

TEXT_DTYPE = torch.bfloat16
"""The official code runs both text encoders in it; SigLIP and the autoencoder in float32."""


class EncoderSize(NamedTuple):
    """Bytes that an encoder takes where it computes."""

    held: float
    """In all."""
    mapped: float
    """Of these, parts of the file itself where it computes on the CPU."""
    block: float = 0
    """What comes and goes on top: one block multiplied out."""


T5_XXL = EncoderSize(9.52e9, 9.26e9, 0.39e9)
CLIP_L, SIGLIP_SO400M, FLUX_AE = EncoderSize(0.25e9, 0), EncoderSize(1.65e9, 0), EncoderSize(0.34e9, 0.34e9)
"""Of the files that FLUX.1 and USO are used with, T5 and CLIP in half precision."""


def text_sizes(models: ModelsConfig) -> dict[str, EncoderSize]:
    """Return T5 and CLIP, in the types in which their weights are held."""
    return {
        "T5": _t5(_stored(models.t5, "text_encoder_2", T5_KEY)) or T5_XXL,
        "CLIP": _size(_stored(models.clip, "text_encoder", CLIP_KEY), TEXT_DTYPE) or CLIP_L,
    }


def siglip_size(models: ModelsConfig) -> EncoderSize:
    """Return SigLIP, in float32 and without its pooling head."""
    stored = _stored(models.siglip, "image_encoder", SIGLIP_KEY)
    used = {name: tensor for name, tensor in stored.items() if not name.startswith("head.")}
    return _size(used, torch.float32) or SIGLIP_SO400M


def autoencoder_size(models: ModelsConfig) -> EncoderSize:
    """Return the autoencoder, in float32."""
    return _size(_stored(models.vae, "vae", None), torch.float32) or FLUX_AE


def _stored(path: Path | None, part: str, key: str | None) -> Mapping[str, Tensor]:
    if path is None:
        return {}
    stored = stored_tensors(part_of(path, part))
    return stored if key is None else part_with(stored, key) or {}


def _t5(stored: Mapping[str, Tensor]) -> EncoderSize | None:
    weights = {n: t for n, t in stored.items() if not is_auxiliary(n) and n.startswith(("encoder.", "shared."))}
    kept = {n: t for n, t in weights.items() if n.startswith(T5_BLOCKS) and stays_as_stored(t, TEXT_DTYPE)}
    rest = _size({name: tensor for name, tensor in weights.items() if name not in kept}, TEXT_DTYPE)
    if rest is None:
        return None
    mapped = sum(tensor.numel() * tensor.element_size() for tensor in kept.values())
    first = [t for n, t in kept.items() if n.startswith(f"{T5_BLOCKS}0.") and t.dtype != TEXT_DTYPE]
    return EncoderSize(rest.held + mapped, rest.mapped + mapped, sum(t.numel() for t in first) * TEXT_DTYPE.itemsize)


def _size(stored: Mapping[str, Tensor], dtype: torch.dtype) -> EncoderSize | None:
    """Return the size of weights that are brought to one type, None where there are none."""
    weights = {name: tensor for name, tensor in stored.items() if not is_auxiliary(name)}
    if not weights:
        return None
    held = sum(tensor.numel() for tensor in weights.values()) * dtype.itemsize
    mapped = sum(tensor.numel() for tensor in weights.values() if tensor.dtype == dtype) * dtype.itemsize
    return EncoderSize(held, mapped)
