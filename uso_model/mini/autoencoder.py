"""The miniature's autoencoder: a block transform with a small convolutional touch-up.

FLUX.1's own autoencoder needs millions of pictures. On the miniature's world the 16 principal components of 8x8 blocks
hold 95 % of the variance, so the encoder is that projection in closed form, and only a few convolutions after its
inverse are trained. Latents have FLUX.1's form: 16 channels, 1/8 of the size, FLUX.1's scale and shift.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..config import FLUX_AE

__all__ = ["BLOCK", "MiniAutoencoder"]

BLOCK = FLUX_AE.downscale
"""Pixels per latent pixel along one side."""


class MiniAutoencoder(nn.Module):
    """Pictures `b 3 h w` in -1..1 to latents `b 16 h/8 w/8` in model scale, and back."""

    def __init__(self, channels: int = FLUX_AE.z_channels, width: int = 32):
        super().__init__()
        self.channels, self.width = channels, width
        self.analysis = nn.Conv2d(3, channels, BLOCK, stride=BLOCK)
        self.synthesis = nn.ConvTranspose2d(channels, 3, BLOCK, stride=BLOCK)
        self.hints = nn.ConvTranspose2d(channels, width - 3, BLOCK, stride=BLOCK)
        self.touch_up = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(width, 3, 3, padding=1),
        )

    def encode_unscaled(self, x: Tensor) -> Tensor:
        """Return the latent as a host's VAE gives it, before FLUX.1's scale and shift."""
        return self.analysis(x) / FLUX_AE.scale_factor + FLUX_AE.shift_factor

    def encode(self, x: Tensor) -> Tensor:
        """Return the latent of a picture in model scale; sides are a multiple of 8."""
        return self.analysis(x)

    def decode_unscaled(self, z: Tensor) -> Tensor:
        """Return the picture of a latent as a host's VAE takes it."""
        return self.decode((z - FLUX_AE.shift_factor) * FLUX_AE.scale_factor)

    def decode(self, latent: Tensor) -> Tensor:
        """Return the picture of a latent in model scale, about -1..1, not clamped."""
        plain = self.synthesis(latent)
        return plain + self.touch_up(torch.cat([plain, self.hints(latent)], dim=1))

    @torch.no_grad()
    def fit(self, pictures: Tensor) -> None:
        """Set analysis and synthesis to the principal components of the pictures' blocks, in closed form.

        Component i is divided by the square root of its deviation, half way to unit variance: coarse components keep
        the larger part, so that the flow model learns them first. The latents' overall deviation is 1.

        Args:
            pictures: `b 3 h w` in -1..1; a few thousand blocks suffice.
        """
        blocks = nn.functional.unfold(pictures, BLOCK, stride=BLOCK)  # b (3 8 8) L
        blocks = blocks.transpose(1, 2).flatten(0, 1).double()
        mean = blocks.mean(dim=0)
        values, vectors = torch.linalg.eigh((blocks - mean).T @ (blocks - mean) / len(blocks))
        vectors = vectors[:, -self.channels :].flip(1)  # (3 8 8) c, largest first
        deviation = values[-self.channels :].flip(0).sqrt()
        gain = deviation.rsqrt()
        gain = gain / (gain * deviation).square().mean().sqrt()
        rows = (vectors * gain).T
        self.analysis.weight.copy_(rows.view_as(self.analysis.weight))
        self.analysis.bias.copy_(-(rows @ mean))  # type: ignore[union-attr]
        self.synthesis.weight.copy_((vectors / gain).T.reshape(self.synthesis.weight.shape))
        # A transposed convolution has one bias per colour; the mean block is nearly flat, so its mean colour will do.
        self.synthesis.bias.copy_(mean.view(3, -1).mean(dim=1))  # type: ignore[union-attr]
        last = self.touch_up[-1]
        assert isinstance(last, nn.Conv2d)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)  # type: ignore[arg-type]
