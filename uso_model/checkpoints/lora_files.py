"""LoRA files: USO's own key names and `diffusion_model.*` names, read into one form and written back."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from ..config import FLUX_DEV
from ..errors import UserError
from ..projector import PREFIX
from .files import read_safetensors, write_safetensors
from .kinds import looks_like
from .lora import USO_PARTS, Lora, LowRank, uso_modules
from .strict import CheckpointError, counted, require_finite, require_floats

__all__ = ["lora_from_state_dict", "read_lora", "write_diffusion_model_lora", "write_uso_lora"]

_USO_KEY = re.compile(r"(double_blocks|single_blocks)\.(\d+)\.processor\.(\w+)\.(down|up)\.weight")
_NAMED_KEY = re.compile(r"(?:diffusion_model\.)?(.+)\.(?:(lora_A|lora_down|lora_B|lora_up)\.weight|(alpha))")
_MODULE = re.compile(r"(double_blocks|single_blocks)\.(\d+)\.(.+)")
_SIDES = {"lora_A": "down", "lora_down": "down", "lora_B": "up", "lora_up": "up"}


def read_lora(path: str | os.PathLike[str]) -> Lora:
    """Read a LoRA file in either naming; see `lora_from_state_dict`.

    Raises:
        CheckpointError: also for a value that is not finite.
    """
    state_dict, name = read_safetensors(path), Path(path).name
    lora = lora_from_state_dict(state_dict, name)
    require_finite(_numbers(state_dict), name)
    return lora


def lora_from_state_dict(state_dict: Mapping[str, Tensor], source: str) -> Lora:
    """Read a LoRA out of a state dict.

    `linear1` is split into `linear1_qkv` and `linear1_mlp`, a half without effect is dropped. A projector
    that lies in the same file (`feature_embedder.*`) is left to `load_projector`.

    Raises:
        CheckpointError: when this is no LoRA, an adapter is incomplete or its ranks differ, a key is unknown, or a
            tensor holds no real numbers.
    """
    found: dict[str, dict[str, Tensor]] = {}
    unknown = []
    for name, tensor in state_dict.items():
        place = _place(name)
        if place is not None:
            module, side = place
            found.setdefault(module, {})[side] = tensor
        elif not name.startswith(PREFIX):
            unknown.append(name)
    if not found:
        raise CheckpointError(
            f"{source} is not a LoRA for FLUX but looks like {looks_like(state_dict)}; choose a LoRA file "
            "(models/loras)."
        )
    require_floats(_numbers(state_dict), source)
    broken = [module for module, sides in found.items() if not _whole(sides)]
    for names, what in ((unknown, "unknown key"), (broken, "incomplete or misshapen adapter")):
        if names:
            examples = ", ".join(sorted(names)[:3])
            raise CheckpointError(
                f"{source} has {counted(len(names), what)} ({examples}); use a plain LoRA file made for FLUX."
            )
    modules: dict[str, LowRank] = {}
    for module, sides in found.items():
        for part, adapter in _split(module, _adapter(sides)).items():
            if part in modules:
                raise CheckpointError(f"{source} adapts {part} twice; merge its two adapters into one.")
            modules[part] = adapter
    return Lora(modules)


def _numbers(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return what has to be real numbers: all but the projector's part, and alphas, which some write as whole ones."""
    whole = (torch.int8, torch.int16, torch.int32, torch.int64)
    return {
        name: tensor
        for name, tensor in state_dict.items()
        if not name.startswith(PREFIX) and not (name.endswith(".alpha") and tensor.dtype in whole)
    }


def _place(name: str) -> tuple[str, str] | None:
    """Return module path and side (`down`, `up` or `alpha`) of a key, or None when it is no LoRA key."""
    match = _USO_KEY.fullmatch(name)
    if match:
        blocks, number, part, side = match.groups()
        module = USO_PARTS[blocks].get(part)
        return (f"{blocks}.{number}.{module}", side) if module else None
    match = _NAMED_KEY.fullmatch(name)
    if match:
        module, matrix, alpha = match.groups()
        return module, "alpha" if alpha else _SIDES[matrix]
    return None


def _whole(sides: Mapping[str, Tensor]) -> bool:
    if "down" not in sides or "up" not in sides or ("alpha" in sides and sides["alpha"].numel() != 1):
        return False
    down, up = sides["down"], sides["up"]
    return down.ndim == 2 and up.ndim == 2 and down.shape[0] == up.shape[1] and 0 not in (*down.shape, *up.shape)


def _adapter(sides: Mapping[str, Tensor]) -> LowRank:
    down, up = sides["down"], sides["up"]
    scale = float(sides["alpha"]) / down.shape[0] if "alpha" in sides else 1.0
    return LowRank(down, up, scale)


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

    Scales other than 1 are multiplied into `up`.

    Args:
        path: file to write, replaced atomically.
        lora: the adapters.
        metadata: string metadata.
        dtype: dtype of the tensors; None keeps theirs.

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
    write_safetensors(path, tensors, metadata)


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
) -> None:
    """Write a LoRA with `diffusion_model.*` key names, which ComfyUI applies whole or partial.

    ComfyUI knows the attention rows of `linear1` by the name `linear1_qkv` (comfy/lora.py) but has no name
    for the others: `linear1_mlp` is written as a `linear1` whose attention rows are zero. A scale other than
    1 becomes an alpha.

    Args:
        path: file to write, replaced atomically.
        lora: the adapters.
        metadata: string metadata.
        dtype: dtype of the tensors; None keeps theirs.
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
    write_safetensors(path, tensors, metadata)
