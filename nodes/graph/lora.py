"""A LoRA on a MODEL, as strong as wanted in every block."""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import comfy.lora
import comfy.lora_convert
import comfy.utils
from comfy_api.latest import io
from torch import Tensor

from ...uso_model.dials.blocks import Blocks, parse_blocks
from ...uso_model.errors import UserError
from ..sockets import advanced
from .host_types import Model
from .model_checks import LORA_FILE, block_counts

__all__ = ["blocks_input", "with_lora"]

_BLOCK = re.compile(r"\b(double|single)_blocks\.(\d+)\.")
_EXAMPLES = 3
_EXPECTED = f"a LoRA for FLUX.1: choose {LORA_FILE}"

logger = logging.getLogger(__name__)


def with_lora(
    model: Model, weights: Mapping[str, Tensor], strength: float, name: str, blocks: str = "", expected: str = _EXPECTED
) -> Model:
    """Return a clone of a MODEL with a LoRA, computed by ComfyUI.

    What belongs to no layer of the model, or does not fit it, is left out with one line in the log.

    Args:
        model: a FLUX.1 MODEL.
        weights: of the LoRA, in any layout of keys that is FLUX.1's, for all layers or some.
        strength: of all of it.
        name: of the file, for messages.
        blocks: factors on the strength in single blocks, such as `d0-18:1, s0-37:0.5`.
        expected: what was expected and what to do, for the message when nothing fits.

    Raises:
        UserError: if no weight of the LoRA belongs to the model, some are not finite, or the blocks cannot be read.
    """
    # Not above: the readers of weight files are slow to import.
    from ...uso_model.checkpoints.lora_files import lora_numbers
    from ...uso_model.checkpoints.lora_names import placed
    from ...uso_model.checkpoints.lora_parts import misfit
    from ...uso_model.checkpoints.strict import require_finite
    from ...uso_model.projector import PREFIX

    factors = parse_blocks(blocks, *block_counts(model), "lora_blocks")
    require_finite(lora_numbers(weights), name)
    places, strangers = placed(comfy.lora_convert.convert_lora(dict(weights)), name)
    layers: dict[str, dict[str, Tensor]] = defaultdict(dict)
    for place, tensor in places.items():
        layers[place.layer][place.part] = tensor
    known = _known_layers(model)
    misfits = {
        layer: reason
        for layer, parts in layers.items()
        if layer in known and (reason := misfit(parts, _size(model, known[layer])))
    }
    fitting = {f"{p.layer}.{p.part}": t for p, t in places.items() if p.layer in known and p.layer not in misfits}
    loaded = comfy.lora.load_lora(fitting, known, log_missing=False)
    groups: dict[float, dict[Any, Any]] = defaultdict(dict)
    for key, patch in loaded.items():
        groups[_factor(key, factors)][key] = patch
    patched = model.clone()
    taken = {key for factor, part in groups.items() for key in patched.add_patches(part, strength * factor)}
    applied = {layer for layer in layers if not taken.isdisjoint(_patched(known.get(layer)))}
    strangers = [key for key in strangers if not key.startswith(PREFIX)]
    if not taken:
        raise UserError(f"{name} {_useless(layers, strangers, misfits)}, expected {expected}.")
    _say_left_out(name, layers, applied, strangers)
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


def _known_layers(model: Model) -> dict[str, Any]:
    """Return layer -> what ComfyUI patches for it: the name of a weight, or a name with rows of it."""
    known = {
        alias.removeprefix("diffusion_model.").removeprefix("transformer."): target
        for alias, target in comfy.lora.model_lora_keys_unet(model.model, {}).items()
        if alias.startswith(("diffusion_model.", "transformer."))
    }
    # ComfyUI has a name for the attention's rows of this layer alone.
    for layer, target in list(known.items()):
        if layer.endswith(".linear1") and isinstance(target, str):
            rows, columns = _size(model, target) or (0, 0)
            known[f"{layer}_mlp"] = (target, (0, 3 * columns, rows - 3 * columns))
    return known


def _patched(target: Any) -> set[Any]:
    """Return the names under which a layer's patches are taken: its weight, or rows of it, and its bias."""
    return {target, f"{target.removesuffix('.weight')}.bias"} if isinstance(target, str) else {target}


def _size(model: Model, target: Any) -> tuple[int, int] | None:
    """Return rows and columns of what is patched, None where it is no linear layer.

    The layer tells, not its weight: a quantised weight may be packed.
    """
    weight, rows = (target, None) if isinstance(target, str) else (target[0], target[1][2])
    layer = comfy.utils.get_attr(model.model, weight.rpartition(".")[0])
    if not hasattr(layer, "in_features"):
        return None
    return rows or layer.out_features, layer.in_features


def _useless(layers: Mapping[str, Any], strangers: list[str], misfits: Mapping[str, str]) -> str:
    """Say why nothing of a LoRA could be applied."""
    from ...uso_model.checkpoints.lora_names import is_for_text

    if misfits:
        layer, reason = next(iter(misfits.items()))
        return f"fits none of the model's weights ({layer}: {reason})"
    keys = [*layers, *strangers]
    if keys and not layers and all(is_for_text(key) for key in keys):
        return f"changes text encoders only ({len(keys)} keys)"
    return f"changes none of the model's weights ({', '.join(keys[:_EXAMPLES])})"


def _say_left_out(name: str, layers: Mapping[str, Any], applied: set[str], strangers: list[str]) -> None:
    """Write one line to the log where parts of a LoRA were not applied."""
    left = [*(layer for layer in layers if layer not in applied), *strangers]
    if left:
        keys = sum(len(parts) for parts in layers.values())
        used = sum(len(parts) for layer, parts in layers.items() if layer in applied)
        more = ", ..." if len(left) > _EXAMPLES else ""
        logger.warning(
            "%s: %d of %d keys applied, in %d layers; left out: %s%s",
            name,
            used,
            keys + len(strangers),
            len(applied),
            ", ".join(left[:_EXAMPLES]),
            more,
        )


def _factor(key: Any, factors: Blocks | None) -> float:
    """Return the factor of a patched weight, whose key is its name, or a tuple that begins with it."""
    match = _BLOCK.search(key if isinstance(key, str) else key[0])
    if factors is None or match is None:
        return 1.0
    return (factors.double if match[1] == "double" else factors.single)[int(match[2])]
