"""A LoRA on a MODEL, as strong as wanted in every block."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Any

import comfy.lora
import comfy.lora_convert
from comfy_api.latest import io
from torch import Tensor

from ...uso_model.dials.blocks import Blocks, parse_blocks
from ...uso_model.errors import UserError
from ..sockets import advanced
from .checks import LORA_FILE, block_counts
from .host_types import Model

__all__ = ["blocks_input", "with_lora"]

_BLOCK = re.compile(r"\b(double|single)_blocks\.(\d+)\.")


def with_lora(model: Model, weights: dict[str, Tensor], strength: float, name: str, blocks: str = "") -> Model:
    """Return a clone of a MODEL with a LoRA, read by ComfyUI.

    Args:
        model: a FLUX.1 MODEL.
        weights: of the LoRA, in any layout that ComfyUI reads, or USO's own, complete or of some blocks only.
        strength: of all of it.
        name: of the file, for messages.
        blocks: factors on the strength in single blocks, such as `d0-18:1, s0-37:0.5`.

    Raises:
        UserError: if no weight of the LoRA belongs to the model, or the blocks cannot be read.
    """
    from ...uso_model.checkpoints.kinds import kind_of  # not above: the readers of weight files are slow to import

    factors = parse_blocks(blocks, *block_counts(model))
    if kind_of(weights) == "uso_lora":
        # ComfyUI recognises the released names only where all of FLUX.1's blocks are present.
        weights = comfy.lora_convert.convert_uso_lora(weights)
    known = comfy.lora.model_lora_keys_unet(model.model, {})
    loaded = comfy.lora.load_lora(comfy.lora_convert.convert_lora(weights), known)
    groups: dict[float, dict[Any, Any]] = defaultdict(dict)
    for key, patch in loaded.items():
        groups[_factor(key, factors)][key] = patch
    patched = model.clone()
    taken = [key for factor, part in groups.items() for key in patched.add_patches(part, strength * factor)]
    if not taken:
        raise UserError(f"{name} changes none of the model's weights, expected a LoRA for FLUX.1: choose {LORA_FILE}.")
    return patched


def blocks_input() -> io.String.Input:
    """Return the input of block weights, the same on every node that loads a LoRA."""
    return io.String.Input(
        "lora_blocks",
        default="",
        optional=True,
        **advanced(io.String.Input),
        tooltip="Strength of the LoRA block by block, such as d0-18:1, s0-37:0.5 (d: double blocks, s: single "
        "blocks); empty: the same in all.",
    )


def _factor(key: Any, factors: Blocks | None) -> float:
    """Return the factor of a patched weight, whose key is its name, or a tuple that begins with it."""
    match = _BLOCK.search(key if isinstance(key, str) else key[0])
    if factors is None or match is None:
        return 1.0
    return (factors.double if match[1] == "double" else factors.single)[int(match[2])]
