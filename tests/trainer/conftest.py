"""A tiny trainer: two blocks, encoders made of arithmetic, eight rows on disk."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from comfyui_uso.trainer.encoders import Encoders, Gaussian, PictureJudge
from comfyui_uso.trainer.reading.recipe_files import make_recipe
from comfyui_uso.trainer.recipe import TrainConfig
from comfyui_uso.uso_model.checkpoints import save_projector, save_transformer
from comfyui_uso.uso_model.config import FLUX_DEV
from comfyui_uso.uso_model.projector import HierarchicalProjector
from comfyui_uso.uso_model.style import StyleFeatures
from comfyui_uso.uso_model.transformer import UsoTransformer
from PIL import Image

TINY = replace(
    FLUX_DEV,
    vec_in_dim=8,
    context_in_dim=8,
    hidden_size=128,
    mlp_ratio=2.0,
    num_heads=1,
    depth=1,
    depth_single_blocks=1,
)


@pytest.fixture
def tiny_transformer() -> UsoTransformer:
    """Return a small transformer with fixed random weights."""
    torch.manual_seed(0)
    return UsoTransformer(TINY)


@pytest.fixture
def tiny_projector() -> HierarchicalProjector:
    """Return a projector for the features of `tiny_encoders`."""
    torch.manual_seed(1)
    return HierarchicalProjector(tokens_in=4, tokens_out=2, dim_in=6, dim_out=TINY.hidden_size)


@pytest.fixture
def tiny_encoders() -> Encoders:
    """Return encoders that are formulas of the mean colour or the length of the prompt."""

    def colour(picture: Image.Image) -> float:
        return float(np.asarray(picture).mean()) / 255

    def style(picture: Image.Image) -> StyleFeatures:
        return StyleFeatures(*(torch.full((4, 6), colour(picture) + level) for level in range(3)))

    def text(prompt: str) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.full((3, 8), len(prompt) / 10), torch.full((8,), len(prompt) / 10)

    def latent(picture: Image.Image) -> Gaussian:
        small = picture.resize((picture.width // 8, picture.height // 8), Image.Resampling.BOX)
        pixels = torch.from_numpy(np.asarray(small).copy()).movedim(-1, 0).float() / 127.5 - 1
        return Gaussian(pixels.repeat(6, 1, 1)[:16], logvar=None)

    def decode(latents: torch.Tensor) -> torch.Tensor:
        return F.interpolate(latents[:, :3], scale_factor=8.0)

    def descriptor(pixels: torch.Tensor) -> torch.Tensor:
        mean, spread = pixels.mean(dim=(2, 3)), pixels.std(dim=(2, 3))
        return F.normalize(torch.cat([mean, spread, torch.ones_like(mean[:, :1])], dim=1), dim=1)

    return Encoders(
        latent=latent,
        style=style,
        text=text,
        decode=decode,
        judges={"csd": PictureJudge(descriptor, "style", "mean and spread")},
        names={"latent": "small", "style": "colour features", "text": "length"},
        release=lambda: None,
    )


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """Write eight triplets and return their manifest."""
    lines = []
    for n in range(8):
        for part in ("t", "s", "c"):
            Image.new("RGB", (32, 32), (n * 20, 10, 30 if part == "t" else 90)).save(tmp_path / f"{n}{part}.png")
        lines.append(
            json.dumps(
                {
                    "id": str(n),
                    "target": f"{n}t.png",
                    "style": [f"{n}s.png"],
                    "content": f"{n}c.png",
                    "prompt": "" if n % 2 else f"row {n}",
                    "layout": "preserved" if n % 2 else "shifted",
                }
            )
        )
    path = tmp_path / "manifest.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def tiny_files(
    tmp_path: Path, tiny_transformer: UsoTransformer, tiny_projector: HierarchicalProjector
) -> dict[str, Path]:
    """Write the tiny networks and return their files by the names of `models` in a recipe."""
    files = {"transformer": tmp_path / "base.safetensors", "projector": tmp_path / "projector.safetensors"}
    save_transformer(files["transformer"], tiny_transformer, "fp32")
    save_projector(files["projector"], tiny_projector)
    return files


@pytest.fixture
def recipe(tmp_path: Path, manifest: Path, tiny_files: dict[str, Path]) -> Callable[..., TrainConfig]:
    """Return a function that makes a recipe of four quick steps; sections given by name replace single settings."""

    def make(stage: str = "triplet", name: str = "run", **changes: Any) -> TrainConfig:
        values: dict[str, Any] = {
            "stage": stage,
            "data": {"manifests": [manifest], "cache": tmp_path / "cache", "size": 32, "content_size": 32},
            "models": {"mini": True, **tiny_files},
            "lora": {"rank": 4},
            "memory": {"base": "fp32", "checkpointing": False},
            "out": tmp_path / f"out-{name}",
            "loop": {
                "run_dir": tmp_path / name,
                "steps": 4,
                "batch_size": 2,
                "learning_rate": 1e-2,
                "log_every": 1,
                "loggers": [],
            },
        }
        for section, change in changes.items():
            values[section] = (
                {**values[section], **change} if isinstance(change, dict) and section in values else change
            )
        return make_recipe(values)

    return make
