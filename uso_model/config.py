"""Sizes of the networks, stated in full: a variant never inherits a size it does not name."""

from __future__ import annotations

from dataclasses import dataclass

from .errors import UserError

__all__ = ["FLUX_AE", "FLUX_DEV", "FLUX_SCHNELL", "AutoencoderConfig", "FluxConfig"]


@dataclass(frozen=True, kw_only=True)
class FluxConfig:
    """Sizes of a FLUX.1 transformer (public reference: black-forest-labs/flux, src/flux/util.py)."""

    in_channels: int
    """Channels of a packed token: latent channels x 4."""
    vec_in_dim: int
    """Width of the pooled text vector (CLIP-L: 768)."""
    context_in_dim: int
    """Width of the text tokens (T5-XXL: 4096)."""
    hidden_size: int
    mlp_ratio: float
    num_heads: int
    depth: int
    """Number of double-stream blocks."""
    depth_single_blocks: int
    axes_dim: tuple[int, ...]
    """Rotary dimensions of the three id axes; they add up to the width of a head."""
    theta: int
    qkv_bias: bool
    guidance_embed: bool

    def __post_init__(self) -> None:
        if self.hidden_size % self.num_heads:
            raise UserError(f"hidden_size {self.hidden_size} is not a multiple of num_heads {self.num_heads}")
        head_dim = self.hidden_size // self.num_heads
        if sum(self.axes_dim) != head_dim:
            raise UserError(f"axes_dim {self.axes_dim} adds up to {sum(self.axes_dim)}, but a head is {head_dim} wide")

    @property
    def mlp_size(self) -> int:
        """Hidden width of the feed-forward layers."""
        return int(self.hidden_size * self.mlp_ratio)


@dataclass(frozen=True, kw_only=True)
class AutoencoderConfig:
    """Sizes of the FLUX autoencoder (public reference: black-forest-labs/flux, src/flux/util.py)."""

    in_channels: int
    ch: int
    """Channels at full resolution; a multiple of 32 because of the group normalisation."""
    out_ch: int
    ch_mult: tuple[int, ...]
    """Channel multiplier of each resolution level; every level but the last halves the picture."""
    num_res_blocks: int
    z_channels: int
    scale_factor: float
    shift_factor: float

    @property
    def downscale(self) -> int:
        """Pixels per latent pixel along one side."""
        return 2 ** (len(self.ch_mult) - 1)


FLUX_DEV = FluxConfig(
    in_channels=64,
    vec_in_dim=768,
    context_in_dim=4096,
    hidden_size=3072,
    mlp_ratio=4.0,
    num_heads=24,
    depth=19,
    depth_single_blocks=38,
    axes_dim=(16, 56, 56),
    theta=10_000,
    qkv_bias=True,
    guidance_embed=True,
)

FLUX_SCHNELL = FluxConfig(
    in_channels=64,
    vec_in_dim=768,
    context_in_dim=4096,
    hidden_size=3072,
    mlp_ratio=4.0,
    num_heads=24,
    depth=19,
    depth_single_blocks=38,
    axes_dim=(16, 56, 56),
    theta=10_000,
    qkv_bias=True,
    guidance_embed=False,
)

FLUX_AE = AutoencoderConfig(
    in_channels=3,
    ch=128,
    out_ch=3,
    ch_mult=(1, 2, 4, 4),
    num_res_blocks=2,
    z_channels=16,
    scale_factor=0.3611,
    shift_factor=0.1159,
)
