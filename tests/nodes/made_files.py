"""Small files of USO's kinds, for folders of ComfyUI's models."""

from __future__ import annotations

from typing import Any

import torch
from comfyui_uso.nodes.load_models import LoadModels

from .conftest import HIDDEN

__all__ = ["FOLDERS", "POSITION", "load", "lora", "projector", "siglip"]

RANK = 2
FOLDERS = ("loras", "model_patches", "clip_vision")
POSITION = "vision_model.embeddings.position_embedding.weight"


def lora(hidden: int = HIDDEN, native: bool = True) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    if native:
        names = [
            f"double_blocks.{i}.processor.{part}"
            for i in range(2)
            for part in ("qkv_lora1", "qkv_lora2", "proj_lora1", "proj_lora2")
        ]
        names += [f"single_blocks.{i}.processor.{part}" for i in range(2) for part in ("qkv_lora", "proj_lora")]
        sides = ("down.weight", "up.weight")
    else:
        names = ["diffusion_model.double_blocks.0.img_attn.proj"]
        sides = ("lora_A.weight", "lora_B.weight")
    width_in = {True: 5 * hidden, False: hidden}
    width_out = {True: 3 * hidden, False: hidden}
    out = {}
    for name in names:
        out[f"{name}.{sides[0]}"] = torch.randn(
            RANK, width_in[".proj_lora" in name and "single" in name], generator=generator
        )
        out[f"{name}.{sides[1]}"] = torch.randn(width_out["qkv" in name], RANK, generator=generator)
    return out


def projector(hidden: int = HIDDEN, tokens: int = 16, width: int = 32) -> dict[str, torch.Tensor]:
    out = {}
    for level in ("high", "mid", "low"):
        shapes = {"embedding_linear.0": (8, tokens), "layer_norm": (width,), "projection": (hidden, width)}
        for part, shape in shapes.items():
            out[f"feature_embedder.{level}_{part}.weight"] = torch.ones(shape)
            out[f"feature_embedder.{level}_{part}.bias"] = torch.zeros(shape[0])
    return out


def siglip(tokens: int = 16, width: int = 32) -> dict[str, torch.Tensor]:
    return {
        POSITION: torch.zeros(tokens, width),
        "vision_model.embeddings.patch_embedding.bias": torch.zeros(width),
        "vision_model.embeddings.patch_embedding.weight": torch.zeros(width, 3, 2, 2),
    }


def load(model: Any, lora: str = "auto", strength: float = 1.0, projector: str = "auto", vision: str = "auto") -> Any:
    return LoadModels.execute(model, lora, strength, projector, vision).result
