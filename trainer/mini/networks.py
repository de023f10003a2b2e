"""Sizes of the miniature's own FLUX and projector."""

from __future__ import annotations

from dataclasses import replace

from torch import nn

from ...uso_model.config import FluxConfig
from ...uso_model.projector import HierarchicalProjector
from ...uso_model.transformer import UsoTransformer
from .encoders import TOKENS, WIDTH

__all__ = ["FLUX_MINI", "FLUX_NANO", "SIZES", "fresh_projector", "fresh_transformer"]

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


def fresh_projector(width: int = FLUX_MINI.hidden_size) -> HierarchicalProjector:
    """Return an untrained projector: the vision tower's tokens to 8 tokens a level."""
    return HierarchicalProjector(tokens_in=TOKENS, tokens_out=8, dim_in=WIDTH, dim_out=width)
