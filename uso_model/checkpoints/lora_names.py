"""Key names of FLUX.1 LoRAs: every layout's brought to one form, the path of the layer and the name of the part.

Layouts, each with its own prefix, names of layers, and names of the two factors:
    BFL         diffusion_model., model.diffusion_model., transformer. or none; lora_A and lora_B, lora_down and lora_up
    USO, XLabs  double_blocks.N.processor.qkv_lora1.down.weight, with or without a prefix
    kohya       lora_unet_double_blocks_N_img_attn_qkv.lora_down.weight
    diffusers   transformer.transformer_blocks.N.attn.to_q.lora_A.weight, with or without the prefix
    OneTrainer  lora_transformer_transformer_blocks_N_attn_to_q.lora_down.weight; SimpleTuner: lycoris_
    PEFT        base_model.model. before any of them; lora_A.default.weight
Sources: kohya-ss/sd-scripts (networks/lora_flux.py), huggingface/peft (utils/save_and_load.py), huggingface/diffusers
(loaders/lora_conversion_utils.py), Comfy-Org/ComfyUI (comfy/lora.py).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor

from .diffusers_names import DOUBLE, DOUBLE_JOINED, OUTSIDE, SINGLE, SINGLE_JOINED, SWAPPED
from .lora import USO_PARTS
from .strict import CheckpointError

__all__ = ["DOWN", "UP", "Place", "is_for_text", "place_of", "placed"]

DOWN, UP = "lora_A.weight", "lora_B.weight"
"""Names of the two factors, whatever a file calls them."""

_LAYERS = {
    "double_blocks": [*DOUBLE.values(), *DOUBLE_JOINED],
    "single_blocks": [*SINGLE.values(), *SINGLE_JOINED, "linear1_qkv", "linear1_mlp"],
    "transformer_blocks": [*DOUBLE, *(part for parts in DOUBLE_JOINED.values() for part in parts)],
    "single_transformer_blocks": [*SINGLE, *(part for parts in SINGLE_JOINED.values() for part in parts)],
    "": [*OUTSIDE, *OUTSIDE.values(), *SWAPPED, *SWAPPED.values()],
}
"""Layers within each kind of block, BFL's and diffusers', and outside them."""

_UNDERSCORED = {blocks: {layer.replace(".", "_"): layer for layer in layers} for blocks, layers in _LAYERS.items()}
_WRAPPERS = re.compile(r"(?:(?:base_model|model|diffusion_model|transformer|unet|module|_orig_mod)\.)+")
_UNDERSCORES = re.compile(r"(?:lora_(?:unet|transformer|flux)|lycoris)_")
_BLOCK = re.compile(r"(double_blocks|single_blocks|transformer_blocks|single_transformer_blocks)[._](\d+)[._](.+)")
_USO = re.compile(r"(double_blocks|single_blocks)\.(\d+)\.processor\.(\w+)\.(down|up)\.weight")
_FACTOR = re.compile(
    r"(.+?)(?:\.lora_(A|B|down|up)(?:\.\w+)?(?:\.weight)?|[._]lora(?:_linear_layer)?\.(down|up)\.weight)"
)
_PART = re.compile(
    r"(.+?)\.(alpha|dora_scale|lora_mid\.weight|lora_B\.bias|lo(?:kr|ha)_\w+|hada_\w+|boft_\w+|oft_\w+|rescale"
    r"|[ab][12]\.weight|diff|diff_b|set_weight|reshape_weight|[wb]_norm|lora_magnitude_vector(?:\.\w+)*)"
)
_TEXT = re.compile(
    r"(?:lora_te\d?_|lora_prior_te_|(?:base_model\.model\.)?text_(?:encoder|model)|(?:clip_[lg]|t5xxl)\.)"
)


class Place(NamedTuple):
    """Where a tensor of a LoRA belongs."""

    layer: str
    """Path of the layer, such as `double_blocks.0.img_attn.qkv`; in diffusers' layout by its name there."""
    part: str
    """`lora_A.weight`, `lora_B.weight`, `alpha`, or what else adapts a layer (DoRA, LoKr, LoHa, ...)."""

    @property
    def key(self) -> str:
        """The plain key."""
        return f"{self.layer}.{self.part}"


def place_of(key: str) -> Place | None:
    """Return where a key belongs in a transformer, None where it is a text encoder's or no LoRA's.

    The path of a layer that FLUX.1 does not have stays as it is, without `diffusion_model.`.
    """
    if is_for_text(key):
        return None
    bare = _WRAPPERS.sub("", key, count=1) if _WRAPPERS.match(key) else key
    if match := _USO.fullmatch(bare):
        blocks, number, name, side = match.groups()
        layer = USO_PARTS[blocks].get(name)
        return Place(f"{blocks}.{number}.{layer}", DOWN if side == "down" else UP) if layer else None
    if match := _PART.fullmatch(bare):
        part = "dora_scale" if match[2].startswith("lora_magnitude_vector") else match[2]
    elif match := _FACTOR.fullmatch(bare):
        part = DOWN if (match[2] or match[3]) in ("A", "down") else UP
    else:
        return None
    plain = key.removeprefix("diffusion_model.")
    return Place(_layer(match[1]) or plain[: len(plain) - len(bare) + len(match[1])], part)


def _layer(path: str) -> str | None:
    """Return the plain path of a layer of FLUX.1, None for any other."""
    underscored = _UNDERSCORES.match(path)
    bare = path[underscored.end() :] if underscored else path
    match = _BLOCK.fullmatch(bare)
    blocks, name = (match[1], match[3]) if match else ("", bare)
    layer = _UNDERSCORED[blocks].get(name.replace(".", "_"))
    if layer is None or (not underscored and layer != name):
        return None
    return f"{blocks}.{match[2]}.{layer}" if match else layer


def placed(state_dict: Mapping[str, Tensor], source: str) -> tuple[dict[Place, Tensor], list[str]]:
    """Sort the tensors of a LoRA by their places, and return the keys that have none.

    PEFT writes the scale of a DoRA as a vector, others as a column; it is returned as a column.

    Raises:
        CheckpointError: two keys have the same place.
    """
    found: dict[Place, Tensor] = {}
    strangers = []
    for key, tensor in state_dict.items():
        place = place_of(key)
        if place is None:
            strangers.append(key)
        elif place in found:
            raise CheckpointError(f"{source} adapts {place.layer} twice; merge its two adapters into one.")
        else:
            found[place] = tensor[:, None] if place.part == "dora_scale" and tensor.ndim == 1 else tensor
    return found, strangers


def is_for_text(key: str) -> bool:
    """Whether a key is a text encoder's."""
    return _TEXT.match(key) is not None
