"""Text and vision encoders through transformers, from Hugging Face folders or ComfyUI's single files.

A folder tells its settings. A single file has none, so the sizes are read off the weights; what leaves no trace in them
is as in the published models that FLUX.1 and USO use (google/t5-v1_1-xxl, openai/clip-vit-large-patch14,
google/siglip-so400m-patch14-384).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from accelerate import init_empty_weights
from torch import Tensor, nn
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    PretrainedConfig,
    SiglipVisionConfig,
    SiglipVisionModel,
    T5Config,
    T5EncoderModel,
)

from ...uso_model.checkpoints import CheckpointError, load_strict, read_safetensors
from ...uso_model.checkpoints.diffusers import read_folder
from ...uso_model.checkpoints.fp8 import dequantize, is_auxiliary, scales_of
from ...uso_model.checkpoints.kinds import looks_like
from ...uso_model.checkpoints.sizes import block_count, shape_of
from ...uso_model.style import SIGLIP_SIZE
from ...uso_model.untrusted import parse_json, quoted, read_text
from ..memory.by_block import multiply_out_by_block, stays_as_stored
from .parts import CLIP_KEY, SIGLIP_KEY, T5_BLOCKS, T5_KEY, part_with

__all__ = ["encoder_sizes", "load_clip", "load_siglip", "load_t5"]

_WANTED_T5 = "t5xxl_fp16.safetensors (models/text_encoders)"
_WANTED_CLIP = "clip_l.safetensors (models/text_encoders)"
_WANTED_SIGLIP = "sigclip_vision_patch14_384.safetensors (models/clip_vision)"


_HEAD_WIDTH = 64
_SIGLIP_HEADS = {1152: 16}
# 27 patches of 14 pixels: six of the 384 pixels that SigLIP reads are in none.
_SIGLIP_SIDES = {378: SIGLIP_SIZE}
_CLIP_END = 49407

# Settings that the weights tell, too. The side of a picture is not among them: a part of a patch leaves no trace.
_TRACED = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "max_position_embeddings",
    "patch_size",
    "d_model",
    "d_ff",
    "num_layers",
    "num_heads",
    "relative_attention_num_buckets",
)
# What transformers raises on settings that it has not checked.
_UNUSABLE = (OSError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RuntimeError, MemoryError)

Weights = Mapping[str, Tensor]


def load_t5(path: Path, dtype: torch.dtype, device: torch.device) -> T5EncoderModel:
    """Read the T5 encoder; see `multiply_out_by_block` for how it is held.

    Args:
        path: `t5xxl_fp16.safetensors` or an 8-bit one, an all-in-one checkpoint, or a Hugging Face folder; a decoder in
            it is left out.
        dtype: to compute in.
        device: of the weights.

    Raises:
        CheckpointError: another kind of file, or missing or unknown keys.
    """
    stored = _stored(path, T5_KEY, _WANTED_T5)
    # Files have the embedding under one of its two names, or under both.
    both = ("shared.weight", "encoder.embed_tokens.weight")
    stored = {name: tensor for name, tensor in stored.items() if name.startswith("encoder.") or name in both}
    scales = scales_of(stored, path.name)
    tensors = {
        name: tensor.to(device)
        for name, tensor in stored.items()
        if name.startswith(T5_BLOCKS) and not is_auxiliary(name) and stays_as_stored(tensor, dtype, name in scales)
    }
    tensors |= _multiplied_out(
        {name: tensor for name, tensor in stored.items() if name not in tensors}, scales, path.name, dtype, device
    )
    found = [tensors[name] for name in both if name in tensors]
    encoder = {name: tensor for name, tensor in tensors.items() if name.startswith("encoder.")}
    encoder |= {name: found[0] for name in both if found}
    model = _built(T5EncoderModel, _config(path, T5Config, _t5_config, encoder), encoder, path.name)
    model.set_input_embeddings(model.shared)  # one embedding under both names again, not two
    waiting = {model.get_parameter(name): scale.to(device) for name, scale in scales.items() if name in encoder}
    multiply_out_by_block(model.encoder.block, waiting, dtype)
    return _frozen(model, device)


def load_clip(path: Path, dtype: torch.dtype, device: torch.device) -> CLIPTextModel:
    """Read the CLIP text encoder from `clip_l.safetensors`, a checkpoint or a folder; see `load_t5`."""
    tensors = _weights(path, CLIP_KEY, dtype, device, _WANTED_CLIP)
    config = _config(path, CLIPTextConfig, _clip_config, tensors)
    return _frozen(_built(CLIPTextModel, config, tensors, path.name), device)


def load_siglip(path: Path, dtype: torch.dtype, device: torch.device) -> SiglipVisionModel:
    """Read the SigLIP vision tower, without its pooling head; see `load_t5`."""
    tensors = _weights(path, SIGLIP_KEY, dtype, device, _WANTED_SIGLIP, without="head.")
    config = _config(path, SiglipVisionConfig, _siglip_config, tensors)
    config.vision_use_head = False
    return _frozen(_built(SiglipVisionModel, config, tensors, path.name), device)


def encoder_sizes(kind: Literal["t5", "clip", "siglip"], path: Path) -> PretrainedConfig:
    """Return the sizes of an encoder, read off the names and shapes of its weights.

    Raises:
        CheckpointError: another kind of file.
    """
    if kind == "clip":
        return _clip_config(_stored(path, CLIP_KEY, _WANTED_CLIP), path.name)
    if kind == "siglip":
        return _siglip_config(_stored(path, SIGLIP_KEY, _WANTED_SIGLIP), path.name)
    tensors = _stored(path, T5_KEY, _WANTED_T5)
    other_name = tensors.get("encoder.embed_tokens.weight")
    return _t5_config(tensors if other_name is None else {"shared.weight": other_name, **tensors}, path.name)


def _weights(
    path: Path, key: str, dtype: torch.dtype, device: torch.device, wanted: str, without: str = "."
) -> dict[str, Tensor]:
    """Return the weights of an encoder in `dtype` on a device, but those whose names begin with `without`."""
    stored = _stored(path, key, wanted)
    stored = {name: tensor for name, tensor in stored.items() if not name.startswith(without)}
    return _multiplied_out(stored, scales_of(stored, path.name), path.name, dtype, device)


def _stored(path: Path, key: str, wanted: str) -> dict[str, Tensor]:
    stored = read_folder(path) if path.is_dir() else read_safetensors(path)
    part = part_with(stored, key)
    if part is None:
        raise CheckpointError(f"{path.name} looks like {looks_like(stored)}; choose {wanted}.")
    return part


def _multiplied_out(
    stored: Weights, scales: Weights, source: str, dtype: torch.dtype, device: torch.device
) -> dict[str, Tensor]:
    """Bring weights to `dtype` and a device, one after the other: there is never a second copy of all."""
    result: dict[str, Tensor] = {}
    for name, tensor in stored.items():
        if is_auxiliary(name):
            continue
        pair = {name: tensor.to(device)}
        if name in scales:
            pair[f"{name.removesuffix('weight')}weight_scale"] = scales[name].to(device)
        result |= dequantize(pair, source, dtype)
    return result


def _config(path: Path, kind: Any, guess: Callable[[Weights, str], PretrainedConfig], tensors: Weights) -> Any:
    """Return the settings that a folder has, or those that the weights tell."""
    traced = guess(tensors, path.name)
    if not path.is_dir():
        return traced
    file = path / "config.json"
    if not isinstance(parse_json(read_text(file, "download the folder again", CheckpointError), str(file)), dict):
        raise CheckpointError(f"{file} is not a JSON object; download the folder again.")
    try:
        config = kind.from_pretrained(path, local_files_only=True)
        # Sizes decide how much is built before a weight is compared, so they have to be those of the weights.
        wrong = [name for name in _TRACED if getattr(config, name, None) != getattr(traced, name, None)]
    except _UNUSABLE as error:
        raise CheckpointError(f"{file} cannot be used ({quoted(error)}); download the folder again.") from error
    if wrong:
        found = ", ".join(f"{name} {quoted(getattr(config, name, None))}" for name in wrong)
        expected = ", ".join(str(getattr(traced, name, None)) for name in wrong)
        raise CheckpointError(f"{file} has {found}, but its weights {expected}; download the folder again.")
    return config


def _t5_config(tensors: Weights, source: str) -> T5Config:
    words, width = shape_of(tensors, "shared.weight", 2, source)
    buckets, heads = shape_of(tensors, T5_KEY, 2, source)
    gated = "encoder.block.0.layer.1.DenseReluDense.wi_0.weight" in tensors
    inner = f"encoder.block.0.layer.1.DenseReluDense.{'wi_0' if gated else 'wi'}.weight"
    return T5Config(
        vocab_size=words,
        d_model=width,
        d_kv=shape_of(tensors, "encoder.block.0.layer.0.SelfAttention.q.weight", 2, source)[0] // heads,
        num_heads=heads,
        d_ff=shape_of(tensors, inner, 2, source)[0],
        num_layers=block_count(tensors, T5_BLOCKS, source),
        relative_attention_num_buckets=buckets,
        feed_forward_proj="gated-gelu" if gated else "relu",
    )


def _clip_config(tensors: Weights, source: str) -> CLIPTextConfig:
    words, width = shape_of(tensors, CLIP_KEY, 2, source)
    end = min(_CLIP_END, words - 1)
    return CLIPTextConfig(
        vocab_size=words,
        hidden_size=width,
        intermediate_size=shape_of(tensors, "encoder.layers.0.mlp.fc1.weight", 2, source)[0],
        num_hidden_layers=block_count(tensors, "encoder.layers.", source),
        num_attention_heads=max(1, width // _HEAD_WIDTH),
        max_position_embeddings=shape_of(tensors, "embeddings.position_embedding.weight", 2, source)[0],
        hidden_act="quick_gelu",
        bos_token_id=end - 1,
        eos_token_id=end,
        pad_token_id=end,
    )


def _siglip_config(tensors: Weights, source: str) -> SiglipVisionConfig:
    width, channels, patch, _ = shape_of(tensors, SIGLIP_KEY, 4, source)
    side = round(shape_of(tensors, "embeddings.position_embedding.weight", 2, source)[0] ** 0.5) * patch
    return SiglipVisionConfig(
        hidden_size=width,
        intermediate_size=shape_of(tensors, "encoder.layers.0.mlp.fc1.weight", 2, source)[0],
        num_hidden_layers=block_count(tensors, "encoder.layers.", source),
        num_attention_heads=_SIGLIP_HEADS.get(width, max(1, width // _HEAD_WIDTH)),
        num_channels=channels,
        image_size=_SIGLIP_SIDES.get(side, side),
        patch_size=patch,
    )


def _built(kind: Any, config: PretrainedConfig, tensors: Weights, source: str) -> Any:
    try:
        with init_empty_weights(include_buffers=False):
            model: nn.Module = kind(config)
    except _UNUSABLE as error:
        raise CheckpointError(
            f"{source} has sizes that make no {kind.__name__} ({quoted(error)}); use another."
        ) from error
    # transformers 5 names the weights of a tower without the prefix that older versions have.
    match = re.match(r"(?:text|vision)_model\.", next(iter(model.state_dict())))
    prefix = match[0] if match else ""
    load_strict(model, {prefix + name: tensor for name, tensor in tensors.items()}, source, assign=True)
    return model


def _frozen(model: Any, device: torch.device) -> Any:
    return model.to(device).eval().requires_grad_(False)  # the weights are there already, buffers are not
