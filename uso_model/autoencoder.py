"""The FLUX.1 autoencoder with BFL's parameter names: pictures to latents of 1/8 size and back.

Shapes: b batch, c channels, h height, w width.
Formulas: black-forest-labs/flux, src/flux/modules/autoencoder.py.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from .config import AutoencoderConfig

__all__ = ["GROUPS", "Autoencoder"]

GROUPS = 32
"""Of the group normalisation; every number of channels is a multiple of it."""


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(num_groups=GROUPS, num_channels=channels, eps=1e-6)


class AttnBlock(nn.Module):
    """Single-head attention over all latent pixels."""

    def __init__(self, channels: int):
        super().__init__()
        self.norm = _norm(channels)
        self.q = nn.Conv2d(channels, channels, 1)
        self.k = nn.Conv2d(channels, channels, 1)
        self.v = nn.Conv2d(channels, channels, 1)
        self.proj_out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(x)
        q, k, v = (rearrange(layer(h), "b c h w -> b 1 (h w) c") for layer in (self.q, self.k, self.v))
        h = rearrange(F.scaled_dot_product_attention(q, k, v), "b 1 (h w) c -> b c h w", h=x.shape[2])
        return x + self.proj_out(h)


class ResnetBlock(nn.Module):
    """Two normalised convolutions with a shortcut."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.norm1 = _norm(in_channels)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.norm2 = _norm(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.nin_shortcut = nn.Conv2d(in_channels, out_channels, 1) if in_channels != out_channels else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        h = self.conv2(F.silu(self.norm2(h)))
        return self.nin_shortcut(x) + h


class Downsample(nn.Module):
    """Halve a picture; padded on the right and bottom only."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.pad(x, (0, 1, 0, 1)))


class Upsample(nn.Module):
    """Double a picture: nearest neighbour, then a convolution."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class Middle(nn.Module):
    """Residual block, attention, residual block at the lowest resolution."""

    def __init__(self, channels: int):
        super().__init__()
        self.block_1 = ResnetBlock(channels, channels)
        self.attn_1 = AttnBlock(channels)
        self.block_2 = ResnetBlock(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.block_2(self.attn_1(self.block_1(x)))


class EncoderLevel(nn.Module):
    """Residual blocks of one resolution, then half of it."""

    def __init__(self, block: nn.ModuleList, downsample: nn.Module):
        super().__init__()
        self.block = block
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        for block in self.block:
            x = block(x)
        return self.downsample(x)


class DecoderLevel(nn.Module):
    """Residual blocks of one resolution, then twice of it."""

    def __init__(self, block: nn.ModuleList, upsample: nn.Module):
        super().__init__()
        self.block = block
        self.upsample = upsample

    def forward(self, x: Tensor) -> Tensor:
        for block in self.block:
            x = block(x)
        return self.upsample(x)


class Encoder(nn.Module):
    """Picture to the mean and log-variance of the latent."""

    def __init__(self, in_channels: int, ch: int, ch_mult: tuple[int, ...], num_res_blocks: int, z_channels: int):
        super().__init__()
        self.conv_in = nn.Conv2d(in_channels, ch, 3, padding=1)
        self.down = nn.ModuleList()
        channels = ch
        for i, multiplier in enumerate(ch_mult):
            blocks = nn.ModuleList()
            for _ in range(num_res_blocks):
                blocks.append(ResnetBlock(channels, ch * multiplier))
                channels = ch * multiplier
            last = i == len(ch_mult) - 1
            self.down.append(EncoderLevel(blocks, nn.Identity() if last else Downsample(channels)))
        self.mid = Middle(channels)
        self.norm_out = _norm(channels)
        self.conv_out = nn.Conv2d(channels, 2 * z_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv_in(x)
        for level in self.down:
            h = level(h)
        return self.conv_out(F.silu(self.norm_out(self.mid(h))))


class Decoder(nn.Module):
    """Latent to picture. `up` is indexed by resolution, so it is built and walked from the back."""

    def __init__(self, out_ch: int, ch: int, ch_mult: tuple[int, ...], num_res_blocks: int, z_channels: int):
        super().__init__()
        channels = ch * ch_mult[-1]
        self.conv_in = nn.Conv2d(z_channels, channels, 3, padding=1)
        self.mid = Middle(channels)
        levels = []
        for i, multiplier in reversed(list(enumerate(ch_mult))):
            blocks = nn.ModuleList()
            for _ in range(num_res_blocks + 1):
                blocks.append(ResnetBlock(channels, ch * multiplier))
                channels = ch * multiplier
            levels.append(DecoderLevel(blocks, Upsample(channels) if i > 0 else nn.Identity()))
        self.up = nn.ModuleList(reversed(levels))
        self.norm_out = _norm(channels)
        self.conv_out = nn.Conv2d(channels, out_ch, 3, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        h = self.mid(self.conv_in(z))
        for level in reversed(self.up):
            h = level(h)
        return self.conv_out(F.silu(self.norm_out(h)))


class Autoencoder(nn.Module):
    """Pictures `b 3 h w` in -1..1 to latents `b z h/8 w/8` in model scale, and back."""

    def __init__(self, config: AutoencoderConfig):
        super().__init__()
        self.config = config
        sizes = (config.ch, config.ch_mult, config.num_res_blocks, config.z_channels)
        self.encoder = Encoder(config.in_channels, *sizes)
        self.decoder = Decoder(config.out_ch, *sizes)

    def moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance of the posterior, unscaled."""
        mean, logvar = self.encoder(x).chunk(2, dim=1)
        return mean, logvar

    def scale(self, z: Tensor) -> Tensor:
        """Bring an unscaled latent to the model's scale: `scale_factor * (z - shift_factor)`."""
        return self.config.scale_factor * (z - self.config.shift_factor)

    def encode(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return the latent of a picture in model scale.

        Args:
            x: pictures in -1..1, sides a multiple of the downscale.
            generator: where to draw a posterior sample from, as the official pipeline does; None gives the mean.
        """
        mean, logvar = self.moments(x)
        if generator is not None:
            noise = torch.randn(mean.shape, generator=generator, device=generator.device, dtype=mean.dtype)
            mean = mean + torch.exp(0.5 * logvar) * noise.to(mean.device)
        return self.scale(mean)

    def decode(self, latent: Tensor) -> Tensor:
        """Return the picture of a latent in model scale, about -1..1, not clamped."""
        return self.decoder(latent / self.config.scale_factor + self.config.shift_factor)
