"""A tiny trainer: two blocks, encoders made of arithmetic, eight rows on disk."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from comfyui_uso.trainer.encoders import Encoders
from comfyui_uso.uso_model.config import FluxConfig
from comfyui_uso.uso_model.projector import HierarchicalProjector
from comfyui_uso.uso_model.style import StyleFeatures
from comfyui_uso.uso_model.transformer import UsoTransformer
from PIL import Image

TINY = FluxConfig(
    in_channels=64,
    vec_in_dim=8,
    context_in_dim=8,
    hidden_size=128,
    mlp_ratio=2.0,
    num_heads=1,
    depth=1,
    depth_single_blocks=1,
    axes_dim=(16, 56, 56),
    theta=10_000,
    qkv_bias=True,
    guidance_embed=True,
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

    return Encoders(
        latent=lambda picture: torch.full((16, 4, 4), colour(picture)),
        style=style,
        text=text,
        names={"latent": "mean colour", "style": "colour features", "text": "length"},
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
