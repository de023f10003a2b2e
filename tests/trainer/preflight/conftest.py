"""A recipe of FLUX.1 whose files are all tiny, and made for each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from comfyui_uso.trainer.reading.recipe_files import make_recipe
from comfyui_uso.trainer.recipe import TrainConfig
from comfyui_uso.uso_model.autoencoder import Autoencoder
from comfyui_uso.uso_model.checkpoints import (
    Lora,
    LowRank,
    save_autoencoder,
    save_projector,
    write_diffusion_model_lora,
    write_safetensors,
)
from comfyui_uso.uso_model.checkpoints.lora import uso_modules
from comfyui_uso.uso_model.config import FLUX_AE
from comfyui_uso.uso_model.projector import HierarchicalProjector
from torch import Tensor

from ..conftest import TINY

WIDTH, SIDE, PATCH, SIGLIP_LAYERS = 16, 16, 4, 6


def t5(width: int = TINY.context_in_dim) -> dict[str, Tensor]:
    """Return the weights of T5 that tell its sizes."""
    block = "encoder.block.0.layer"
    return {
        "shared.weight": torch.zeros(10, width),
        f"{block}.0.SelfAttention.relative_attention_bias.weight": torch.zeros(4, 2),
        f"{block}.0.SelfAttention.q.weight": torch.zeros(8, width),
        f"{block}.1.DenseReluDense.wi_0.weight": torch.zeros(12, width),
    }


def clip(width: int = TINY.vec_in_dim) -> dict[str, Tensor]:
    """Return the weights of CLIP that tell its sizes."""
    return {
        "text_model.embeddings.token_embedding.weight": torch.zeros(10, width),
        "text_model.embeddings.position_embedding.weight": torch.zeros(5, width),
        "text_model.encoder.layers.0.mlp.fc1.weight": torch.zeros(12, width),
    }


def siglip(width: int = WIDTH, side: int = SIDE) -> dict[str, Tensor]:
    """Return the weights of SigLIP that tell its sizes."""
    return {
        "vision_model.embeddings.patch_embedding.weight": torch.zeros(width, 3, PATCH, PATCH),
        "vision_model.embeddings.patch_embedding.bias": torch.zeros(width),
        "vision_model.embeddings.position_embedding.weight": torch.zeros((side // PATCH) ** 2, width),
        **{f"vision_model.encoder.layers.{n}.mlp.fc1.weight": torch.zeros(12, width) for n in range(SIGLIP_LAYERS)},
    }


def lora(width: int = TINY.hidden_size) -> Lora:
    """Return a LoRA on the layers that USO adapts."""
    sizes = {"qkv": (width, 3 * width), "proj": (width, width), "linear1_qkv": (width, 3 * width)}
    sizes["linear2"] = (round(width * (1 + TINY.mlp_ratio)), width)
    parts = {}
    for name in uso_modules(TINY.depth, TINY.depth_single_blocks):
        inner, outer = sizes[name.rpartition(".")[2]]
        parts[name] = LowRank(torch.ones(2, inner), torch.ones(outer, 2))
    return Lora(parts)


def projector(tokens: int = (SIDE // PATCH) ** 2, width: int = WIDTH, out: int = TINY.hidden_size) -> Any:
    """Return a projector."""
    return HierarchicalProjector(tokens, 2, width, out)


def autoencoder(channels: int = 16) -> Autoencoder:
    """Return an autoencoder of one level."""
    return Autoencoder(replace(FLUX_AE, ch=32, ch_mult=(1,), num_res_blocks=1, z_channels=channels))


@pytest.fixture
def flux_files(tmp_path: Path, tiny_files: dict[str, Path]) -> dict[str, Path]:
    """Write a file for each setting of `models`."""
    names = ("transformer", "lora", "projector", "vae", "t5", "clip", "siglip")
    files = {name: tmp_path / f"{name}.safetensors" for name in names}
    tiny_files["transformer"].rename(files["transformer"])
    write_diffusion_model_lora(files["lora"], lora())
    save_projector(files["projector"], projector())
    save_autoencoder(files["vae"], autoencoder())
    for name, weights in {"t5": t5(), "clip": clip(), "siglip": siglip()}.items():
        write_safetensors(files[name], weights)
    return files


@pytest.fixture
def flux_recipe(tmp_path: Path, manifest: Path, flux_files: dict[str, Path]) -> Callable[..., TrainConfig]:
    """Return a function that makes a recipe of these files; dotted settings differ."""

    def make(**settings: Any) -> TrainConfig:
        values: dict[str, Any] = {
            "stage": "triplet",
            "data": {"manifests": [manifest], "cache": tmp_path / "cache", "size": 32, "content_size": 32},
            "models": flux_files,
            "lora": {"rank": 2, "start": "add"},
            "memory": {"base": "fp32", "checkpointing": False},
            "loop": {"run_dir": tmp_path / "run", "steps": 4, "batch_size": 2, "learning_rate": 0.01, "loggers": []},
        }
        return make_recipe(values, {name.replace("__", "."): value for name, value in settings.items()})

    return make
