"""USO-mini's autoencoder: a block transform in closed form, and a residual network on each side.

FLUX.1's own autoencoder needs millions of pictures. In this small world, the 16 principal components of 8x8 blocks give
colours and shapes without any training. The networks start at zero and add texture. Latents have FLUX.1's form: 16
channels, 1/8 of the size, FLUX.1's scale and shift.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...uso_model.config import FLUX_AE
from ...uso_model.packing import PIXELS_PER_LATENT

__all__ = ["MiniAutoencoder"]


class Residual(nn.Module):
    """A residual block of two 3x3 convolutions, without norms: with so few channels they would erase colour."""

    def __init__(self, width: int):
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return features of the same shape."""
        return x + self.second(nn.functional.silu(self.first(nn.functional.silu(x))))


class MiniAutoencoder(nn.Module):
    """Pictures `b 3 h w` in -1..1 to latents `b 16 h/8 w/8` in model scale, and back."""

    def __init__(self, channels: int = FLUX_AE.z_channels, width: int = 64):
        super().__init__()
        self.channels, self.width = channels, width
        self.analysis = nn.Conv2d(3, channels, PIXELS_PER_LATENT, stride=PIXELS_PER_LATENT)
        self.synthesis = nn.ConvTranspose2d(channels, 3, PIXELS_PER_LATENT, stride=PIXELS_PER_LATENT)
        self.encoder = nn.Sequential(
            nn.PixelUnshuffle(4),
            nn.Conv2d(48, width, 3, padding=1),
            Residual(width),
            nn.Conv2d(width, 2 * width, 2, stride=2),
            Residual(2 * width),
            nn.Conv2d(2 * width, channels, 1),
        )
        self.decoder = nn.Sequential(
            nn.Conv2d(channels, 2 * width, 3, padding=1),
            Residual(2 * width),
            Residual(2 * width),
            nn.Conv2d(2 * width, 4 * width, 1),
            nn.PixelShuffle(2),
            Residual(width),
            Residual(width),
            nn.Conv2d(width, 48, 3, padding=1),
            nn.PixelShuffle(4),
        )

    def encode_unscaled(self, x: Tensor) -> Tensor:
        """Return the latent as a host's VAE gives it, before FLUX.1's scale and shift."""
        return self.encode(x) / FLUX_AE.scale_factor + FLUX_AE.shift_factor

    def encode(self, x: Tensor) -> Tensor:
        """Return the latent of a picture in model scale; sides are a multiple of 8."""
        return self.analysis(x) + self.encoder(x)

    def decode_unscaled(self, z: Tensor) -> Tensor:
        """Return the picture of a latent as a host's VAE takes it."""
        return self.decode((z - FLUX_AE.shift_factor) * FLUX_AE.scale_factor)

    def decode(self, latent: Tensor) -> Tensor:
        """Return the picture of a latent in model scale, about -1..1, not clamped."""
        return self.synthesis(latent) + self.decoder(latent)

    @torch.no_grad()
    def fit(self, pictures: Tensor) -> None:
        """Set analysis and synthesis to the principal components of the pictures' blocks, in closed form.

        Each component is divided by the square root of its standard deviation, half way to whitening. Coarse components
        stay larger, so the flow model learns them first. The standard deviation of all latents together is 1.

        Args:
            pictures: `b 3 h w` in -1..1; a few thousand blocks suffice.
        """
        blocks = nn.functional.unfold(pictures, PIXELS_PER_LATENT, stride=PIXELS_PER_LATENT)  # b (3 8 8) L
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
        for last in (self.encoder[-1], self.decoder[-2]):
            assert isinstance(last, nn.Conv2d) and last.bias is not None
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
