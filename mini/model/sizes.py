"""Sizes of the miniature's own networks, and the networks untrained."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from torch import nn
from transformers import SiglipVisionConfig

from ...uso_model.config import FluxConfig
from ...uso_model.projector import LEVELS, HierarchicalProjector
from ...uso_model.transformer import UsoTransformer
from .files import PICTURE_SIZE
from .networks import MiniVision

__all__ = ["FLUX_MINI", "FLUX_NANO", "SIZES", "fresh_projector", "fresh_transformer", "fresh_vision"]

FLUX_MINI = FluxConfig(
    in_channels=64,
    vec_in_dim=128,
    context_in_dim=128,
    hidden_size=256,
    mlp_ratio=4.0,
    num_heads=2,  # heads of 128, the width by which ComfyUI recognises FLUX
    depth=2,
    depth_single_blocks=4,
    axes_dim=(16, 56, 56),
    theta=10_000,
    qkv_bias=True,
    guidance_embed=True,
)

FLUX_NANO = replace(FLUX_MINI, hidden_size=128, num_heads=1)
"""A quarter of it, for experiments with many runs."""

SIZES = {"mini": FLUX_MINI, "nano": FLUX_NANO}


def fresh_transformer(config: FluxConfig = FLUX_MINI) -> UsoTransformer:
    """Return an untrained miniature FLUX: modulation and output start at zero, so every block starts as the identity.

    Source: adaLN-Zero (Peebles and Xie, "Scalable Diffusion Models with Transformers", section 3.2).
    """
    transformer = UsoTransformer(config)
    for name, module in transformer.named_modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)
        if name.endswith((".lin", "adaLN_modulation.1", "final_layer.linear")):
            nn.init.zeros_(module.weight)
    return transformer


def fresh_projector(width: int = FLUX_MINI.hidden_size, levels: Collection[str] = LEVELS) -> HierarchicalProjector:
    """Return an untrained projector: the vision tower's tokens to style tokens."""
    return HierarchicalProjector(tokens_in=TOKENS, tokens_out=STYLE_TOKENS, dim_in=WIDTH, dim_out=width, levels=levels)


PATCH, WIDTH = 8, 192
"""Side of the vision tower's patches in pixels, and the width of its tokens."""

TOKENS = (PICTURE_SIZE // PATCH) ** 2
"""How many tokens it gives."""

STYLE_TOKENS = 8
"""Style tokens of one level."""


def fresh_vision() -> MiniVision:
    """Return an untrained vision tower of six layers."""
    return MiniVision(
        SiglipVisionConfig(
            image_size=PICTURE_SIZE,
            patch_size=PATCH,
            hidden_size=WIDTH,
            intermediate_size=4 * WIDTH,
            num_hidden_layers=6,
            num_attention_heads=3,
            vision_use_head=False,
            layer_norm_eps=1e-5,  # the only value that ComfyUI knows
        )
    )
