"""LoRA files: USO's own key names and `diffusion_model.*` names, read into one form and written back.

USO's names (bytedance/USO, uso/flux/util.py set_lora; the same table is in Comfy-Org/ComfyUI,
comfy/lora_convert.py):
    double_blocks.N.processor.qkv_lora1, proj_lora1   img_attn.qkv, img_attn.proj
    double_blocks.N.processor.qkv_lora2, proj_lora2   txt_attn.qkv, txt_attn.proj
    single_blocks.N.processor.qkv_lora, proj_lora     linear1_qkv (rows 0..3D of linear1), linear2
each with `.down.weight` (r x in) and `.up.weight` (out x r), no alpha, scale 1. W' = W + scale * up @ down.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from ..config import FLUX_DEV
from ..errors import UserError
from ..projector import PREFIX
from .files import read_safetensors, write_safetensors
from .kinds import looks_like
from .strict import CheckpointError, counted

__all__ = [
    "Lora",
    "LowRank",
    "concatenate",
    "lora_from_state_dict",
    "merge_lora",
    "read_lora",
    "uso_modules",
    "write_diffusion_model_lora",
    "write_uso_lora",
]

_USO_PARTS = {
    "double_blocks": {
        "qkv_lora1": "img_attn.qkv",
        "proj_lora1": "img_attn.proj",
        "qkv_lora2": "txt_attn.qkv",
        "proj_lora2": "txt_attn.proj",
    },
    "single_blocks": {"qkv_lora": "linear1_qkv", "proj_lora": "linear2"},
}
_USO_KEY = re.compile(r"(double_blocks|single_blocks)\.(\d+)\.processor\.(\w+)\.(down|up)\.weight")
_NAMED_KEY = re.compile(r"(?:diffusion_model\.)?(.+)\.(?:(lora_A|lora_down|lora_B|lora_up)\.weight|(alpha))")
_MODULE = re.compile(r"(double_blocks|single_blocks)\.(\d+)\.(.+)")
_SIDES = {"lora_A": "down", "lora_down": "down", "lora_B": "up", "lora_up": "up"}


@dataclass(frozen=True)
class LowRank:
    """One adapter: `W' = W + scale * up @ down`."""

    down: Tensor
    """`r in`."""
    up: Tensor
    """`out r`."""
    scale: float = 1.0

    @property
    def rank(self) -> int:
        return self.down.shape[0]

    def delta(self) -> Tensor:
        """Return what is added to the weight at strength 1, `out in`, in float32."""
        return self.scale * (self.up.float() @ self.down.float())


@dataclass(frozen=True)
class Lora:
    """Adapters by the module path of `UsoTransformer`, such as `double_blocks.0.img_attn.qkv`."""

    modules: dict[str, LowRank]

    @property
    def parameters(self) -> int:
        """Number of values in all adapters."""
        return sum(part.down.numel() + part.up.numel() for part in self.modules.values())


def uso_modules(depth: int, depth_single_blocks: int) -> dict[str, str]:
    """Return module path -> USO's key (without `.down.weight`) of every layer that USO adapts."""
    counts = {"double_blocks": depth, "single_blocks": depth_single_blocks}
    return {
        f"{blocks}.{n}.{module}": f"{blocks}.{n}.processor.{part}"
        for blocks, parts in _USO_PARTS.items()
        for n in range(counts[blocks])
        for part, module in parts.items()
    }


def read_lora(path: str | os.PathLike[str]) -> Lora:
    """Read a LoRA file in either naming; see `lora_from_state_dict`."""
    return lora_from_state_dict(read_safetensors(path), Path(path).name)


def lora_from_state_dict(state_dict: Mapping[str, Tensor], source: str) -> Lora:
    """Read a LoRA out of a state dict.

    `linear1` is split into `linear1_qkv` and `linear1_mlp`, a half without effect is dropped. A projector
    that lies in the same file (`feature_embedder.*`) is left to `load_projector`.

    Raises:
        CheckpointError: when this is no LoRA, an adapter is incomplete or its ranks differ, or a key is
            unknown.
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


def _place(name: str) -> tuple[str, str] | None:
    """Return module path and side (`down`, `up` or `alpha`) of a key, or None when it is no LoRA key."""
    match = _USO_KEY.fullmatch(name)
    if match:
        blocks, number, part, side = match.groups()
        module = _USO_PARTS[blocks].get(part)
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
    return down.ndim == 2 and up.ndim == 2 and down.shape[0] == up.shape[1]


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
    allow_partial: bool = False,
) -> None:
    """Write a LoRA with USO's key names, as the released `dit_lora.safetensors` (304 tensors, no alpha).

    Scales other than 1 are multiplied into `up`.

    Args:
        path: file to write, replaced atomically.
        lora: the adapters.
        metadata: string metadata.
        dtype: dtype of the tensors; None keeps theirs.
        allow_partial: write a set that does not cover all 19 + 38 blocks of FLUX.1. ComfyUI recognises USO's
            names by the last block of each kind and applies nothing of a file without them.

    Raises:
        UserError: for a module that USO's names cannot express, or a partial set without `allow_partial`.
    """
    keys = {name: key for name in lora.modules if (key := _uso_key(name))}
    _refuse(
        lora.modules.keys() - keys.keys(),
        "have no name in the USO format; write diffusion_model names instead",
    )
    if not allow_partial:
        absent = uso_modules(FLUX_DEV.depth, FLUX_DEV.depth_single_blocks).keys() - keys.keys()
        _refuse(
            absent,
            "are absent and ComfyUI would apply nothing; write diffusion_model names or allow a partial file",
        )
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
    part = next((part for part, known in _USO_PARTS[blocks].items() if known == layer), None)
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


def merge_lora(model: nn.Module, lora: Lora, strength: float = 1.0) -> None:
    """Add a LoRA to the weights of `model` in place.

    `W + strength * scale * up @ down` is computed in float32 and rounded once to the dtype of W. Nothing is
    changed when any adapter does not fit.

    Raises:
        CheckpointError: for an adapter whose module the model does not have or whose shape differs, with
            examples.
    """
    layers = {name: layer for name, layer in model.named_modules() if isinstance(layer, nn.Linear)}
    unknown = [name for name in lora.modules if name not in layers]
    misshapen = [
        f"{name}: got {(a.up.shape[0], a.down.shape[1])}, expected {tuple(layers[name].weight.shape)}"
        for name, a in lora.modules.items()
        if name in layers and (a.up.shape[0], a.down.shape[1]) != tuple(layers[name].weight.shape)
    ]
    for problems, what in ((unknown, "unknown module"), (misshapen, "misshapen module")):
        if problems:
            examples = ", ".join(sorted(problems)[:3])
            raise CheckpointError(
                f"the LoRA does not fit this {type(model).__name__}, use one made for it: "
                f"{counted(len(problems), what)} ({examples})."
            )
    with torch.no_grad():
        for name, adapter in lora.modules.items():
            weight = layers[name].weight
            delta = adapter.delta().to(weight.device)
            weight.copy_((weight.float() + strength * delta).to(weight.dtype))


def concatenate(first: Lora, second: Lora) -> Lora:
    """Return the LoRA that adds what both add: their factors side by side, the rank the sum of theirs.

    `[up1 up2] @ [down1; down2] = up1 @ down1 + up2 @ down2`, so nothing is rounded or lost; scales are multiplied into
    `up`.
    """
    modules: dict[str, LowRank] = {}
    for name in [*first.modules, *(name for name in second.modules if name not in first.modules)]:
        parts = [lora.modules[name] for lora in (first, second) if name in lora.modules]
        modules[name] = LowRank(
            torch.cat([part.down.float() for part in parts]),
            torch.cat([part.up.float() * part.scale for part in parts], dim=1),
        )
    return Lora(modules)
