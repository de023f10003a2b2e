"""LoRA files: read from any layout of keys into one form, and written with USO's or `diffusion_model.*` names."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from ..config import FLUX_DEV
from ..errors import UserError
from ..isolation import mark
from ..projector import PREFIX
from .files import read_metadata, read_safetensors, write_safetensors
from .kinds import looks_like
from .lora import USO_PARTS, Lora, LowRank, uso_modules
from .lora_diffusers import bfl_layers
from .lora_names import DOWN, UP, is_for_text, placed
from .marks import ISOLATED, MARKER, is_isolated, is_marker
from .strict import CheckpointError, counted, require_finite, require_floats

__all__ = ["lora_from_state_dict", "lora_numbers", "read_lora", "write_diffusion_model_lora", "write_uso_lora"]

_MODULE = re.compile(r"(double_blocks|single_blocks)\.(\d+)\.(.+)")

logger = logging.getLogger(__name__)


def read_lora(path: str | os.PathLike[str]) -> Lora:
    """Read a LoRA file in any layout; see `lora_from_state_dict`.

    Raises:
        CheckpointError: also for a value that is not finite.
    """
    state_dict, name = read_safetensors(path), Path(path).name
    lora = lora_from_state_dict(state_dict, name, read_metadata(path))
    require_finite(lora_numbers(state_dict), name)
    return lora


def lora_from_state_dict(
    state_dict: Mapping[str, Tensor], source: str, metadata: Mapping[str, str] | None = None
) -> Lora:
    """Read a LoRA out of a state dict and the metadata of its file.

    `linear1` is split into `linear1_qkv` and `linear1_mlp`, a half without effect is dropped; diffusers' adapters of
    q, k and v become one. Left out are a projector in the same file (`feature_embedder.*`), which `load_projector`
    reads, and the text encoders' adapters, with a line in the log.

    Raises:
        CheckpointError: when this is no LoRA of factors, an adapter is incomplete or its ranks differ, a key is
            unknown, or a tensor holds no real numbers.
    """
    own = {k: v for k, v in state_dict.items() if not (k.startswith(PREFIX) or is_marker(k, v))}
    places, strangers = placed(own, source)
    text = [key for key in strangers if is_for_text(key)]
    if not places:
        raise CheckpointError(
            f"{source} is not a LoRA for FLUX but looks like {looks_like(state_dict)}; choose a LoRA file "
            "(models/loras)."
        )
    require_floats(lora_numbers(state_dict), source)
    found: dict[str, dict[str, Tensor]] = {}
    for place, tensor in places.items():
        found.setdefault(place.layer, {})[place.part] = tensor
    others = [place.key for place in places if place.part not in (DOWN, UP, "alpha")]
    broken = [layer for layer, parts in found.items() if not others and not _whole(parts)]
    for names, what in (
        (sorted(set(strangers) - set(text)), "unknown key"),
        (others, "LoKr, LoHa, DoRA or similar key"),
        (broken, "incomplete or misshapen adapter"),
    ):
        if names:
            examples = ", ".join(sorted(names)[:3])
            raise CheckpointError(
                f"{source} has {counted(len(names), what)} ({examples}); use a plain LoRA file made for FLUX."
            )
    if text:
        logger.warning("%s: %s left out, they are for text encoders.", source, counted(len(text), "key"))
    modules: dict[str, LowRank] = {}
    for layer, adapter in bfl_layers({name: _adapter(parts) for name, parts in found.items()}, source):
        for part, piece in _split(layer, adapter).items():
            if part in modules:
                raise CheckpointError(f"{source} adapts {part} twice; merge its two adapters into one.")
            modules[part] = piece
    return Lora(modules, is_isolated(metadata or {}, state_dict))


def lora_numbers(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return what has to be real numbers: all but a projector, and alphas and shapes, which may be whole ones."""
    whole = (torch.int8, torch.int16, torch.int32, torch.int64)
    return {
        name: tensor
        for name, tensor in state_dict.items()
        if not name.startswith(PREFIX) and not (name.endswith((".alpha", ".reshape_weight")) and tensor.dtype in whole)
    }


def _whole(parts: Mapping[str, Tensor]) -> bool:
    if DOWN not in parts or UP not in parts or ("alpha" in parts and parts["alpha"].numel() != 1):
        return False
    down, up = parts[DOWN], parts[UP]
    return down.ndim == 2 and up.ndim == 2 and down.shape[0] == up.shape[1] and 0 not in (*down.shape, *up.shape)


def _adapter(parts: Mapping[str, Tensor]) -> LowRank:
    scale = float(parts["alpha"]) / parts[DOWN].shape[0] if "alpha" in parts else 1.0
    return LowRank(parts[DOWN], parts[UP], scale)


def _split(module: str, adapter: LowRank) -> dict[str, LowRank]:
    """Split an adapter of BFL's `linear1` by the rows of its `up`; any other adapter is returned as it is."""
    if not (module.startswith("single_blocks.") and module.endswith(".linear1")):
        return {module: adapter}
    rows = 3 * adapter.down.shape[1]
    halves = {f"{module}_qkv": adapter.up[:rows], f"{module}_mlp": adapter.up[rows:]}
    return {name: LowRank(adapter.down, up, adapter.scale) for name, up in halves.items() if up.float().any()}


def write_uso_lora(
    path: str | os.PathLike[str],
    lora: Lora,
    metadata: Mapping[str, str] | None = None,
    dtype: torch.dtype | None = None,
) -> None:
    """Write a LoRA with USO's key names, as the released `dit_lora.safetensors` (304 tensors, no alpha).

    Scales other than 1 are multiplied into `up`. One of isolated references is marked as such.

    Args:
        path: file to write, replaced atomically.
        lora: the adapters.
        metadata: string metadata.
        dtype: dtype of the adapters; None keeps theirs.

    Raises:
        UserError: for a module that USO's names cannot express, or a set that does not cover all 19 + 38 blocks of
            FLUX.1: ComfyUI recognises USO's names by the last block of each kind and applies nothing without them.
    """
    keys = {name: key for name in lora.modules if (key := _uso_key(name))}
    _refuse(
        lora.modules.keys() - keys.keys(),
        "have no name in the USO format; write diffusion_model names instead",
    )
    absent = uso_modules(FLUX_DEV.depth, FLUX_DEV.depth_single_blocks).keys() - keys.keys()
    _refuse(absent, "are absent and ComfyUI would apply nothing; write diffusion_model names instead")
    tensors: dict[str, Tensor] = {}
    for name, adapter in lora.modules.items():
        up = adapter.up if adapter.scale == 1 else (adapter.up.float() * adapter.scale).to(adapter.up.dtype)
        tensors[f"{keys[name]}.down.weight"] = adapter.down if dtype is None else adapter.down.to(dtype)
        tensors[f"{keys[name]}.up.weight"] = up if dtype is None else up.to(dtype)
    _write(path, lora, tensors, "", FLUX_DEV.in_channels, metadata)


def _uso_key(module: str) -> str | None:
    match = _MODULE.fullmatch(module)
    if match is None:
        return None
    blocks, number, layer = match.groups()
    part = next((part for part, known in USO_PARTS[blocks].items() if known == layer), None)
    return part and f"{blocks}.{number}.processor.{part}"


def _refuse(modules: set[str], reason: str) -> None:
    if modules:
        examples = ", ".join(sorted(modules)[:3])
        raise UserError(f"of this LoRA's modules {len(modules)} ({examples}) {reason}.")


def write_diffusion_model_lora(
    path: str | os.PathLike[str],
    lora: Lora,
    metadata: Mapping[str, str] | None = None,
    dtype: torch.dtype | None = None,
    channels: int = FLUX_DEV.in_channels,
) -> None:
    """Write a LoRA with `diffusion_model.*` key names, which ComfyUI applies whole or partial.

    ComfyUI knows the attention rows of `linear1` by the name `linear1_qkv` (comfy/lora.py) but has no name
    for the others: `linear1_mlp` is written as a `linear1` whose attention rows are zero. A scale other than
    1 becomes an alpha. One of isolated references is marked as such.

    Args:
        path: file to write, replaced atomically.
        lora: the adapters.
        metadata: string metadata.
        dtype: dtype of the adapters; None keeps theirs.
        channels: of the network's output tokens, which the mark has to fit.
    """
    tensors: dict[str, Tensor] = {}
    for name, adapter in lora.modules.items():
        up = adapter.up
        if name.endswith(".linear1_mlp"):
            name = name.removesuffix("_mlp")
            up = torch.cat([up.new_zeros(3 * adapter.down.shape[1], up.shape[1]), up])
        key = f"diffusion_model.{name}"
        tensors[f"{key}.lora_A.weight"] = adapter.down if dtype is None else adapter.down.to(dtype)
        tensors[f"{key}.lora_B.weight"] = up if dtype is None else up.to(dtype)
        if adapter.scale != 1:
            tensors[f"{key}.alpha"] = torch.tensor(adapter.scale * adapter.rank)
    _write(path, lora, tensors, "diffusion_model.", channels, metadata)


def _write(
    path: str | os.PathLike[str],
    lora: Lora,
    tensors: dict[str, Tensor],
    prefix: str,
    channels: int,
    metadata: Mapping[str, str] | None,
) -> None:
    """Write the tensors of a LoRA; one of isolated references says so twice, as not every loader passes metadata on."""
    if lora.isolated:
        tensors = {**tensors, f"{prefix}{MARKER}": mark(channels)}
        metadata = {**(metadata or {}), **ISOLATED}
    write_safetensors(path, tensors, metadata)
