"""Reading the frozen transformer weight by weight, in the precision it will have: the peak is the final size."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from ...uso_model.checkpoints import CheckpointError, Lora, LowRank, load_strict
from ...uso_model.checkpoints.flux import flux_config_from, from_bfl, open_flux
from ...uso_model.checkpoints.fp8 import dequantize, is_auxiliary, is_block_matrix, scales_of
from ...uso_model.checkpoints.strict import compare_shapes, require_floats
from ...uso_model.transformer import UsoTransformer
from .block_swap import swapped_names
from .frozen import FP8, FrozenLinear, quantize_rows

__all__ = ["load_frozen"]

Base = Literal["fp32", "bf16", "fp8"]

MODULATION = re.compile(r"_mod\.lin\.|\.modulation\.lin\.")


def load_frozen(
    path: str | Path,
    base: Base,
    device: torch.device | str = "cpu",
    lora: Lora | None = None,
    blocks_to_swap: int = 0,
    modulation_in_ram: bool = False,
) -> UsoTransformer:
    """Build a frozen transformer from a FLUX file or folder.

    Args:
        path: see `read_flux`; 8-bit files are kept bit by bit when `base` is fp8.
        base: precision of the weights; fp8 is for the matrices of the blocks, the rest is bfloat16 then.
        device: where the parameters live.
        lora: added to the weights before they are rounded.
        blocks_to_swap: leave so many blocks on the CPU, see `swapped_names`.
        modulation_in_ram: leave the modulation layers on the CPU, and in bfloat16 where `base` is fp8.

    Raises:
        CheckpointError: the file cannot be read or is not FLUX.1, or the LoRA does not fit.
    """
    name = Path(path).name
    stored = open_flux(path)
    scales = scales_of(stored, name)
    plain = from_bfl({key: tensor for key, tensor in stored.items() if not is_auxiliary(key)})
    with torch.device("meta"):
        model = UsoTransformer(flux_config_from(plain, name))
    compare_shapes({key: t.shape for key, t in model.state_dict().items()}, plain, name, type(model).__name__)
    require_floats(plain, name)
    sizes = model.config
    streamed = tuple(f"{block}." for block in swapped_names(sizes.depth, sizes.depth_single_blocks, blocks_to_swap))
    deltas = {f"{module}.weight": part for module, part in (lora.modules if lora else {}).items()}
    _require_fit(deltas, plain)

    dtype = torch.float32 if base == "fp32" else torch.bfloat16
    tensors: dict[str, Tensor] = {}
    for key, tensor in plain.items():
        in_ram = modulation_in_ram and MODULATION.search(key) is not None
        place = torch.device("cpu") if in_ram or key.startswith(streamed) else torch.device(device)
        delta, scale = deltas.get(key), _scale(key, scales, stored)
        if base == "fp8" and is_block_matrix(key, tensor) and not in_ram:
            layer, _, _ = key.rpartition(".")
            if tensor.dtype == FP8 and delta is None:
                bits, rows = tensor, _row_scales(scale, tensor)
            else:
                bits, rows = quantize_rows(_full(key, tensor, scale, delta, device))
            _replace(model, layer)
            tensors[key], tensors[f"{layer}.weight_scale"] = bits.to(place), rows.to(place)
        else:
            # What needs no arithmetic is not copied: on the CPU it stays the mapped file.
            plain_cast = delta is None and scale is None
            tensors[key] = (tensor if plain_cast else _full(key, tensor, scale, delta, device)).to(place, dtype)
    load_strict(model, tensors, name, assign=True)
    return model.requires_grad_(False)


def _scale(key: str, scales: dict[str, Tensor], stored: dict[str, Tensor]) -> Tensor | None:
    """Return the scale of a weight; the halves of a split `linear1` share one, or have the rows of one."""
    if key in scales:
        return scales[key].float()
    match = re.fullmatch(r"(.*\.linear1)_(qkv|mlp)\.weight", key)
    if match is None or f"{match[1]}.weight" not in scales:
        return None
    scale, rows = scales[f"{match[1]}.weight"].float(), 3 * stored[f"{match[1]}.weight"].shape[1]
    if scale.numel() == 1:
        return scale
    return scale[:rows] if match[2] == "qkv" else scale[rows:]


def _full(key: str, tensor: Tensor, scale: Tensor | None, delta: LowRank | None, device: torch.device | str) -> Tensor:
    """Return a weight in float32 with its LoRA, on the device also where it will wait in RAM: a GPU is quicker."""
    pair = {key: tensor} if scale is None else {key: tensor, f"{key.removesuffix('weight')}weight_scale": scale}
    wide = dequantize({name: part.to(device) for name, part in pair.items()}, key, torch.float32)[key]
    if delta is None:
        return wide
    return wide + LowRank(delta.down.to(device), delta.up.to(device), delta.scale).delta()


def _row_scales(scale: Tensor | None, weight: Tensor) -> Tensor:
    rows = torch.ones(1) if scale is None else scale.reshape(-1)
    return rows[:, None].expand(weight.shape[0], 1).clone()


def _replace(model: nn.Module, layer: str) -> None:
    parent, _, child = layer.rpartition(".")
    old = model.get_submodule(layer)
    assert isinstance(old, nn.Linear)  # `is_block_matrix` names matrices of linear layers only
    new = FrozenLinear(old.in_features, old.out_features, old.bias is not None, device="meta")
    setattr(model.get_submodule(parent), child, new)


def _require_fit(deltas: dict[str, LowRank], plain: dict[str, Tensor]) -> None:
    for key, delta in deltas.items():
        shape = (delta.up.shape[0], delta.down.shape[1])
        if key not in plain or tuple(plain[key].shape) != shape:
            found = tuple(plain[key].shape) if key in plain else "no such weight"
            raise CheckpointError(
                f"the LoRA changes {key} of shape {shape}, but FLUX has {found}; use one made for it."
            )
