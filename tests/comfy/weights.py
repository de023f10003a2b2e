"""Model files with random weights, written where ComfyUI looks for models."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import safetensors.torch
import torch
from comfyui_uso.uso_model.checkpoints import (
    Lora,
    LowRank,
    save_projector,
    save_transformer,
    to_bfl,
    write_diffusion_model_lora,
)
from comfyui_uso.uso_model.checkpoints.lora import uso_modules
from comfyui_uso.uso_model.config import FLUX_DEV, FluxConfig
from comfyui_uso.uso_model.projector import HierarchicalProjector
from comfyui_uso.uso_model.transformer import UsoTransformer
from torch import Tensor, nn

__all__ = ["POOLED", "TEXT", "TINY", "WIDE", "write_small_files", "write_wide_files"]

TEXT, POOLED = 48, 32
"""Widths of the made-up text."""

TINY = replace(
    FLUX_DEV,
    hidden_size=256,
    num_heads=2,
    depth=2,
    depth_single_blocks=2,
    context_in_dim=TEXT,
    vec_in_dim=POOLED,
)
WIDE = replace(FLUX_DEV, depth=1, depth_single_blocks=1, context_in_dim=TEXT, vec_in_dim=POOLED)
"""FLUX.1's width, with one block of each kind."""

_SIGLIP_LAYERS, _CLIP_L_LAYERS = 27, 24


def write_small_files(models: Path) -> None:
    """Write everything but the files at full width; files that are only recognised take no disk space."""
    save_transformer(models / "diffusion_models/tiny-flux.safetensors", _filled(UsoTransformer(TINY), 1), "fp32")
    write_diffusion_model_lora(models / "loras/tiny-style-lora.safetensors", _lora(TINY, 2))
    write_diffusion_model_lora(models / "loras/tiny-stock-lora.safetensors", _lora(TINY, 3))
    # ComfyUI's own loaders recognise these names only beside all of FLUX.1's blocks; ours must not need them.
    names = uso_modules(TINY.depth, TINY.depth_single_blocks)
    parts = {names[module]: part for module, part in _lora(TINY, 2).modules.items()}
    tensors = {f"{name}.down.weight": part.down for name, part in parts.items()}
    tensors |= {f"{name}.up.weight": part.up for name, part in parts.items()}
    safetensors.torch.save_file(tensors, models / "loras/tiny-uso-lora.safetensors")
    for name, width in (("tiny", TINY.hidden_size), ("narrow", 128)):
        projector = _filled(HierarchicalProjector(16, 8, 64, width), 4)
        save_projector(models / f"model_patches/{name}-projector.safetensors", projector)
    shutil.copy(models / "model_patches/tiny-projector.safetensors", models / "loras/a-projector.safetensors")
    write_diffusion_model_lora(models / "model_patches/a-lora.safetensors", _lora(TINY, 2))
    whole = (models / "loras/tiny-style-lora.safetensors").read_bytes()
    for folder in ("loras", "model_patches", "clip_vision"):
        (models / folder / "truncated.safetensors").write_bytes(whole[: len(whole) // 2])
    write_empty(models / "clip_vision/clip-l.safetensors", _clip_l_shapes())
    write_empty(models / "clip_vision/siglip-512.safetensors", _siglip_shapes(patch=16, size=512))


def write_wide_files(models: Path) -> None:
    """Write a FLUX, a LoRA, a projector and a SigLIP of the real width (about 2 GB)."""
    with torch.device("meta"):
        shapes = {name: tuple(t.shape) for name, t in to_bfl(UsoTransformer(WIDE).state_dict()).items()}
    _write_noise(models / "diffusion_models/wide-flux.safetensors", shapes)
    write_diffusion_model_lora(models / "loras/wide-lora.safetensors", _lora(WIDE, 12), dtype=torch.float16)
    projector = _filled(HierarchicalProjector(729, 64, 1152, WIDE.hidden_size), 13)
    save_projector(models / "model_patches/wide-projector.safetensors", projector)
    _write_noise(models / "clip_vision/wide-siglip.safetensors", _siglip_shapes(patch=14, size=384))


def write_empty(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Write a safetensors file of half-precision zeros as a sparse file."""
    header, end = {}, 0
    for name, shape in shapes.items():
        size = 2 * torch.Size(shape).numel()
        header[name] = {"dtype": "F16", "shape": list(shape), "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + end)


def _write_noise(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Write half-precision noise, every tensor another stretch of the same numbers: quick at any size."""
    largest = max(torch.Size(shape).numel() for shape in shapes.values())
    noise = torch.randn(largest + 1000, generator=torch.Generator().manual_seed(11)).half() * 0.02
    tensors = {}
    for n, (name, shape) in enumerate(shapes.items()):
        size = torch.Size(shape).numel()
        start = n * 97 % (noise.numel() - size)
        tensors[name] = noise[start : start + size].reshape(shape).clone()
    safetensors.torch.save_file(tensors, path)


def _filled(module: nn.Module, seed: int, scale: float = 0.05) -> nn.Module:
    """Fill with normal noise; norms get values around 1."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.normal_(0, scale, generator=generator)
            if name.endswith(("norm.scale", "layer_norm.weight")):
                parameter.add_(1)
    return module


def _lora(config: FluxConfig, seed: int, rank: int = 4) -> Lora:
    width = config.hidden_size
    generator = torch.Generator().manual_seed(seed)

    def noise(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator) * 0.05

    outputs = {
        **{
            f"double_blocks.{n}.{side}_attn.{part}": size
            for n in range(config.depth)
            for side in ("img", "txt")
            for part, size in (("qkv", 3 * width), ("proj", width))
        },
        **{f"single_blocks.{n}.linear1_qkv": 3 * width for n in range(config.depth_single_blocks)},
    }
    adapters = {name: LowRank(noise(rank, width), noise(size, rank)) for name, size in outputs.items()}
    for n in range(config.depth_single_blocks):
        adapters[f"single_blocks.{n}.linear2"] = LowRank(noise(rank, width + config.mlp_size), noise(width, rank))
    return Lora(adapters)


def _encoder_shapes(width: int, inner: int, layers: int) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    for n in range(layers):
        layer = f"vision_model.encoder.layers.{n}"
        for norm in ("layer_norm1", "layer_norm2"):
            shapes |= {f"{layer}.{norm}.weight": (width,), f"{layer}.{norm}.bias": (width,)}
        for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
            name = f"{layer}.self_attn.{part}"
            shapes |= {f"{name}.weight": (width, width), f"{name}.bias": (width,)}
        shapes |= {f"{layer}.mlp.fc1.weight": (inner, width), f"{layer}.mlp.fc1.bias": (inner,)}
        shapes |= {f"{layer}.mlp.fc2.weight": (width, inner), f"{layer}.mlp.fc2.bias": (width,)}
    return shapes


def _siglip_shapes(patch: int, size: int) -> dict[str, tuple[int, ...]]:
    width, tokens = 1152, (size // patch) ** 2
    return {
        "vision_model.embeddings.patch_embedding.weight": (width, 3, patch, patch),
        "vision_model.embeddings.patch_embedding.bias": (width,),
        "vision_model.embeddings.position_embedding.weight": (tokens, width),
        "vision_model.post_layernorm.weight": (width,),
        "vision_model.post_layernorm.bias": (width,),
        **_encoder_shapes(width, 4304, _SIGLIP_LAYERS),
    }


def _clip_l_shapes() -> dict[str, tuple[int, ...]]:
    width = 1024
    return {
        "vision_model.embeddings.class_embedding": (width,),
        "vision_model.embeddings.patch_embedding.weight": (width, 3, 14, 14),
        "vision_model.embeddings.position_embedding.weight": (257, width),
        **{
            f"vision_model.{norm}.{leaf}": (width,)
            for norm in ("pre_layrnorm", "post_layernorm")
            for leaf in ("weight", "bias")
        },
        "visual_projection.weight": (768, width),
        **_encoder_shapes(width, 4096, _CLIP_L_LAYERS),
    }
