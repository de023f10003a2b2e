"""Text and vision encoders through transformers, from Hugging Face folders or ComfyUI's single files.

A single file has no settings, so the sizes are read off the weights; what leaves no trace in them is as in the
published models that FLUX.1 and USO use (google/t5-v1_1-xxl, openai/clip-vit-large-patch14,
google/siglip-so400m-patch14-384).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

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
from ...uso_model.checkpoints.fp8 import dequantize

__all__ = ["load_clip", "load_siglip", "load_t5"]

_CLIP, _SIGLIP = "text_model.", "vision_model."
_SIGLIP_HEADS = {1152: 16}
_HEAD_WIDTH = 64
_CLIP_END = 49407


def load_t5(path: Path, dtype: torch.dtype, device: torch.device) -> T5EncoderModel:
    """Read the T5 encoder.

    Args:
        path: `t5xxl_fp16.safetensors`, an 8-bit one, or a folder with config.json.
        dtype: of the weights.
        device: of the weights.

    Raises:
        CheckpointError: another kind of file, or missing or unknown keys.
    """
    if path.is_dir():
        return _from_folder(T5EncoderModel, path, dtype, device)
    tensors = _read(path, dtype)
    # Some files have the embedding under one of its two names.
    shared = next((tensors[name] for name in ("shared.weight", "encoder.embed_tokens.weight") if name in tensors), None)
    first = "encoder.block.0.layer.0.SelfAttention."
    if shared is None or f"{first}relative_attention_bias.weight" not in tensors:
        raise CheckpointError(f"{path.name} is no T5 encoder; choose t5xxl_fp16.safetensors (models/text_encoders).")
    heads = tensors[f"{first}relative_attention_bias.weight"].shape[1]
    gated = "encoder.block.0.layer.1.DenseReluDense.wi_0.weight" in tensors
    feed = "wi_0" if gated else "wi"
    config = T5Config(
        vocab_size=shared.shape[0],
        d_model=shared.shape[1],
        d_kv=tensors[f"{first}q.weight"].shape[0] // heads,
        num_heads=heads,
        d_ff=tensors[f"encoder.block.0.layer.1.DenseReluDense.{feed}.weight"].shape[0],
        num_layers=_count(tensors, "encoder.block."),
        feed_forward_proj="gated-gelu" if gated else "relu",
    )
    both = {**tensors, "shared.weight": shared, "encoder.embed_tokens.weight": shared}
    return _built(T5EncoderModel, config, both, path.name, device)


def load_clip(path: Path, dtype: torch.dtype, device: torch.device) -> CLIPTextModel:
    """Read the CLIP text encoder from `clip_l.safetensors` or a folder; see `load_t5`."""
    if path.is_dir():
        return _from_folder(CLIPTextModel, path, dtype, device)
    tensors = _under(_CLIP, _read(path, dtype), path, "clip_l.safetensors (models/text_encoders)")
    tokens, places = tensors["embeddings.token_embedding.weight"], tensors["embeddings.position_embedding.weight"]
    width = tokens.shape[1]
    config = CLIPTextConfig(
        vocab_size=tokens.shape[0],
        hidden_size=width,
        intermediate_size=tensors["encoder.layers.0.mlp.fc1.weight"].shape[0],
        num_hidden_layers=_count(tensors, "encoder.layers."),
        num_attention_heads=max(1, width // _HEAD_WIDTH),
        max_position_embeddings=places.shape[0],
        hidden_act="quick_gelu",
        eos_token_id=min(_CLIP_END, tokens.shape[0] - 1),
        bos_token_id=min(_CLIP_END - 1, tokens.shape[0] - 2),
        pad_token_id=min(_CLIP_END, tokens.shape[0] - 1),
    )
    return _built(CLIPTextModel, config, tensors, path.name, device, _CLIP)


def load_siglip(path: Path, dtype: torch.dtype, device: torch.device) -> SiglipVisionModel:
    """Read the SigLIP vision tower, without its pooling head; see `load_t5`."""
    if path.is_dir():
        return _from_folder(SiglipVisionModel, path, dtype, device)
    tensors = _under(_SIGLIP, _read(path, dtype), path, "sigclip_vision_patch14_384.safetensors (models/clip_vision)")
    tensors = {name: tensor for name, tensor in tensors.items() if not name.startswith("head.")}
    patches = tensors["embeddings.patch_embedding.weight"]
    places = tensors["embeddings.position_embedding.weight"]
    width, patch = patches.shape[0], patches.shape[-1]
    config = SiglipVisionConfig(
        hidden_size=width,
        intermediate_size=tensors["encoder.layers.0.mlp.fc1.weight"].shape[0],
        num_hidden_layers=_count(tensors, "encoder.layers."),
        num_attention_heads=_SIGLIP_HEADS.get(width, max(1, width // _HEAD_WIDTH)),
        image_size=round(places.shape[0] ** 0.5) * patch,
        patch_size=patch,
        vision_use_head=False,
    )
    return _built(SiglipVisionModel, config, tensors, path.name, device, _SIGLIP)


def _from_folder(kind: Any, path: Path, dtype: torch.dtype, device: torch.device) -> Any:
    if not (path / "config.json").is_file():
        raise CheckpointError(f"{path} has no config.json; give the folder of {kind.__name__}, or a single file.")
    model = kind.from_pretrained(path, dtype=dtype, local_files_only=True, use_safetensors=True)
    return model.to(device).eval().requires_grad_(False)


def _read(path: Path, dtype: torch.dtype) -> dict[str, Tensor]:
    stored = {n: t for n, t in read_safetensors(path).items() if not n.endswith("position_ids")}
    return dequantize(stored, path.name, dtype)


def _under(prefix: str, tensors: Mapping[str, Tensor], path: Path, wanted: str) -> dict[str, Tensor]:
    found = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    if "embeddings.position_embedding.weight" not in found:
        raise CheckpointError(f"{path.name} has no {prefix}* weights; choose {wanted}.")
    return found


def _built(
    kind: Any,
    config: PretrainedConfig,
    tensors: Mapping[str, Tensor],
    name: str,
    device: torch.device,
    prefix: str = "",
) -> Any:
    with init_empty_weights(include_buffers=False):
        model: nn.Module = kind(config)
    # transformers 5 names the weights of a tower without the prefix that files and older versions have.
    own = model.state_dict()
    if prefix and next(iter(own)).startswith(prefix):
        tensors = {prefix + key: tensor for key, tensor in tensors.items()}
    load_strict(model, tensors, name, assign=True)
    return model.to(device).eval().requires_grad_(False)


def _count(tensors: Mapping[str, Tensor], prefix: str) -> int:
    matches = (re.match(re.escape(prefix) + r"(\d+)\.", name) for name in tensors)
    return len({match[1] for match in matches if match})
