"""What a weight file is, told from its keys and never from its name.

Sources of the key names: black-forest-labs/flux (src/flux/model.py, modules/autoencoder.py), bytedance/USO
(uso/flux/modules/layers.py), transformers (models/siglip, models/clip), Comfy-Org/ComfyUI
(comfy/model_detection.py).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from ..projector import PREFIX

__all__ = ["describe", "flux_prefix", "kind_of", "looks_like"]

# FLUX weights in all-in-one checkpoints, saved models, bare files.
_FLUX_PREFIXES = ("model.diffusion_model.", "diffusion_model.", "")
# Two of the three tell FLUX, so that a file that lacks one is still recognised and its gap can be reported.

_FLUX = ("img_in.weight", "double_blocks.0.img_attn.qkv.weight", "vector_in.in_layer.weight")
_AUTOENCODER = ("encoder.down.0.block.0.conv1.weight", "decoder.up.0.block.0.conv1.weight")
_USO_LORA = re.compile(
    r"(?:\w+\.)*(double_blocks\.\d+\.processor\.(qkv|proj)_lora[12]|single_blocks\.\d+\.processor\.(qkv|proj)_lora)\.(down|up)\.weight"
)
_LORA = re.compile(
    r"\.(lora_([AB]|down|up)(\.\w+)?(\.weight)?|dora_scale|lokr_w[12](_[ab])?|hada_w[12]_[ab])$|[._]lora(_linear_layer)?\.(down|up)\.weight$"
)
"""Factors of LoRA, LoKr and LoHa, whatever the layout's prefix."""

_NAMES = {
    "flux": "a FLUX.1 model",
    "uso_lora": "a USO LoRA",
    "lora": "a LoRA",
    "projector": "a USO style projector",
    "autoencoder": "a FLUX autoencoder (VAE)",
    "siglip": "a SigLIP vision model",
    "clip_vision": "a CLIP vision model",
    "unknown": "a file of an unknown kind",
}

# (pattern of one telling key, what it is); the first match wins, so special cases stand before general ones.
_OTHERS = tuple(
    (re.compile(pattern, re.MULTILINE), name)
    for pattern, name in (
        (r"double_stream_modulation_img\.lin\.", "a FLUX.2 model"),
        (r"(^|\.)nerf_blocks\.", "a Chroma Radiance model"),
        (r"distilled_guidance_layer\.", "a Chroma model"),
        (r"txt_in\.individual_token_refiner\.", "a HunyuanVideo model"),
        (r"(^|\.)joint_blocks\.\d+\.", "a Stable Diffusion 3 model"),
        (r"(^|\.)label_emb\.0\.0\.", "an SDXL model"),
        (r"(^|\.)input_blocks\.\d+\.", "a Stable Diffusion 1 or 2 model"),
        (r"^single_transformer_blocks\.\d+\.", "a FLUX model in the diffusers layout"),
        (r"^transformer_blocks\.\d+\.img_mod\.", "a Qwen-Image model"),
        (r"(^|\.)blocks\.\d+\.cross_attn\.", "a Wan video model"),
        (r"^(encoder|decoder)\.(down|up)_blocks\.", "an autoencoder in the diffusers layout"),
        (r"(^|\.)(post_)?quant_conv\.", "an autoencoder of another model family"),
        (r"(^|\.)encoder\.block\.\d+\.layer\.0\.SelfAttention\.", "a T5 text encoder"),
        (r"(^|\.)text_model\.encoder\.layers\.", "a CLIP text encoder"),
        (r"^redux_(up|down)\.", "a FLUX Redux style model"),
        (r"^lora_(unet|te)", "a LoRA with kohya key names"),
        (r"^(controlnet_|input_hint_block)", "a ControlNet"),
        (r"\.(qweight|absmax|quant_map)$", "a model in a quantised format"),
    )
)


def kind_of(keys: Iterable[str]) -> str:
    """Name the kind of a weight file from its keys (a state dict may be given as it is).

    Returns:
        `flux`, `uso_lora`, `lora`, `projector`, `autoencoder`, `siglip`, `clip_vision` or `unknown`. An
        all-in-one checkpoint is `flux`. A USO LoRA saved with `diffusion_model.` names is `lora`: its keys
        are like any other's.
    """
    names = set(keys)
    if any(_USO_LORA.fullmatch(name) for name in names):
        return "uso_lora"
    if any(_LORA.search(name) for name in names):
        return "lora"
    if any(name.startswith(PREFIX) for name in names):
        return "projector"
    if flux_prefix(names) is not None:
        return "unknown" if _is_flux_cousin(names) else "flux"
    vision = _vision_kind(names)
    if vision:
        return vision
    for prefix in ("", "vae.", "first_stage_model."):
        if any(f"{prefix}{key}" in names for key in _AUTOENCODER):
            return "unknown" if f"{prefix}quant_conv.weight" in names else "autoencoder"
    return "unknown"


def flux_prefix(names: Collection[str]) -> str | None:
    """Return the prefix under which the keys hold FLUX-like weights, or None when they hold none."""
    for prefix in _FLUX_PREFIXES:
        if sum(f"{prefix}{key}" in names for key in _FLUX) >= 2:
            return prefix
    return None


def _is_flux_cousin(names: set[str]) -> bool:
    return any(
        "double_stream_modulation" in name or "distilled_guidance_layer" in name or "individual_token_refiner" in name
        for name in names
    )


def _vision_kind(names: set[str]) -> str | None:
    # CLIP has a class token; SigLIP has none, and a biased patch embedding.
    if "vision_model.embeddings.class_embedding" in names or "visual.class_embedding" in names:
        return "clip_vision"
    if "vision_model.embeddings.patch_embedding.bias" in names:
        return "siglip"
    return None


def describe(kind: str) -> str:
    """Say a kind in words, with its article."""
    return _NAMES[kind]


def looks_like(keys: Iterable[str]) -> str:
    """Say in words what a weight file looks like, known kinds and other model families alike."""
    names = list(keys)
    kind = kind_of(names)
    if kind != "unknown":
        return describe(kind)
    lines = "\n".join(names)  # one search instead of one for each of maybe 50,000 keys
    for pattern, name in _OTHERS:
        if pattern.search(lines):
            return name
    return describe("unknown")
