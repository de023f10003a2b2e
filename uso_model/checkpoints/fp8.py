"""8-bit float weights: plain casts, and the scaled layouts that ComfyUI reads and writes.

Two conventions exist for scaled weights, W = q * scale with q in float8_e4m3fn
(Comfy-Org/ComfyUI, comfy/utils.py convert_old_quants and comfy/ops.py, 0.33.0):
    older   a marker tensor `scaled_fp8`, and per layer `X.scale_weight` (and `X.scale_input` for activations)
    newer   per layer `X.weight_scale` and `X.comfy_quant`, the latter JSON text as uint8 such as
            `{"format": "float8_e4m3fn"}` (and `X.input_scale` for activations)
Activation scales only serve 8-bit matrix products; they are dropped, because we compute in full precision.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import torch
from torch import Tensor

from ..untrusted import field, parse_json
from .strict import CheckpointError, require_finite, require_floats

__all__ = ["dequantize", "is_auxiliary", "is_block_matrix", "quantize_plain", "quantize_scaled", "scales_of"]

_FP8 = (torch.float8_e4m3fn, torch.float8_e5m2)
_READABLE_FORMATS = ("float8_e4m3fn", "float8_e5m2")
_MAX = torch.finfo(torch.float8_e4m3fn).max
_WEIGHT_SCALES = (".scale_weight", ".weight_scale")
_LONGEST_NOTE = 4096
_ACTIVATION_SCALES = (".scale_input", ".input_scale")


def dequantize(state_dict: Mapping[str, Tensor], source: str, dtype: torch.dtype | None = None) -> dict[str, Tensor]:
    """Bring every tensor to `dtype`, multiplying scaled 8-bit weights out in float32.

    Args:
        state_dict: weights with or without the auxiliary tensors of either scaled layout.
        source: file name for messages.
        dtype: the result's dtype; None keeps the tensors' own, or is bfloat16 when any of them has 8 bits.

    Returns:
        The weights alone, without auxiliary tensors.

    Raises:
        CheckpointError: for another quantisation format, or a scale that fits no weight.
    """
    scales = scales_of(state_dict, source)
    if dtype is None and (scales or any(tensor.dtype in _FP8 for tensor in state_dict.values())):
        dtype = torch.bfloat16  # layers of one network must agree, and 8-bit files keep the rest in any dtype
    result = {}
    for name, tensor in state_dict.items():
        if is_auxiliary(name):
            continue
        require_floats({name: tensor}, source)
        if name in scales:
            tensor = _scaled(tensor, scales[name])
        result[name] = tensor if dtype is None else tensor.to(dtype)
    return result


def is_auxiliary(name: str) -> bool:
    """Say whether a key is no weight but a scale or a note about one."""
    return name == "scaled_fp8" or name.endswith((*_WEIGHT_SCALES, *_ACTIVATION_SCALES, ".comfy_quant"))


def scales_of(state_dict: Mapping[str, Tensor], source: str) -> dict[str, Tensor]:
    """Return weight name -> scale, after checking that every layer is in a format we can read.

    Raises:
        CheckpointError: another quantisation format, or a scale without its weight.
    """
    scales = {}
    for name, tensor in state_dict.items():
        layer, _, leaf = name.rpartition(".")
        if leaf == "comfy_quant":
            told = _quant_format(tensor, name, source)
            if told not in _READABLE_FORMATS:
                raise CheckpointError(
                    f"{source} stores {layer} in the quantisation format {told}, which this pack does not "
                    "read; use a bf16, fp16 or fp8 version of the model."
                )
            if f"{layer}.weight_scale" not in state_dict:
                raise CheckpointError(
                    f"{source} has 8-bit weights in {layer} without a weight_scale; download it again."
                )
        elif f".{leaf}" in _WEIGHT_SCALES:
            if f"{layer}.weight" not in state_dict:
                raise CheckpointError(
                    f"{source} has a scale for {layer} but no weight of that name; download it again."
                )
            weight = state_dict[f"{layer}.weight"]
            require_finite({name: tensor}, source)
            if weight.ndim == 0 or tensor.numel() not in (1, weight.shape[0]):
                raise CheckpointError(
                    f"{source} has {tensor.numel()} scales for {layer}.weight of shape {tuple(weight.shape)}, expected "
                    "1, or one for each row; use a bf16, fp16 or fp8 version of the model."
                )
            scales[f"{layer}.weight"] = tensor
    return scales


def _quant_format(tensor: Tensor, name: str, source: str) -> str:
    place = f"the quantisation note {name} of {source}"
    if tensor.dtype != torch.uint8 or tensor.numel() > _LONGEST_NOTE:
        raise CheckpointError(f"{place} is unreadable, expected JSON as bytes; download it again.")
    note = parse_json(bytes(tensor.flatten().tolist()), place, CheckpointError)
    return field(note, "format", str, place, CheckpointError)


def _scaled(weight: Tensor, scale: Tensor) -> Tensor:
    """Return a weight times its scale, which `scales_of` has compared with it: one, or one for each row."""
    scale = scale.float()
    if scale.numel() == 1:
        return weight.float() * scale.reshape(())
    return weight.float() * scale.reshape(-1, *[1] * (weight.ndim - 1))


def is_block_matrix(name: str, tensor: Tensor) -> bool:
    """Say whether a weight is quantised: the matrices inside the blocks, 99% of the file; the rest is too
    sensitive."""
    return tensor.ndim == 2 and name.startswith(("double_blocks.", "single_blocks."))


def quantize_plain(state_dict: Mapping[str, Tensor], rest: torch.dtype = torch.bfloat16) -> dict[str, Tensor]:
    """Cast the matrices of the blocks to float8_e4m3fn (saturating at its largest value) and the rest to
    `rest`."""
    return {
        name: tensor.float().clamp(-_MAX, _MAX).to(torch.float8_e4m3fn)
        if is_block_matrix(name, tensor)
        else tensor.to(rest)
        for name, tensor in state_dict.items()
    }


def quantize_scaled(state_dict: Mapping[str, Tensor], rest: torch.dtype = torch.bfloat16) -> dict[str, Tensor]:
    """Scale each matrix of the blocks to the full float8_e4m3fn range, in ComfyUI's newer layout.

    The scale is max|W| / 448, one per matrix.
    """
    note = torch.tensor(list(json.dumps({"format": "float8_e4m3fn"}).encode()), dtype=torch.uint8)
    result: dict[str, Tensor] = {}
    for name, tensor in state_dict.items():
        if not is_block_matrix(name, tensor):
            result[name] = tensor.to(rest)
            continue
        wide = tensor.float()
        scale = (wide.abs().amax() / _MAX).clamp_min(torch.finfo(torch.float32).tiny)
        layer = name.removesuffix(".weight")
        result[name] = (wide / scale).clamp(-_MAX, _MAX).to(torch.float8_e4m3fn)
        result[f"{layer}.weight_scale"] = scale
        result[f"{layer}.comfy_quant"] = note
    return result
