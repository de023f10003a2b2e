"""Train the miniature's autoencoder on random crops."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...uso_model.autoencoder import Autoencoder
from ...uso_model.config import FLUX_AE, AutoencoderConfig

__all__ = ["SIZES", "AutoencoderObjective", "normalise_latents"]

SIZES = AutoencoderConfig(
    in_channels=3,
    ch=64,  # the norm has 32 groups; with one channel a group it would erase every picture's mean colour
    out_ch=3,
    ch_mult=(1, 1, 2, 2),
    num_res_blocks=1,
    z_channels=16,
    scale_factor=FLUX_AE.scale_factor,
    shift_factor=FLUX_AE.shift_factor,
)


class AutoencoderObjective(nn.Module):
    """Absolute error of the picture and of its edges, and a weak pull of the posterior to a unit Gaussian.

    Without an adversarial loss edges come out soft; the error of neighbouring differences weighs them up.
    """

    def __init__(self, autoencoder: Autoencoder, kl_weight: float = 1e-4, edge_weight: float = 1.0):
        super().__init__()
        self.autoencoder = autoencoder
        self.kl_weight, self.edge_weight = kl_weight, edge_weight

    def forward(self, x: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """Return the losses of pictures `b 3 h w` in -1..1."""
        mean, logvar = self.autoencoder.moments(x)
        logvar = logvar.clamp(-20, 10)
        z = mean + torch.exp(0.5 * logvar) * torch.randn(mean.shape, generator=generator)
        y = self.autoencoder.decoder(z)
        pixel = F.l1_loss(y, x)
        edge = F.l1_loss(y.diff(dim=-1), x.diff(dim=-1)) + F.l1_loss(y.diff(dim=-2), x.diff(dim=-2))
        kl = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).mean()
        return {
            "loss": pixel + self.edge_weight * edge + self.kl_weight * kl,
            "pixel": pixel,
            "edge": edge,
            "kl": kl,
        }


@torch.no_grad()
def normalise_latents(autoencoder: Autoencoder, pictures: Tensor) -> None:
    """Change the weights, not the function, so that model-scale latents of the pictures have deviation 1.

    Hosts apply FLUX.1's fixed latent scale, so the miniature's latents have to come out at FLUX.1's size. The factor
    goes into the last layer of the encoder and, inverted, into the first layer of the decoder.
    """
    mean, _ = autoencoder.moments(pictures)
    factor = 1 / (autoencoder.config.scale_factor * mean.std())
    out, channels = autoencoder.encoder.conv_out, autoencoder.config.z_channels
    out.weight[:channels] *= factor
    out.bias[:channels] *= factor
    out.bias[channels:] += 2 * factor.log()
    autoencoder.decoder.conv_in.weight /= factor
