"""Train the networks of the miniature's autoencoder on random crops."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...uso_model.mini import MiniAutoencoder

__all__ = ["AutoencoderObjective"]


class AutoencoderObjective(nn.Module):
    """Absolute error of the picture and of its edges, with noise on the latent.

    The noise stands for what the flow model gets wrong. Edges weigh extra because without an adversarial loss they
    would come out soft.
    """

    def __init__(self, autoencoder: MiniAutoencoder, latent_noise: float, edge_weight: float = 1.0):
        super().__init__()
        self.autoencoder = autoencoder
        self.latent_noise, self.edge_weight = latent_noise, edge_weight

    def forward(self, x: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """Return the losses of pictures `b 3 h w` in -1..1."""
        latent = self.autoencoder.encode(x)
        strength = self.latent_noise * torch.rand((len(x), 1, 1, 1), generator=generator)
        y = self.autoencoder.decode(latent + strength * torch.randn(latent.shape, generator=generator))
        pixel = F.l1_loss(y, x)
        edge = F.l1_loss(y.diff(dim=-1), x.diff(dim=-1)) + F.l1_loss(y.diff(dim=-2), x.diff(dim=-2))
        # The flow model's target should stay close to unit deviation, whatever the encoder adds.
        size = (latent.square().mean() - 1).relu()
        return {"loss": pixel + self.edge_weight * edge + size, "pixel": pixel, "edge": edge, "size": size}
